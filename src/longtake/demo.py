"""demo: the bundled film in, its questions asked and answered. Prints nothing, writes nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from longtake import parts
from longtake.answer import Answer, Watched
from longtake.families import Model
from longtake.pipeline import ask

FOLDER = Path(__file__).parent / "assets" / "demo"
FILM = FOLDER / "hour.mp4"
QUESTIONS = FOLDER / "questions.json"
SHEET_FRAMES = 39
"""With one for each question they fill six rows of seven."""


@dataclass(frozen=True)
class Question:
    """A question about the film.

    Attributes:
        question: in plain words.
        expected: the right answer.
        start_s, end_s: when the scene that it is about is on screen.
    """

    question: str
    expected: str
    start_s: float
    end_s: float

    def seen_in(self, watched: Watched) -> list[int]:
        """Which of the frames that were read show that scene."""
        (look,) = watched.looks
        inside = (look.times_s >= self.start_s) & (look.times_s < self.end_s)
        return [int(number) for number in look.numbers[inside]]


@dataclass(frozen=True)
class Asked:
    """A question that was asked.

    Attributes:
        question: with the right answer.
        answer: what the model said.
        seconds: wall time of this question alone; watching came before.
    """

    question: Question
    answer: Answer
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the answer is the expected one, word for word; case and punctuation do not count."""
        return words(self.answer.text) == words(self.question.expected)


def questions() -> list[Question]:
    """What is asked about the film."""
    rows = _told()["questions"]
    return [Question(row["question"], row["answer"], row["start_s"], row["end_s"]) for row in rows]


def looking(model: Model) -> Model:
    """`model`, looking so often that it sees every scene of the film, whatever it was trained to read."""
    sampler = parts.find("samplers", "every")(seconds=_told()["look_every_s"])
    return replace(model, sampler=sampler, beyond_trained_context=True)


def ask_all(model: Model, watched: Watched) -> Iterator[Asked]:
    """Ask every question of the film about what was watched, one after the other."""
    for question in questions():
        begin_s = time.perf_counter()
        answer = ask(model, watched, question.question)
        yield Asked(question, answer, seconds=time.perf_counter() - begin_s)


def sheet_numbers(watched: Watched) -> tuple[list[int], set[int]]:
    """Frames for a contact sheet: some of those that were read, evenly spread, and those that answer; these apart."""
    answering = {number for question in questions() for number in question.seen_in(watched)}
    (look,) = watched.looks
    read = len(look.numbers)
    spread = look.numbers[np.linspace(0, read - 1, min(SHEET_FRAMES, read), dtype=int)]
    return sorted({*(int(number) for number in spread), *answering}), answering


def _told() -> Any:
    return json.loads(QUESTIONS.read_text(encoding="utf-8"))


def words(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return re.findall(r"\w+", text.casefold())
