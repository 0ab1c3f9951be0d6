"""demo: the bundled film in, its questions asked and answered. Prints nothing, writes nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from longtake.families import Model
from longtake.pipeline import Answer, Watched, ask

FOLDER = Path(__file__).parent / "assets" / "demo"
FILM = FOLDER / "hour.mp4"
QUESTIONS = FOLDER / "questions.json"


@dataclass(frozen=True)
class Asked:
    """One question of the film.

    Attributes:
        question: in plain words.
        expected: the right answer.
        start_s, end_s: when the scene that it is about is on screen.
        answer: what the model said.
        seconds: wall time of this question alone; watching came before.
    """

    question: str
    expected: str
    start_s: float
    end_s: float
    answer: Answer
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the answer is the expected one, word for word; case and punctuation do not count."""
        return words(self.answer.text) == words(self.expected)


def ask_all(model: Model, watched: Watched) -> Iterator[Asked]:
    """Ask every question of the film about what was watched, one after the other."""
    for row in json.loads(QUESTIONS.read_text(encoding="utf-8")):
        begin_s = time.perf_counter()
        answer = ask(model, watched, row["question"])
        seconds = time.perf_counter() - begin_s
        yield Asked(row["question"], row["answer"], row["start_s"], row["end_s"], answer=answer, seconds=seconds)


def words(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return re.findall(r"\w+", text.casefold())
