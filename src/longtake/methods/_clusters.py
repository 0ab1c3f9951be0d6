"""methods._clusters: features of frames in, clusters and the frame at the centre of each out. Knows no video.

k-means by hand: a few thousand vectors and at most dozens of clusters take milliseconds here, and scikit-learn would
bring scipy for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

ROUNDS = 100
"""Lloyd's algorithm ends long before, when nothing moves."""


@dataclass(frozen=True)
class Cluster:
    """Features that lie together.

    Attributes:
        members: their places, ascending.
        centre: the place of the one that is nearest to their mean.
    """

    members: tuple[int, ...]
    centre: int


def clusters(features_TD: torch.Tensor, members: tuple[int, ...], count: int, *, seed: int) -> list[Cluster]:
    """The features at `members` in at most `count` clusters, by k-means (k-means++, then Lloyd), in order of `centre`.

    There are fewer where fewer features differ. The same seed makes the same clusters.
    """
    points_ND = features_TD[list(members)].double()
    means_KD = _spread(points_ND, count, torch.Generator().manual_seed(seed))
    nearest_N = torch.cdist(points_ND, means_KD).argmin(1)
    for _ in range(ROUNDS):
        for number in nearest_N.unique().tolist():
            means_KD[number] = points_ND[nearest_N == number].mean(0)
        moved_N = torch.cdist(points_ND, means_KD).argmin(1)
        if bool((moved_N == nearest_N).all()):
            break
        nearest_N = moved_N
    found = []
    for number in nearest_N.unique().tolist():
        own = (nearest_N == number).nonzero()[:, 0]
        away = torch.cdist(points_ND[own], points_ND[own].mean(0, keepdim=True))[:, 0]
        places = tuple(members[place] for place in own.tolist())
        found.append(Cluster(places, places[int(away.argmin())]))
    return sorted(found, key=lambda cluster: cluster.centre)


def _spread(points_ND: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Up to `count` different points, each drawn the likelier the further it is from those before (k-means++)."""
    chosen = [int(torch.randint(len(points_ND), (1,), generator=generator))]
    while len(chosen) < count:
        away_N = torch.cdist(points_ND, points_ND[chosen]).amin(1).square()
        if not bool(away_N.any()):
            break
        chosen.append(int(torch.multinomial(away_N, 1, generator=generator)))
    return points_ND[chosen].clone()
