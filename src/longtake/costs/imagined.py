"""costs.imagined: a duration and a size in; a video that is not at hand out, as far as a plan needs one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from longtake.video import Frames, LostSpan, Shrink

FRAME_RATE = 25.0


@dataclass(frozen=True)
class ImaginedVideo:
    """A video of 25 frames a second that nobody has.

    Attributes:
        duration_s: how long it runs.
        width_px, height_px: of a frame.
    """

    duration_s: float
    width_px: int
    height_px: int
    path: str = "a video that is not at hand"
    lost_s: tuple[LostSpan, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """Every 40 ms."""
        return np.arange(max(2, round(self.duration_s * FRAME_RATE))) / FRAME_RATE

    @property
    def numbers(self) -> NDArray[np.int64]:
        """All."""
        return np.arange(len(self.times_s), dtype=np.int64)

    def stretch(self, start_s: float | None, end_s: float | None) -> ImaginedVideo:
        """It is as long as it is said to be."""
        raise ValueError("a video that is not at hand has no stretches")

    def read(self, numbers: Sequence[int], *, chunk: int = 32, shrink: Shrink | None = None) -> Iterator[Frames]:
        """Nothing comes."""
        return iter(())
