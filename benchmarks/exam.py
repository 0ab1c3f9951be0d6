"""How often is a nano right? Held-out questions about real H.264 files, beside blank films and others' films.

    python benchmarks/exam.py                       800 graded questions to the bundled nano (minutes)
    python benchmarks/exam.py --model runs/mine/model
    python benchmarks/exam.py --model runs/mine/control_c --beyond-trained-context
    python benchmarks/exam.py --smoke               24 questions

The last line is one JSON object: figures, targets, ok.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import torch

import longtake
from longtake.train.exam import GRADED, by_length, examine, shares

TARGET_ALL = 0.95
TARGET_KIND = 0.90
CHANCE = {"value": 1 / 1200, "colour": 1 / 12, "shape": 1 / 20, "letter": 1 / 4}
NEAR = 0.1
"""So far above chance a blank film or another's film may come out."""


def main() -> int:
    """Examine, print a table and the JSON line; 1 if a target is missed by the full exam."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="nano")
    arguments.add_argument("--questions", type=int, default=800)
    arguments.add_argument("--seed", type=int, default=2026)
    arguments.add_argument(
        "--beyond-trained-context", action="store_true", help="for a control, which read short films"
    )
    arguments.add_argument("--smoke", action="store_true", help="24 questions; misses no target")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    model = replace(longtake.load(asked.model), beyond_trained_context=asked.beyond_trained_context)
    marks = examine(model, questions=24 if asked.smoke else asked.questions, seed=asked.seed)
    figures = {
        column: {k: round(v, 4) for k, v in shares(marks, column).items()} for column in ("own", "blank", "other")
    }
    lengths = {frames: {k: round(v, 4) for k, v in of.items()} for frames, of in by_length(marks).items()}
    print(
        f"{'kind':<10}{'asked':>7}{'right':>9}{'blank':>9}{'other':>9}"
        + "".join(f"{f'at {frames}':>9}" for frames in lengths)
    )
    for kind in figures["own"]:
        number = sum(mark.kind == kind or (kind == "all" and mark.kind in GRADED) for mark in marks)
        told = [figures[column][kind] for column in figures] + [lengths[frames][kind] for frames in lengths]
        print(f"{kind:<10}{number:>7}" + "".join(f"{share:>9.3f}" for share in told))
    for mark in marks:
        if not mark.own and mark.kind in GRADED:
            print(f"  {mark.frames:>2} frames  {mark.question}  want {mark.expected!r}, got {mark.answer!r}")
    shortest = next(iter(lengths.values()))
    ok = (
        figures["own"]["all"] >= TARGET_ALL
        and all(shortest[kind] >= TARGET_KIND for kind in GRADED)
        and all(figures[column][kind] <= CHANCE[kind] + NEAR for column in ("blank", "other") for kind in GRADED)
    )
    targets = {"own.all": TARGET_ALL, "own.each at 8 frames": TARGET_KIND, "blank, other": "chance + 0.1 at most"}
    print(json.dumps({"figures": figures | {"by_length": lengths}, "targets": targets, "ok": ok}))
    return 0 if ok or asked.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
