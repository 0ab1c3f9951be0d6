"""layouts.frames_as_images: frames as the tiles of one tall picture, each row of it ended by a newline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from longtake.layouts import Piece, Visual
from longtake.layouts._pooling import pool_places, refuse_empty
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class FramesAsImages:
    """LLaVA-NeXT-Image: an image model reads frames as the tiles of an AnyRes picture of one column.

    Each frame is pooled 2 x 2 (24 x 24 features become 144 tokens) and each of its rows ends with the newline that the
    model learned, where it has one. There is no picture of the whole, since there is none. Source: LLaVA-NeXT: A Strong
    Zero-shot Video Understanding Model (LLaVA blog, 2024-04-30), section 1; that rows end with newlines in it is read
    off AnyRes, not off released code.

    Attributes:
        pool: side of the square of features that is averaged to one token.
    """

    frame_by_frame: ClassVar[bool] = True

    pool: int = 2

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise ValueError(f"pool is {self.pool}; want at least 1")

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`; a token's time is its frame's.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        height, width = self._plane(grid.shape)
        pooled_THWD = pool_places(grid.values_THWD, (self.pool, self.pool), mode="average")
        if grid.newline_D is not None:
            frames, _, _, depth = pooled_THWD.shape
            ends_TH1D = grid.newline_D.to(pooled_THWD).expand(frames, height, 1, depth)
            pooled_THWD = torch.cat([pooled_THWD, ends_TH1D], dim=2)
        return [Visual(pooled_THWD.flatten(0, 2), np.repeat(grid.times_s, height * width))]

    def count(self, shape: GridShape) -> int:
        """T x (H // pool) x (W // pool, and one for the newline).

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        height, width = self._plane(shape)
        return shape.views * height * width

    def _plane(self, shape: GridShape) -> tuple[int, int]:
        """Rows and columns of tokens of a frame, newlines included."""
        height, width = shape.height // self.pool, shape.width // self.pool
        what = f"{self.pool} x {self.pool} pooling of {shape.height} x {shape.width} features"
        refuse_empty(height * width, "layout.pool", what)
        return height, width + int(shape.newline)
