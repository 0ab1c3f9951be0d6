"""layouts.grid: each frame's features pooled in little squares, frame after frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from longtake.layouts import Piece, Visual
from longtake.layouts._pooling import pool_places, refuse_empty
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Grid:
    """UniRes, as LongVA: every frame pooled 2 x 2, row by row, frame after frame; nothing in between.

    An odd last row or column is left out. Source: arXiv 2406.16852, section 3.2.

    Attributes:
        pool: side of the square of features that becomes one token.
        mode: what becomes of the square.
    """

    frame_by_frame: ClassVar[bool] = True

    pool: int = 2
    mode: Literal["average", "max"] = "average"

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise ValueError(f"pool is {self.pool}; want at least 1")
        if self.mode not in ("average", "max"):
            raise ValueError(f"mode is {self.mode!r}; want average or max")

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`: T frames of (H // pool) x (W // pool) tokens; a token's time is its frame's.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        frames, height, width, depth = grid.values_THWD.shape
        per_frame = self._per_frame(height, width)
        pooled_THWD = pool_places(grid.values_THWD, (self.pool, self.pool), mode=self.mode)
        return [Visual(pooled_THWD.reshape(frames * per_frame, depth), np.repeat(grid.times_s, per_frame))]

    def count(self, shape: GridShape) -> int:
        """T x (H // pool) x (W // pool).

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        return shape.views * self._per_frame(shape.height, shape.width)

    def _per_frame(self, height: int, width: int) -> int:
        per_frame = (height // self.pool) * (width // self.pool)
        refuse_empty(per_frame, "layout.pool", f"{self.pool} x {self.pool} pooling of {height} x {width} features")
        return per_frame
