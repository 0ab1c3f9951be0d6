"""benchmarks: what is it worth to put questions by video? The rows of both ways, and the processor time of each.

    python benchmarks/grouped.py              # 4 drawn films of four minutes, four questions each: a minute or two
    python benchmarks/grouped.py --smoke      # a small film: shows that it runs; always exits 0

nano looks once a second. The same questions go through `longtake.measure`, as `longtake eval` runs them: once by video,
so that each is decoded, encoded and prefilled once, and once with each question by itself, as a harness does that knows
no videos. Nothing is kept in a store. Both ways must say the same. Each is run twice in turn, and the faster counts;
processor seconds of all threads, the model being loaded.

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

import longtake
from longtake import parts
from longtake.engines import GenerateOptions
from longtake.evals import Item, Place, VideoName
from longtake.measure import Row
from longtake.measure.asking import Manner
from longtake.measure.grouping import Group, Question
from longtake.measure.roads import Straight
from longtake.measure.running import Asking, rows_of
from longtake.video import Video
from longtake.video.opening import open_video
from longtake.world.film import write_film
from longtake.world.hour import film, plan_film, questions_about

FPS = 5
KINDS = ("colour", "shape")
QUESTIONS = 4
LEAST = 2.0
"""Times as fast with four questions a video (issue: evaluation that can be believed)."""


@dataclass(frozen=True)
class Size:
    """How much is asked."""

    films: int
    seconds: float
    width: int
    rounds: int


FULL, SMOKE = Size(4, 240.0, 480, 2), Size(1, 184.0, 128, 1)


@dataclass(frozen=True)
class Plain:
    """Questions that are asked as they stand."""

    def asking(self, item: Item) -> None:
        """Nothing is published."""


def groups_in(folder: Path, size: Size) -> Iterator[Group]:
    """Films, and questions about the scenes in each."""
    for number in range(size.films):
        path = folder / f"{number}.mp4"
        takes = plan_film(number, fps=FPS, duration_s=size.seconds, scenes=len(KINDS))
        write_film(path, film(takes, fps=FPS, width=size.width, height=size.width * 3 // 4), fps=Fraction(FPS))
        asked: list[Any] = []
        while len(asked) < QUESTIONS:
            asked += [one for one, _ in questions_about(takes, KINDS, seed=len(asked))]
        video = VideoName((path.name,))
        items = [
            Item(f"{number}_{place}", video, one.question, Place(path.name), reference=one.answer)
            for place, one in enumerate(asked[:QUESTIONS])
        ]
        questions = tuple(Question(QUESTIONS * number + place, item) for place, item in enumerate(items))
        yield Group(video.key, questions, path, path.name)


def opener(path: Path) -> AbstractContextManager[Video]:
    """As a run opens videos."""
    return nullcontext(open_video(path))


def timed(groups: Sequence[Group], asking: Asking) -> tuple[list[Row], float]:
    """All rows, and the processor seconds that they took."""
    begun_s = time.process_time()
    rows = [row for group in groups for row in rows_of(group, asking, lambda *_: None)]
    return rows, time.process_time() - begun_s


def measure(size: Size) -> dict[str, float | bool | int]:
    """The figures."""
    model = longtake.load("nano")
    sampler = parts.build("samplers", "every", {"seconds": "1"}, label="sampler")
    model = replace(model, sampler=sampler, store=None)
    benchmark: Any = Plain()
    manner = Manner(benchmark, "plain", model.template)
    asking = Asking(
        Straight(model, ("letter",), GenerateOptions(max_new_tokens=16)), manner, ("letter",), opener, Path()
    )
    with tempfile.TemporaryDirectory() as folder:
        by_video = list(groups_in(Path(folder), size))
        alone = [replace(group, questions=(question,)) for group in by_video for question in group.questions]
        timed(by_video[:1], asking)  # what is set up by a first question is not counted
        spent: dict[str, list[float]] = {"grouped": [], "one by one": []}
        rows: dict[str, list[Row]] = {}
        for _ in range(size.rounds):
            for way, groups in (("one by one", alone), ("grouped", by_video)):
                rows[way], seconds = timed(groups, asking)
                spent[way].append(seconds)
    right = sum(row.answer == row.reference for row in rows["grouped"])
    same = [row.lasting for row in rows["grouped"]] == [row.lasting for row in rows["one by one"]]
    grouped_s, alone_s = min(spent["grouped"]), min(spent["one by one"])
    return {
        "films": size.films,
        "questions": len(rows["grouped"]),
        "right": right,
        "grouped_cpu_s": round(grouped_s, 2),
        "one_by_one_cpu_s": round(alone_s, 2),
        "times": round(alone_s / grouped_s, 2),
        "same_rows": same,
    }


def main() -> int:
    """Measure, print the figures and the line of JSON; 1 if the target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small film")
    smoke = parser.parse_args().smoke
    torch.set_num_threads(1)
    figures = measure(SMOKE if smoke else FULL)
    for name, figure in figures.items():
        print(f"{name:18} {figure}")
    print(f"1 thread of torch; load {os.getloadavg()[0]:.1f}")
    ok = bool(figures["same_rows"] and figures["times"] >= LEAST)
    print(json.dumps({"figures": figures, "targets": {"times": LEAST, "same_rows": True}, "ok": ok}))
    return 0 if ok or smoke else 1


if __name__ == "__main__":
    sys.exit(main())
