"""reports: rows of runs in; figures side by side, tables, plots and comparisons out. Knows no model, no video.

`accounting` sums a run up, once for each rule, way of scoring and judge; `published` has what papers report; `tables`
and `drawing` put both before a reader; `pairing` compares two runs question by question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from longtake import parts
from longtake.errors import LongtakeError
from longtake.evals.figures import Figure
from longtake.measure import Header, Scoring

Rule = Literal["right", "released"]
"""How answers and judges' replies are marked: by longtake's rules, or as the papers' scripts do (`evals.released`)."""
ROOM_OF = {"sampler": "samplers", "layout": "layouts", "image_layout": "layouts", "rope": "ropes", "method": "methods"}
"""The room of each part that a header tells."""


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
        tokens: visual ones, likewise; all that were read, where a run tells no more (needles in a haystack).
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

    def part(self, kind: str, *, but: tuple[str, ...] = ()) -> str:
        """A part's name and those of its options that are not the defaults: `grid (pool 1)`; "" where there is none.

        Args:
            but: options that are not told.
        """
        return part_told(kind, self.header.parts.get(kind), but=but)

    def part_name(self, kind: str) -> str:
        """A part's name alone, or ""."""
        return _name_of(self.header.parts.get(kind))


def part_told(kind: str, part: Any, *, but: tuple[str, ...] = ()) -> str:
    """`grid (pool 1)` of `{"name": "grid", "options": {...}}`: the options that are not the part's defaults.

    All are told of a part that is not to be found here.
    """
    name = _name_of(part)
    given = part.get("options") if isinstance(part, Mapping) else None
    if not name or not isinstance(given, Mapping):
        return name
    known = _defaults(ROOM_OF.get(kind, kind), name)
    other = [
        f"{key} {_short(value)}" for key, value in given.items() if key not in but and known.get(key, ...) != value
    ]
    return f"{name} ({', '.join(other)})" if other else name


def _name_of(part: Any) -> str:
    return str(part.get("name", "")) if isinstance(part, Mapping) else str(part or "")


def _defaults(room: str, name: str) -> dict[str, Any]:
    """The defaults of a part's options, as a header holds them; {} where the part is not to be found."""
    try:
        known = parts.defaults(parts.find(room, name))
    except (LongtakeError, ImportError):
        return {}
    told: dict[str, Any] = json.loads(json.dumps({key: value for key, value in known.items() if value is not ...}))
    return told


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
