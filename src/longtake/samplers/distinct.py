"""samplers/distinct: of frames that a model has glanced at, those that differ and cover the video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.samplers.every import Every
from longtake.samplers.uniform import evenly_spread
from longtake.video import Video


@dataclass(frozen=True)
class Distinct:
    """Of a look every few seconds, the frames that differ: half cover the time, half what is unlike the rest.

    It looks first (`sift`), so it costs the encoding of all candidates, and needs no question. A candidate that is like
    the one kept before it is dropped. If more are left than `frames`, half of these stand for evenly spread times, and
    the others are added one by one, each the least like all that are kept: the greedy rule for k centres (Gonzalez,
    Theor. Comput. Sci. 38, 1985), begun from a set that is given (Sener and Savarese, arXiv 1708.00489, algorithm 1).

    Attributes:
        frames: how many are kept at most. Where little changes there are fewer.
        seconds: the step from one candidate to the next.
        candidates: how many there are at most; where the step makes more, so many of them, evenly spread.
        alike: frames whose features have at least this cosine show the same. Where nothing changes, coding and rounding
            left 0.9999 and more (nano, a panning camera; docs/log.md).
    """

    frames: int = 64
    seconds: float = 1.0
    candidates: int = 3600
    alike: float = 0.999

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; want at least 1")
        if self.candidates < self.frames:
            raise ValueError(f"candidates is {self.candidates}; want at least frames, which is {self.frames}")
        if not 0 < self.alike <= 1:
            raise ValueError(f"alike is {self.alike}; want more than 0, and 1 at most")
        Every(seconds=self.seconds)

    def pick(self, video: Video, question: str) -> list[int]:
        """The candidates: the frame on screen every `seconds`, at most `candidates` of these, evenly spread."""
        looks = Every(seconds=self.seconds).pick(video, question)
        return [looks[place] for place in evenly_spread(len(looks), min(len(looks), self.candidates))]

    def sift(self, features_TD: NDArray[np.float32], times_s: NDArray[np.float64]) -> list[int]:
        """Which of T candidates are kept: strictly ascending, at least one, at most `frames`; always the same.

        Args:
            features_TD: of each candidate as a whole, of any length.
            times_s: (T,) ascending.
        """
        lengths_T1 = np.linalg.norm(features_TD, axis=1, keepdims=True)
        unit_TD = features_TD / np.maximum(lengths_T1, np.finfo(np.float32).tiny)
        fresh = self._fresh(unit_TD)
        if len(fresh) <= self.frames:
            return fresh
        kept = _standing_at_even_times(times_s[fresh], (self.frames + 1) // 2)
        return [fresh[place] for place in self._widened(unit_TD[fresh], kept)]

    def _fresh(self, unit_TD: NDArray[np.float32]) -> list[int]:
        """The first, and each that is unlike the one kept before it."""
        kept = [0]
        for place in range(1, len(unit_TD)):
            if unit_TD[place] @ unit_TD[kept[-1]] < self.alike:
                kept.append(place)
        return kept

    def _widened(self, unit_TD: NDArray[np.float32], kept: list[int]) -> list[int]:
        """More and more of those that are least like all that are kept, the earliest of equals, while any is unlike."""
        closest_T = (unit_TD @ unit_TD[kept].T).max(axis=1)
        closest_T[kept] = np.inf
        while len(kept) < self.frames and closest_T.min() < self.alike:
            place = int(closest_T.argmin())
            kept = [*kept, place]
            closest_T = np.maximum(closest_T, unit_TD @ unit_TD[place])
            closest_T[place] = np.inf
        return sorted(kept)


def _standing_at_even_times(times_s: NDArray[np.float64], count: int) -> list[int]:
    """The places of those that stand at `count` evenly spread times: each is the last that is no later."""
    wanted_s = np.linspace(times_s[0], times_s[-1], count)
    places = np.searchsorted(times_s, wanted_s, side="right") - 1
    return [int(place) for place in np.unique(places)]
