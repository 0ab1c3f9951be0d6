"""judges.agreeing: the marks of two judges on the same answers in, how far they agree out. Knows nobody to ask.

Only what both have scored is compared; what one or both could not score is counted beside.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from longtake.judges import Judged
from longtake.judges.kept import latest_of
from longtake.judges.prompts import aspects_of
from longtake.shares import Z_95, Share


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree in one aspect.

    Attributes:
        both, only_first, only_second, neither: how many answers have marks of whom.
        elsewhere: how many only one of them was asked about.
        others: how many ids stand for different answers in the two files; these are in no other number.
        equal: the same mark, of `both`.
        kappa: Cohen's: agreement beyond what their own frequencies of marks make by chance, 1 at best. None where
            one mark is all that either gave.
        kappa_weighted: with quadratic weights: marks far apart weigh more. The same as `kappa` for yes and no.
        difference: the mean of the second's marks less the first's; None of nothing.
        difference_reach: half of its 95 % interval; None of fewer than two.
        correlation: Pearson's; None where one of them always gave the same mark.
        means: of both, over what both have scored.
    """

    aspect: str
    both: int
    only_first: int
    only_second: int
    neither: int
    elsewhere: int
    others: int
    equal: Share
    kappa: float | None
    kappa_weighted: float | None
    difference: float | None
    difference_reach: float | None
    correlation: float | None
    means: tuple[float, float] | None

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "aspect": self.aspect,
            "both": self.both,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "neither": self.neither,
            "elsewhere": self.elsewhere,
            "others": self.others,
            "equal": self.equal.as_dict(),
            "kappa": self.kappa,
            "kappa_weighted": self.kappa_weighted,
            "difference": self.difference,
            "difference_reach": self.difference_reach,
            "correlation": self.correlation,
            "means": self.means,
        }


def agreements(first: Iterable[Judged], second: Iterable[Judged]) -> list[Agreement]:
    """By aspect, in the order of the first judge's file."""
    one, two = _by_aspect(first), _by_aspect(second)
    return [_agreement(aspect, one.get(aspect, {}), two.get(aspect, {})) for aspect in dict.fromkeys([*one, *two])]


@dataclass(frozen=True)
class _Mark:
    answer_sha256: str
    value: float | None


def _by_aspect(lines: Iterable[Judged]) -> dict[str, dict[str, _Mark]]:
    found: dict[str, dict[str, _Mark]] = {}
    for line in latest_of(lines):
        for aspect in aspects_of(line.prompt):
            value = (line.marks or {}).get(aspect)
            found.setdefault(aspect, {})[line.id] = _Mark(line.answer_sha256, value)
    return found


def _agreement(aspect: str, first: Mapping[str, _Mark], second: Mapping[str, _Mark]) -> Agreement:
    shared = [id_ for id_ in first if id_ in second]
    same = [id_ for id_ in shared if first[id_].answer_sha256 == second[id_].answer_sha256]
    marked = [(first[id_].value, second[id_].value) for id_ in same]
    pairs = [(one, two) for one, two in marked if one is not None and two is not None]
    kinds = Counter((one is not None, two is not None) for one, two in marked)
    differences = [two - one for one, two in pairs]
    return Agreement(
        aspect=aspect,
        both=len(pairs),
        only_first=kinds[True, False],
        only_second=kinds[False, True],
        neither=kinds[False, False],
        elsewhere=len(first) + len(second) - 2 * len(shared),
        others=len(shared) - len(same),
        equal=Share(sum(one == two for one, two in pairs), len(pairs)),
        kappa=kappa(pairs),
        kappa_weighted=kappa(pairs, weighted=True),
        difference=statistics.fmean(differences) if pairs else None,
        difference_reach=_reach(differences),
        correlation=correlation(pairs),
        means=(statistics.fmean(one for one, _ in pairs), statistics.fmean(two for _, two in pairs)) if pairs else None,
    )


def kappa(pairs: Sequence[tuple[float, float]], *, weighted: bool = False) -> float | None:
    """Cohen's kappa (J. Cohen 1960), or with weights that grow with the square of the distance (J. Cohen 1968).

    1 less the disagreement that was seen over that to be expected if both had given their marks by lot.
    """

    def distance(one: float, two: float) -> float:
        return (one - two) ** 2 if weighted else float(one != two)

    first, second = Counter(one for one, _ in pairs), Counter(two for _, two in pairs)
    seen = math.fsum(distance(one, two) for one, two in pairs) * len(pairs)
    by_lot = math.fsum(distance(one, two) * first[one] * second[two] for one in first for two in second)
    return 1 - seen / by_lot if by_lot else None


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's; None where it is not defined."""
    first, second = [one for one, _ in pairs], [two for _, two in pairs]
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return statistics.correlation(first, second)


def _reach(differences: Sequence[float]) -> float | None:
    if len(differences) < 2:
        return None
    return Z_95 * statistics.stdev(differences) / math.sqrt(len(differences))
