"""Does DPO do what it should? nano before and after recipes/dpo_small.toml, on films that nothing was trained on.

    python benchmarks/prefer.py                      trains (minutes), then asks both models
    python benchmarks/prefer.py --output runs/prefer  goes on from there, or asks only, where it is done
    python benchmarks/prefer.py --smoke               a few pairs and questions

Preferred is an answer that goes on ("417 red star"), where nano is as short as can be ("417 red"). Of pairs about
held-out combinations: how often the preferred wording is the likelier, and what is said. And of the exam's questions,
also of kinds that no preference was about: how often the answer is right, with more words or without, so that what was
taught is seen to have cost nothing. The last line is one JSON object: figures, targets, ok.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import longtake
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.pipeline import ask, watch
from longtake.prompt import question_ids
from longtake.train.dpo import train_dpo
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.drawn_pairs import KINDS, draw_pairs
from longtake.train.exam import Mark, examine
from longtake.train.preferences import Preference, read_preferences
from longtake.train.recipes import read_recipe
from longtake.train.showing import Teller
from longtake.video.opening import open_video
from longtake.world.vocabulary import COLOURS, PLACES, SHAPES

RECIPE = Path(__file__).parents[1] / "recipes" / "dpo_small.toml"
TARGET_PREFERRED = 0.9
TARGET_LOST = 0.05
SEED = 2026


def main() -> int:
    """Train if need be, ask both models, print a table and the JSON line; 1 if a full run misses a target."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", help="the folder of the training; else it is thrown away")
    arguments.add_argument("--pairs", type=int, default=120)
    arguments.add_argument("--questions", type=int, default=160)
    arguments.add_argument("--smoke", action="store_true", help="a few steps, pairs and questions; misses no target")
    told = arguments.parse_args()
    torch.set_num_threads(1)
    pairs, questions = (9, 8) if told.smoke else (told.pairs, told.questions)
    settings = ["world_pairs=16", "steps=4", "save_every=5"] if told.smoke else []
    with tempfile.TemporaryDirectory(prefix="longtake-prefer-") as place:
        folder = Path(told.output or f"{place}/run")
        recipe = read_recipe(DpoRecipe, str(RECIPE), settings)
        summary = train_dpo(recipe, folder, device="cpu", plan_only=False, teller=Teller(quiet=False))
        rows = draw_pairs(Path(place) / "held_out", pairs, seed=SEED, held_out=True)
        asked = [one for one in read_preferences(rows, rows.parent) if isinstance(one, Preference)]
        figures = {
            "before": figures_of(longtake.load("nano"), asked, questions),
            "after": figures_of(longtake.load(summary["model"]), asked, questions),
        }
    print(f"{'':<28}{'before':>9}{'after':>9}")
    for name in figures["before"]:
        print(f"{name:<28}" + "".join(f"{figures[when][name]:>9.3f}" for when in figures))
    lost = figures["before"]["exam_all"] - figures["after"]["exam_all"]
    ok = None if told.smoke else figures["after"]["preferred"] >= TARGET_PREFERRED and lost <= TARGET_LOST
    targets = {"after.preferred": TARGET_PREFERRED, "exam_all lost": f"at most {TARGET_LOST}"}
    told_of = {"training": summary["held_out"], "pairs": len(asked), **figures}
    print(json.dumps({"figures": told_of, "targets": targets, "ok": ok}))
    return 1 if ok is False else 0


def figures_of(model: Model, pairs: list[Preference], questions: int) -> dict[str, float]:
    """What a model says of the pairs and in the exam."""
    seen: dict[str, Any] = {"preferred": [], "margin_nats": [], "chosen_nats": [], "says_chosen": []}
    seen |= {"says_rejected": [], "says_either": []}
    for pair in pairs:
        watched = watch(model, open_video(pair.files[0]))
        asked = question_ids(watched.template, model.tokenizer, pair.prompt)
        end = model.tokenizer.control(watched.template.stop[0])
        ids = [[*model.tokenizer.encode(text), end] for text in _answers(pair)]
        chosen, rejected = (float(model.engine.logprobs(watched.prefix, asked, answer).sum()) for answer in ids)
        said = ask(model, watched, pair.prompt, GenerateOptions(max_new_tokens=12)).text.strip()
        seen["preferred"].append(chosen > rejected)
        seen["margin_nats"].append(chosen - rejected)
        seen["chosen_nats"].append(chosen)
        seen["says_chosen"].append(said == pair.chosen)
        seen["says_rejected"].append(said == pair.rejected)
        seen["says_either"].append(said in _answers(pair))
    marks = examine(model, questions=questions, seed=SEED, lengths={8: 1.0})
    exam = {kind: [_right(mark) for mark in marks if mark.kind == kind] for kind in (*KINDS, "letter")}
    exam["all"] = [right for some in exam.values() for right in some]
    seen |= {f"exam_{kind}": some for kind, some in exam.items()}
    return {name: round(sum(values) / len(values), 4) for name, values in seen.items()}


def _answers(pair: Preference) -> tuple[str, str]:
    return pair.chosen, pair.rejected


def _right(mark: Mark) -> bool:
    """As the exam has it; of the kinds that were taught also with what is preferred: a place behind the value, the
    shape beside the colour, the colour beside the shape. Whether that one is right too, `says_chosen` tells."""
    said, expected = mark.answer.split(), mark.expected.split()
    if mark.kind == "value":
        return said[:3] == expected and said[3:] in [[], *([place] for place in PLACES)]
    if mark.kind not in KINDS:
        return mark.own
    rest = [word for word in said if word not in expected]
    others = SHAPES if mark.kind == "colour" else tuple(COLOURS)
    return set(expected) <= set(said) and len(said) == len(expected) + len(rest) <= 3 and set(rest) <= set(others)


if __name__ == "__main__":
    sys.exit(main())
