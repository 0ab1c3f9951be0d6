"""samplers: a video's frame table in, the numbers of the frames to read out. Knows nothing of pixels or models."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from longtake.video import Video


class Sampler(Protocol):
    """Says which frames are looked at. Its dataclass fields are its options."""

    def pick(self, video: Video, question: str) -> list[int]:
        """Frame numbers to read, strictly ascending, all from `video.numbers`.

        A video that has fewer frames than the sampler would take gives all that it has: never one twice.

        Raises:
            LongtakeError: `usage.bad_option` if an option does not fit this video.
        """
        ...


class Sifter(Protocol):
    """A sampler that looks before it chooses: what it picks are candidates, and of their features it keeps some."""

    @property
    def frames(self) -> int:
        """How many it keeps at most."""
        ...

    def sift(self, features_TD: NDArray[np.float32], times_s: NDArray[np.float64]) -> list[int]:
        """Which candidates are kept: places among T, strictly ascending, at least one, at most `frames`.

        Args:
            features_TD: of each candidate as a whole: the mean over its places of what the model's encoder makes of it.
            times_s: (T,) their presentation times in seconds, ascending.
        """
        ...


def sifter_of(sampler: Sampler) -> Sifter | None:
    """The sampler, if it looks before it chooses (it has `sift`); else None: what it picks is what is seen."""
    return cast(Sifter, sampler) if hasattr(sampler, "sift") else None


def sifted(sifter: Sifter, features_TD: NDArray[np.float32], times_s: NDArray[np.float64]) -> list[int]:
    """What `sifter` keeps.

    Raises:
        ValueError: it is not what a sifter may keep.
    """
    kept = sifter.sift(features_TD, times_s)
    ascending = all(one < other for one, other in pairwise(kept))
    if not (1 <= len(kept) <= sifter.frames and ascending and 0 <= kept[0] and kept[-1] < len(times_s)):
        raise ValueError(f"the sampler kept {kept} of {len(times_s)}; want 1 to {sifter.frames} places, ascending")
    return kept
