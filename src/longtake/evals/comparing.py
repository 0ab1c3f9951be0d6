"""evals/comparing: marks of two runs over the same questions in, whether they differ out. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.evals.figures import RIGHT, Mark

DRAWS = 10_000


@dataclass(frozen=True)
class Paired:
    """Two runs over the questions that both have a score for.

    Attributes:
        pairs: how many those are.
        only_first: how many only the first run has a score for.
        first: the mean of the first run's marks.
        low: bounds of the 95 % interval of `difference` (second - first), by the bootstrap.
        better: how many questions the second marks higher.
        worse: how many lower.
        p: exact McNemar, two-sided; None where marks are other than right and wrong.
    """

    pairs: int
    only_first: int
    only_second: int
    first: float
    second: float
    low: float
    high: float
    better: int
    worse: int
    p: float | None

    @property
    def difference(self) -> float:
        """Of the means: second - first."""
        return self.second - self.first


def compare(first: Sequence[Mark], second: Sequence[Mark], *, aspect: str = RIGHT, seed: int = 0) -> Paired:
    """Two runs, question by question.

    The bootstrap draws videos, not questions: questions about one video stand or fall together.

    Raises:
        ValueError: there is no question that both have a score for, or one has a question twice.
    """
    one, other = _by_id(first, aspect), _by_id(second, aspect)
    both = [name for name in one if name in other]
    if not both:
        raise ValueError("the runs have no scored question in common")
    before = np.array([one[name].value for name in both], dtype=np.float64)
    after = np.array([other[name].value for name in both], dtype=np.float64)
    better, worse = int((after > before).sum()), int((after < before).sum())
    videos = {name: number for number, name in enumerate(dict.fromkeys(one[name].item.video.key for name in both))}
    low, high = _bootstrap(after - before, np.array([videos[one[name].item.video.key] for name in both]), seed)
    binary = set(np.unique(before)) | set(np.unique(after)) <= {0.0, 1.0}
    return Paired(
        pairs=len(both),
        only_first=len(one) - len(both),
        only_second=len(other) - len(both),
        first=float(before.mean()),
        second=float(after.mean()),
        low=low,
        high=high,
        better=better,
        worse=worse,
        p=mcnemar(better, worse) if binary else None,
    )


def mcnemar(better: int, worse: int) -> float:
    """Exact McNemar (Q. McNemar 1947), two-sided: how likely a split as uneven is if either way is as likely."""
    total, less = better + worse, min(better, worse)
    tail = sum(math.comb(total, count) for count in range(less + 1))
    return float(min(1.0, tail / 2 ** (total - 1))) if total else 1.0


def _by_id(marks: Sequence[Mark], aspect: str) -> Mapping[str, Mark]:
    scored = [mark for mark in marks if mark.aspect == aspect and mark.value is not None]
    found = {mark.item.id: mark for mark in scored}
    if len(found) != len(scored):
        raise ValueError("a run has a question twice")
    return found


def _bootstrap(differences: np.ndarray, videos: np.ndarray, seed: int) -> tuple[float, float]:
    """The 2.5 and 97.5 % points of the mean difference over draws of as many videos, with replacement."""
    random = np.random.default_rng(seed)
    sums, counts = np.bincount(videos, weights=differences), np.bincount(videos)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        drawn = random.integers(len(sums), size=len(sums))
        means[draw] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
