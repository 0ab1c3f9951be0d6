"""quiz: a seed in; drawn films and a benchmark's questions about them, in a folder, out (outer ring). Knows no model.

casting   which scenes a film shows, so that nobody can tell a right answer without looking
staging   when each of them is on screen, and how it is filmed
asking    five questions about a film, each with options
making    films and annotations written into a folder, so that a run that was stopped goes on
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["recognition", "counting", "order", "motion", "long range"]
KINDS: tuple[Kind, ...] = ("recognition", "counting", "order", "motion", "long range")
OPTIONS = {"recognition": 4, "counting": 6, "order": 2, "motion": 2, "long range": 4}
"""How many options a question of each kind has."""

VERSION = 1
"""Counted up where the same seed no longer makes the same films or questions; part of every question's id."""
SHORTEST_S = 8
"""Five scenes of a second each and a shape that moves for three take as long."""
LENGTHS_S = (8, 32, 128, 512)
_STREAM = 9
"""Keeps these random numbers apart from others drawn from the same seed."""


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    Attributes:
        seed: draws all.
        questions: how many at least; each film has one of each kind.
        lengths_s: of the films, in whole seconds; they take turns.
        fps: pictures a second.
    """

    seed: int = 0
    questions: int = 1000
    lengths_s: tuple[int, ...] = LENGTHS_S
    fps: int = 1

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise ValueError(f"questions is {self.questions}; want at least 1")
        if not 1 <= self.fps <= 60:
            raise ValueError(f"fps is {self.fps}; want 1 to 60")
        if not self.lengths_s or list(self.lengths_s) != sorted(set(self.lengths_s)):
            raise ValueError(f"lengths are {_listed(self.lengths_s)}; want them ascending, each once")
        if self.lengths_s[0] < SHORTEST_S:
            raise ValueError(f"a film of {self.lengths_s[0]} s is too short; want {SHORTEST_S} s or more")

    @property
    def films(self) -> int:
        """How many films are made."""
        return -(-self.questions // len(KINDS))

    @property
    def spots(self) -> Iterator[Spot]:
        """Each film, in order: the same ones first, however many there are."""
        for number in range(self.films):
            length_s = self.lengths_s[number % len(self.lengths_s)]
            yield Spot(self.seed, length_s, number // len(self.lengths_s), self.fps)

    @property
    def seconds(self) -> int:
        """Of all films together."""
        return sum(spot.length_s for spot in self.spots)


@dataclass(frozen=True)
class Spot:
    """A film's place among all that can be made: of this length, drawn from this seed, the `number`-th from 0.

    What it shows and when does not depend on `fps`, how many pictures a second has; what a model sees of it does.
    """

    seed: int
    length_s: int
    number: int
    fps: int = 1

    @property
    def name(self) -> str:
        """Of its file, without ending; no other film has it."""
        pace = "" if self.fps == 1 else f"-{self.fps}fps"
        return f"w{VERSION}-s{self.seed}-{self.length_s:05}s-{self.number:04}{pace}"

    @property
    def rng(self) -> np.random.Generator:
        """What it is drawn with."""
        return np.random.default_rng([_STREAM, VERSION, self.seed, self.length_s, self.number])

    def turn(self, what: str, many: int) -> int:
        """Which of `many` things has its turn in this film: in every `many` films of a length each comes once."""
        block, place = divmod(self.number, many)
        key = [_STREAM, VERSION, self.seed, self.length_s, block, *what.encode()]
        return int(np.random.default_rng(key).permutation(many)[place])


@dataclass(frozen=True)
class Question:
    """One question about a film.

    Attributes:
        text: in plain words, without the options.
        options: what may be answered.
        right: the place of the right one.
        asks_for: of recognition: "value", "colour" or "shape"; else "".
        seen_s: (from, to) of every moment that the answer rests on, in seconds.
    """

    kind: Kind
    text: str
    options: tuple[str, ...]
    right: int
    seen_s: tuple[tuple[int, int], ...]
    asks_for: str = ""

    def __post_init__(self) -> None:
        if len(set(self.options)) != OPTIONS[self.kind]:
            raise ValueError(f"{self.kind} wants {OPTIONS[self.kind]} different options, not {self.options}")


def _listed(lengths_s: tuple[int, ...]) -> str:
    return ", ".join(map(str, lengths_s)) or "none"
