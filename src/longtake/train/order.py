"""train/order: how many samples there are and a seed in, their order out: every round through them is another one."""

from __future__ import annotations

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
