"""train/exam: a model in, its marks out: held-out questions about real video files, asked as any user would ask them.

Beside each question's own film, the same question is asked about a blank film and about another question's film: what
a model still gets right there it has guessed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake import parts
from longtake.answer import Watched
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.pipeline import ask, watch
from longtake.video.opening import open_video
from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.films import HELD_OUT, draw_counted, draw_shots
from longtake.world.questions import KINDS, Asked, ask_about, can_ask
from longtake.world.scenes import Shot

GRADED = ("value", "colour", "shape", "letter")
REPORTED = ("count", "order", "missing", "several", "motion")
LENGTHS: Mapping[int, float] = {8: 0.5, 32: 0.2, 64: 0.2, 512: 0.1}
"""Frames of a film, at a frame a second, and the share of the films that are so long."""
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
    model: Model,
    *,
    questions: int = 800,
    seed: int = 2026,
    lengths: Mapping[int, float] = LENGTHS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Mark]:
    """Ask `questions` graded questions, as many of each kind, and as many of each kind that is only reported.

    Every film is asked one question of each kind but for counting, which has films of its own.
    """
    rng = np.random.default_rng(seed)
    films = {frames: max(1, round(questions / len(GRADED) * share)) for frames, share in lengths.items()}
    marks: list[Mark] = []
    done, total = 0, 2 * sum(films.values())
    with tempfile.TemporaryDirectory(prefix="longtake-exam-") as folder:
        path = Path(folder) / "film.mp4"
        blank = _watch(model, path, [np.zeros((180, 320, 3), dtype=np.uint8)] * 16)
        for frames, many in films.items():
            for kinds in (("count",), tuple(kind for kind in KINDS if kind != "count")):
                before: Watched | None = None
                for _ in range(many):
                    shots = _film_for(rng, frames, kinds)
                    own = _watch(model, path, [_shown(shot, rng) for shot in shots])
                    for kind in kinds:
                        asked = ask_about(rng, shots, kind)
                        marks.append(_mark(model, frames, asked, (own, blank, before or blank)))
                    before = own
                    done += 1
                    if progress is not None:
                        progress(done, total)
    return marks


def _mark(model: Model, frames: int, asked: Asked, films: tuple[Watched, Watched, Watched]) -> Mark:
    """Ask about the question's own film, a blank one, and another question's."""
    answer, blank, other = (_answer(model, film, asked) for film in films)
    right = [is_right(said, asked) for said in (answer, blank, other)]
    return Mark(asked.kind, frames, asked.question, asked.answer, answer, *right)


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


def by_length(marks: list[Mark]) -> dict[str, dict[str, float]]:
    """The shares of right answers about own films, for each length in frames."""
    lengths = sorted({mark.frames for mark in marks})
    return {str(frames): shares([mark for mark in marks if mark.frames == frames], "own") for frames in lengths}


def _film_for(rng: np.random.Generator, frames: int, kinds: tuple[str, ...]) -> list[Shot]:
    draw_film = draw_counted if kinds == ("count",) else draw_shots
    while True:
        shots = draw_film(rng, frames, HELD_OUT)
        if all(can_ask(shots, kind) for kind in kinds):
            return shots


def _shown(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    staging = random_staging(rng, places=PLACES_EACH, first_place=FIRST_PLACE)
    return draw(shot, staging, width=320, height=180)


def _watch(model: Model, path: Path, pictures: list[np.ndarray]) -> Watched:
    """Film the pictures and let the model see every one of them."""
    write_film(path, pictures, fps=Fraction(1), crf=26)
    sampler = parts.find("samplers", "every")(seconds=1.0)
    return watch(replace(model, sampler=sampler), open_video(str(path)))


def _answer(model: Model, watched: Watched, asked: Asked) -> str:
    return ask(model, watched, asked.question, GenerateOptions(max_new_tokens=12)).text.strip()
