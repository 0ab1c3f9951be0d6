"""layouts.unires_image: a picture's tiles, each pooled as a frame of a video is; the whole picture left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from longtake.layouts import Piece, View, Visual
from longtake.layouts._pictures import pictures_of, view_counts
from longtake.layouts.grid import Grid
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class UniresImage:
    """UniRes for pictures, as LongVA: tile after tile, row by row, each pooled 2 x 2; nothing in between.

    The whole picture goes through the tower but is not shown, as released. A view without tiles keeps all its features.
    Source: arXiv 2406.16852, section 3.2.

    Attributes:
        pool: side of the square of features that becomes one token.
        mode: what becomes of the square.
    """

    view: ClassVar[View] = View(tiled=True)

    pool: int = 2
    mode: Literal["average", "max"] = "average"

    def __post_init__(self) -> None:
        Grid(self.pool, self.mode)

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual` for each picture.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a tile.
        """
        pieces: list[Piece] = []
        for views_THWD, times_s, tiling in pictures_of(grid):
            if tiling is None:
                _, height, width, depth = views_THWD.shape
                pieces.append(Visual(views_THWD.reshape(-1, depth), np.repeat(times_s, height * width)))
            else:
                pieces += Grid(self.pool, self.mode).arrange(FeatureGrid(views_THWD[1:], times_s[1:]))
        return pieces

    def count(self, shape: GridShape) -> int:
        """Tiles x (H // pool) x (W // pool); H x W of a view without tiles.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a tile.
        """
        if not shape.tilings:
            return shape.views * shape.height * shape.width
        tiles = sum(views - 1 for views in view_counts(shape))
        return Grid(self.pool, self.mode).count(GridShape(tiles, shape.height, shape.width))
