"""layouts.slowfast: a few frames in detail, then all frames coarsely."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from longtake.layouts import Piece, Visual
from longtake.layouts._pooling import fit_places, fit_volume, pool_places, refuse_empty
from longtake.vision import FeatureGrid, GridShape

SlowPool = Literal["none", "row_max", "row_average", "square_max", "square_average", "time_average", "volume_average"]

_WINDOWS: dict[str, tuple[tuple[int, int], Literal["average", "max"]]] = {
    "none": ((1, 1), "average"),
    "row_max": ((1, 2), "max"),
    "row_average": ((1, 2), "average"),
    "square_max": ((2, 2), "max"),
    "square_average": ((2, 2), "average"),
}
_VOLUME_THW = (16, 12, 12)
"""PLLaVA's 3-D pooling, as SlowFast-LLaVA compares with it (arXiv 2407.15841)."""


@dataclass(frozen=True)
class SlowFast:
    """SlowFast-LLaVA: a few frames in detail, then all frames coarsely; nothing in between.

    Slow frames are evenly spread: number int(k x T / slow_frames) for k = 0, 1, ..., computed in float32 as released.
    A video with fewer frames than `slow_frames` shows each once. Source: arXiv 2407.15841, section 3.

    Attributes:
        slow_frames: how many frames are shown in detail; 0 leaves the slow pathway out.
        slow_pool: what becomes of the slow frames. `none` keeps every feature; `row_max` and `row_average` join two
            neighbours of a row, `square_max` and `square_average` a 2 x 2 square (odd last rows and columns are left
            out); `time_average` makes one frame of them all; `volume_average` a volume of 16 x 12 x 12 tokens,
            whatever came.
        fast_height: rows of tokens to which every frame is averaged on the fast pathway; 0 leaves it out.
        fast_width: columns of the same; 0 exactly if `fast_height` is.
        as_released: do as the released code does where that is hardly meant: row pooling runs on over row ends (which
            shows where the width is odd), and a video with fewer frames than `slow_frames` shows some repeatedly.
    """

    slow_frames: int = 10
    slow_pool: SlowPool = "row_max"
    fast_height: int = 4
    fast_width: int = 4
    as_released: bool = False

    def __post_init__(self) -> None:
        if self.slow_frames < 0:
            raise ValueError(f"slow_frames is {self.slow_frames}; want 0 or more")
        if self.slow_pool not in typing.get_args(SlowPool):
            raise ValueError(f"slow_pool is {self.slow_pool!r}; want one of {', '.join(typing.get_args(SlowPool))}")
        if min(self.fast_height, self.fast_width) < 0 or (self.fast_height == 0) != (self.fast_width == 0):
            raise ValueError(
                f"fast frames are {self.fast_height} x {self.fast_width}; want two numbers above 0, or 0 x 0"
            )
        if self.slow_frames == self.fast_height == 0:
            raise ValueError("slow_frames and fast_height are both 0; want at least one pathway")

    def slow_indices(self, frames: int) -> list[int]:
        """Which of `frames` frames the slow pathway shows, in order."""
        if self.slow_frames >= frames and not self.as_released:
            return list(range(frames))
        edges = torch.linspace(0, frames, self.slow_frames + 1, dtype=torch.float32)
        return [int(edge) for edge in edges[:-1]]

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`: slow frames in order, then fast frames in order, each row by row.

        A token's time is its frame's; where frames are averaged over time, the mean time of those averaged.

        Raises:
            LongtakeError: `usage.bad_option` if `slow_pool` leaves nothing of a frame.
        """
        pathways = []
        if self.slow_frames:
            pathways.append(self._slow(grid))
        if self.fast_height:
            pathways.append(_tokens(fit_places(grid.values_THWD, (self.fast_height, self.fast_width)), grid.times_s))
        return [Visual(torch.cat([tokens for tokens, _ in pathways]), np.concatenate([times for _, times in pathways]))]

    def count(self, shape: GridShape) -> int:
        """Slow tokens plus T x fast_height x fast_width.

        Raises:
            LongtakeError: `usage.bad_option` if `slow_pool` leaves nothing of a frame.
        """
        shown = len(self.slow_indices(shape.views))
        slow = self._slow_count(shown, shape.height, shape.width) if self.slow_frames else 0
        return slow + shape.views * self.fast_height * self.fast_width

    def _slow(self, grid: FeatureGrid) -> tuple[torch.Tensor, NDArray[np.float64]]:
        chosen = self.slow_indices(len(grid.times_s))
        values_THWD, times_s = grid.values_THWD[chosen], grid.times_s[chosen]
        frames, height, width, depth = values_THWD.shape
        self._slow_count(frames, height, width)
        if self.slow_pool in _WINDOWS:
            height, width = self._slow_plane(height, width)
            window, mode = _WINDOWS[self.slow_pool]
            return _tokens(pool_places(values_THWD.reshape(frames, height, width, depth), window, mode=mode), times_s)
        size_THW = self._slow_volume(height, width)
        mean_times_s = F.adaptive_avg_pool1d(torch.from_numpy(times_s)[None], size_THW[0])[0].numpy()
        return _tokens(fit_volume(values_THWD, size_THW), mean_times_s)

    def _slow_count(self, frames: int, height: int, width: int) -> int:
        if self.slow_pool not in _WINDOWS:
            return math.prod(self._slow_volume(height, width))
        rows, columns = _WINDOWS[self.slow_pool][0]
        plane = self._slow_plane(height, width)
        per_frame = (plane[0] // rows) * (plane[1] // columns)
        refuse_empty(per_frame, "layout.slow_pool", f"{self.slow_pool} of {height} x {width} features")
        return frames * per_frame

    def _slow_plane(self, height: int, width: int) -> tuple[int, int]:
        over_row_ends = self.as_released and self.slow_pool in ("row_max", "row_average")
        return (1, height * width) if over_row_ends else (height, width)

    def _slow_volume(self, height: int, width: int) -> tuple[int, int, int]:
        return (1, height, width) if self.slow_pool == "time_average" else _VOLUME_THW


def _tokens(values_THWD: torch.Tensor, times_s: NDArray[np.float64]) -> tuple[torch.Tensor, NDArray[np.float64]]:
    _, height, width, _ = values_THWD.shape
    return values_THWD.flatten(0, 2), np.repeat(times_s, height * width)
