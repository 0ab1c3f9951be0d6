"""train/order: how many samples there are and a seed in, their order out: every round through them is another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Order:
    """A permutation for each round, which follows from the seed alone and can be entered anywhere.

    Attributes:
        samples: how many there are.
        seed: of all rounds.
    """

    samples: int
    seed: tuple[int, ...]
    _round: tuple[int, list[int]] | None = field(default=None, repr=False)

    def at(self, place: int) -> int:
        """The number of the sample whose turn is at `place`, counted through all rounds."""
        round_, place = divmod(place, self.samples)
        if self._round is None or self._round[0] != round_:
            rng = np.random.default_rng([*self.seed, round_])
            self._round = (round_, rng.permutation(self.samples).tolist())
        return self._round[1][place]


AMONG_BATCHES = 16
"""So many batches are drawn at once for `Grouped` to put like with like: small enough that rounds differ."""


@dataclass
class Grouped:
    """An order in which the samples of a batch are of one kind and of like length, so that little of it is padding.

    Each round is drawn as by `Order`; of every AMONG_BATCHES batches the samples are sorted by kind and length and cut
    into batches anew, and these are drawn once more. Where kinds meet, and at a round's end, a batch may be mixed.

    Attributes:
        likeness: kind and length of each sample.
        batch: samples in one.
        seed: of all rounds.
    """

    likeness: Sequence[tuple[int, int]]
    batch: int
    seed: tuple[int, ...]
    _round: tuple[int, list[int]] | None = field(default=None, repr=False)

    def at(self, place: int) -> int:
        """See `Order.at`."""
        round_, place = divmod(place, len(self.likeness))
        if self._round is None or self._round[0] != round_:
            self._round = (round_, self._drawn(np.random.default_rng([*self.seed, round_])))
        return self._round[1][place]

    def _drawn(self, rng: np.random.Generator) -> list[int]:
        drawn: list[int] = rng.permutation(len(self.likeness)).tolist()
        batches: list[list[int]] = []
        for start in range(0, len(drawn), AMONG_BATCHES * self.batch):
            some = sorted(drawn[start : start + AMONG_BATCHES * self.batch], key=lambda number: self.likeness[number])
            batches += [some[first : first + self.batch] for first in range(0, len(some), self.batch)]
        # A short batch would put all behind it out of step with the batches that are taken: it comes last.
        whole = [one for one in batches if len(one) == self.batch]
        short = [one for one in batches if len(one) < self.batch]
        mixed = [whole[number] for number in rng.permutation(len(whole))] + short
        return [number for one in mixed for number in one]
