"""evals/figures: marks of answers in, the figures that are reported out. Knows no benchmark's files and no model.

What could not be asked, or got no score, is never a score: each figure says how many those are, and what it would be at
worst and at best if they had been marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from longtake.evals import Item
from longtake.evals.judged import MATCH, RANGES, SCORE
from longtake.evals.letters import Reading, is_right
from longtake.shares import Z_95, Share

RIGHT = "right"
"""The aspect of what is marked by reading the option: 1 for right and 0 for wrong."""


@dataclass(frozen=True)
class Mark:
    """What one answer is worth in one respect.

    Attributes:
        value: None where there is no score; a wrong answer is 0.
        aspect: RIGHT, or what a judge gave a score for.
        unreadable: it named no option, or several: wrong, and told apart.
        why: there is no score.
    """

    item: Item
    value: float | None
    aspect: str = RIGHT
    unreadable: bool = False
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """One reported number.

    Attributes:
        value: None where nothing was scored.
        low: bounds of the 95 % interval: Wilson's for shares, mean +- 1.96 standard errors else.
        unscored: how many have no score.
        worst: what `value` would be if those had got the least.
        unreadable: how many of the scored named no option or several.
        most: what it can be at most.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    scored: int
    unscored: int
    worst: float | None
    best: float | None
    unreadable: int = 0
    most: float = 1.0


def mark_choice(item: Item, reading: Reading) -> Mark:
    """The mark of an answer of multiple choice.

    Raises:
        ValueError: the right option is not known.
    """
    return Mark(item, float(is_right(item, reading)), unreadable=reading.option is None)


def share_of(name: str, marks: Iterable[Mark]) -> Figure:
    """The share of right answers; the unreadable are wrong ones."""
    listed = list(marks)
    scored = [mark for mark in listed if mark.value is not None]
    right, lost = sum(mark.value == 1 for mark in scored), len(listed) - len(scored)
    share = Share(right, len(scored))
    low, high = share.interval if scored else (None, None)
    worst, best = (right / len(listed), (right + lost) / len(listed)) if listed else (None, None)
    unreadable = sum(mark.unreadable for mark in scored)
    return Figure(name, share.share, low, high, len(scored), lost, worst, best, unreadable)


def mean_of(name: str, marks: Iterable[Mark], aspect: str) -> Figure:
    """The mean of a judge's scores for one aspect."""
    listed = [mark for mark in marks if mark.aspect == aspect]
    values = [mark.value for mark in listed if mark.value is not None]
    least, most = RANGES[aspect]
    if not listed:
        return Figure(name, None, None, None, 0, 0, None, None, most=most)
    lost, total = len(listed) - len(values), sum(values)
    worst, best = ((total + lost * bound) / len(listed) for bound in (least, most))
    if not values:
        return Figure(name, None, None, None, 0, lost, worst, best, most=most)
    mean = total / len(values)
    spread = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    reach = Z_95 * math.sqrt(spread / len(values))
    return Figure(name, mean, mean - reach, mean + reach, len(values), lost, worst, best, most=most)


def combined(name: str, parts: Sequence[Figure], *, total: bool = False) -> Figure:
    """The mean of figures, each with the same weight however much it rests on; with `total` their sum.

    There is none if a part has none. The interval takes the parts as independent, and half of each one's interval as
    its reach.
    """
    counts = sum(part.scored for part in parts), sum(part.unscored for part in parts)
    unreadable, weight = sum(part.unreadable for part in parts), 1.0 if total or not parts else 1 / len(parts)
    most = sum(part.most for part in parts) * weight
    worst, best = _weighed([part.worst for part in parts], weight), _weighed([part.best for part in parts], weight)
    value = _weighed([part.value for part in parts], weight)
    if value is None:
        return Figure(name, None, None, None, *counts, worst, best, unreadable, most)
    reach = weight * math.sqrt(sum((((part.high or 0) - (part.low or 0)) / 2) ** 2 for part in parts))
    return Figure(
        name, value, max(0.0, value - reach), min(most, value + reach), *counts, worst, best, unreadable, most
    )


def by_category(marks: Sequence[Mark]) -> dict[str, list[Mark]]:
    """Marks by the category of their item, in order of appearance; an item of two counts to both."""
    return _grouped((category, mark) for mark in marks for category in mark.item.categories)


def by_length(marks: Sequence[Mark]) -> dict[str, list[Mark]]:
    """Marks by the length class of their item's video."""
    return _grouped((mark.item.length_class, mark) for mark in marks if mark.item.length_class)


def by_facet(marks: Sequence[Mark], kind: str) -> dict[str, list[Mark]]:
    """Marks by a facet of their item."""
    return _grouped((value, mark) for mark in marks for name, value in mark.item.facets if name == kind)


def shares(prefix: str, groups: Mapping[str, Sequence[Mark]]) -> tuple[Figure, ...]:
    """The share of right answers in each group, named `prefix: group`."""
    return tuple(share_of(f"{prefix}: {name}", marks) for name, marks in groups.items())


def choice_figures(marks: Sequence[Mark]) -> tuple[Figure, ...]:
    """Accuracy, and that of each category and length class: what most benchmarks of multiple choice report."""
    return (
        share_of("accuracy", marks),
        *shares("length", by_length(marks)),
        *shares("category", by_category(marks)),
    )


def open_figures(marks: Sequence[Mark]) -> tuple[Figure, ...]:
    """Of open questions that a judge has marked: the share of answers that match, and the mean score of 0 to 5."""
    matched = [mark for mark in marks if mark.aspect == MATCH]
    return (
        share_of("accuracy", matched),
        mean_of("score", marks, SCORE),
        *shares("category", by_category(matched)),
    )


def _weighed(values: Sequence[float | None], weight: float) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) * weight if known and len(known) == len(values) else None


def _grouped(pairs: Iterable[tuple[str, Mark]]) -> dict[str, list[Mark]]:
    groups: dict[str, list[Mark]] = {}
    for name, mark in pairs:
        groups.setdefault(name, []).append(mark)
    return groups
