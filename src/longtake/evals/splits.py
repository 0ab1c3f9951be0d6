"""evals/splits: question ids in, which published split they are out. Knows no benchmark's files.

A score on a validation split says nothing about a test split, and files do not say which they are: IG-VLM's, which
SlowFast-LLaVA was measured on, are validation splits in four cases. So a file is known by its question ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from longtake.evals import Card


@dataclass(frozen=True)
class Told:
    """Which split it is.

    Attributes:
        name: the authors' name, or "unknown".
        whole: whether all of it is there.
        why: how that is known.
    """

    name: str
    whole: bool
    why: str


def split_of(card: Card, ids: Collection[str]) -> Told:
    """The split whose questions these are."""
    marks = digest(ids)
    for split in card.splits:
        if split.digest == marks:
            return Told(split.name, True, f"its {len(ids):,} question ids are those of {split.name} ({split.source})")
    numbers = [int(one) for one in ids if one.isdecimal()]
    for split in card.splits:
        if split.numbers and len(numbers) == len(ids) > 0 and all(number in split.numbers for number in numbers):
            first, last = split.numbers[0], split.numbers[-1]
            why = f"its question ids lie in {first} to {last}, those of {split.name} ({split.source})"
            return Told(split.name, len(ids) == split.count, why)
    counted = [split for split in card.splits if not split.digest and not split.numbers and split.count == len(ids)]
    if len(counted) == 1:
        why = f"it has as many questions as {counted[0].name}; the ids could not be compared"
        return Told(counted[0].name, True, why)
    return Told("unknown", False, f"{len(ids):,} questions, whose ids are those of no whole split that longtake knows")


def digest(ids: Collection[str]) -> str:
    """SHA-256 of the ids, sorted, one a line."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
