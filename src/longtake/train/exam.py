"""train/exam: a model in, its marks out: held-out questions about real video files, asked as any user would ask them.

Beside each question's own film, the same question is asked about a blank film and about another question's film: what
a model still gets right there it has guessed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.pipeline import Watched, ask, watch
from longtake.video.opening import open_video
from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.films import HELD_OUT, draw_counted, draw_shots
from longtake.world.questions import Asked, ask_about, can_ask
from longtake.world.scenes import Shot

GRADED = ("value", "colour", "shape", "letter")
REPORTED = ("count", "order", "missing", "several", "motion")
MOST_FRAMES = 64
PLACES_EACH = 20
FIRST_PLACE = 1000
"""Panoramas of the exam are numbered from here: none of them was in training."""


@dataclass(frozen=True)
class Mark:
    """One question and what came of it.

    Attributes:
        own, blank, other: whether the answer was right on its own film, a blank one, and another question's.
    """

    kind: str
    frames: int
    question: str
    expected: str
    answer: str
    own: bool
    blank: bool
    other: bool


def examine(
    model: Model, *, questions: int = 600, seed: int = 2026, progress: Callable[[int, int], None] | None = None
) -> list[Mark]:
    """Ask `questions` graded questions (a quarter of each kind) and a third as many that are only reported."""
    rng = np.random.default_rng(seed)
    kinds = [GRADED[number % len(GRADED)] for number in range(questions)]
    kinds += [REPORTED[number % len(REPORTED)] for number in range(questions // 3)]
    marks: list[Mark] = []
    with tempfile.TemporaryDirectory(prefix="longtake-exam-") as folder:
        path = Path(folder) / "film.mp4"
        blank = _watch_blank(model, path)
        before: Watched | None = None
        for number, kind in enumerate(kinds):
            shots = _film_for(rng, kind)
            asked = ask_about(rng, shots, kind)
            write_film(path, [_shown(shot, rng) for shot in shots], fps=Fraction(1), crf=26)
            own = watch(model, open_video(str(path)))
            answer = _answer(model, own, asked)
            marks.append(
                Mark(
                    kind=kind,
                    frames=len(shots),
                    question=asked.question,
                    expected=asked.answer,
                    answer=answer,
                    own=is_right(answer, asked),
                    blank=is_right(_answer(model, blank, asked), asked),
                    other=before is not None and is_right(_answer(model, before, asked), asked),
                )
            )
            before = own
            if progress is not None:
                progress(number + 1, len(kinds))
    return marks


def is_right(answer: str, asked: Asked) -> bool:
    """Word for word; where a letter was asked for, the letter alone counts."""
    if asked.kind == "letter":
        return answer.split()[-1:] == asked.answer.split()[-1:]
    return answer == asked.answer


def shares(marks: list[Mark], column: str) -> dict[str, float]:
    """The share of right answers in `column` ("own", "blank" or "other"), by kind, and of all graded kinds."""
    found = {}
    for kind in (*GRADED, *REPORTED):
        of_kind = [getattr(mark, column) for mark in marks if mark.kind == kind]
        found[kind] = sum(of_kind) / len(of_kind)
    graded = [getattr(mark, column) for mark in marks if mark.kind in GRADED]
    return {"all": sum(graded) / len(graded), **found}


def _film_for(rng: np.random.Generator, kind: str) -> list[Shot]:
    draw_film = draw_counted if kind == "count" else draw_shots
    while True:
        shots = draw_film(rng, int(rng.integers(1, MOST_FRAMES + 1)), HELD_OUT)
        if can_ask(shots, kind):
            return shots


def _shown(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    staging = random_staging(rng, places=PLACES_EACH, first_place=FIRST_PLACE)
    return draw(shot, staging, width=320, height=180)


def _watch_blank(model: Model, path: Path) -> Watched:
    write_film(path, [np.zeros((180, 320, 3), dtype=np.uint8)] * 16, fps=Fraction(1))
    return watch(model, open_video(str(path)))


def _answer(model: Model, watched: Watched, asked: Asked) -> str:
    return ask(model, watched, asked.question, GenerateOptions(max_new_tokens=12)).text.strip()
