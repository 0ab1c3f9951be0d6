"""reports: rows of runs in; figures side by side, tables, plots and comparisons out. Knows no model, no video.

`accounting` sums a run up, once for each rule, way of scoring and judge; `published` has what papers report; `tables`
and `drawing` put both before a reader; `pairing` compares two runs question by question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from longtake.evals.figures import Figure
from longtake.measure import Header, Scoring

Rule = Literal["right", "released"]
"""How answers and judges' replies are marked: by longtake's rules, or as the papers' scripts do (`evals.released`)."""


@dataclass(frozen=True)
class Counts:
    """How many questions came to what. Each of those that were asked is scored, failed or unscored.

    Attributes:
        items: that the run is to ask.
        asked: that have a row.
        scored: all that is to be marked of them has a mark.
        failed: something went wrong; never a score.
        unscored: nobody has marked them, or their authors keep the answers back.
        unreadable: of the scored, those whose answer names no option or several.
        kept_back: of the unscored, those whose answers the authors keep to themselves.
    """

    items: int
    asked: int
    scored: int
    failed: int
    unscored: int
    unreadable: int
    kept_back: int = 0

    @property
    def missing(self) -> int:
        """Not asked yet."""
        return self.items - self.asked

    @property
    def coverage(self) -> float:
        """The share of all questions that has a score."""
        return self.scored / self.items if self.items else 0.0

    @property
    def whole(self) -> bool:
        """Whether every question that can be scored here is."""
        return self.scored + self.kept_back == self.items


@dataclass(frozen=True)
class Account:
    """One run as one rule, one way of scoring and one judge sum it up.

    Attributes:
        name: what the run is called: its folder's name.
        folder: as the user named it.
        title: the benchmark's own.
        rule: see `Rule`.
        scoring: of multiple choice; None where nothing is.
        judge: who marked open answers; "" where nobody did.
        figures: what the benchmark's authors report, the chief one first.
        frames: that were seen, on average over the questions that did not fail; None where none did.
        tokens: visual ones, likewise.
        own_marks: the run itself has marked open answers (needles in a haystack).
        chances: of figures of multiple choice, what guessing among the options gets.
        notes: what else is to be known about it.
    """

    name: str
    folder: str
    header: Header
    title: str
    rule: Rule
    scoring: Scoring | None
    judge: str
    counts: Counts
    figures: tuple[Figure, ...]
    frames: float | None
    tokens: float | None
    own_marks: bool = False
    chances: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.header.model.get("name", ""))

    @property
    def way(self) -> str:
        """How answers were marked, in words: `letter`, `letter, as released`, `judge gpt-x`."""
        told: list[str] = [self.scoring] if self.scoring else []
        told += [f"judge {self.judge}"] if self.judge else []
        told += ["the run itself"] if self.own_marks and not self.judge else []
        told += ["as released"] if self.rule == "released" else []
        return ", ".join(told) or "not marked"

    def part(self, room: str) -> str:
        """A part's name with the options that it was given, or ""."""
        return part_told(self.header.parts.get(room))


def part_told(part: Any) -> str:
    """`slowfast` of `{"name": "slowfast", "options": {...}}`, or of the name alone; "" of nothing."""
    return str(part.get("name", "")) if isinstance(part, Mapping) else str(part or "")
