"""layouts.anyres: the whole picture, then its tiles put together again, bars cut off, each row ended by a newline."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from longtake.layouts import Piece, View, Visual
from longtake.layouts._pictures import pictures_of
from longtake.vision import FeatureGrid, GridShape, Tiling

Merge = Literal["spatial_unpad", "spatial", "flat"]


@dataclass(frozen=True)
class Anyres:
    """AnyRes, as LLaVA-NeXT: the whole picture, then the picture of its tiles without its bars, a newline a row.

    The newline is a vector that the model learned; a model without one gets none. A view without tiles is followed by
    one newline. On a video every frame is such a picture. Source: the LLaVA-NeXT release of 2024-01-30; `most_tiles` is
    LLaVA-OneVision's `anyres_max` (arXiv 2408.03326, section 3.2).

    Attributes:
        merge: `spatial_unpad` puts the tiles together, cuts the bars off and ends each row with a newline; `spatial`
            only puts them together; `flat` shows tile after tile.
        most_tiles: a picture of tiles with more features than so many views have is scaled down to about as many; 0
            sets no bound.
        tiled: cut pictures into tiles; else each is shown as a whole alone, as LLaVA-OneVision does with several.
    """

    merge: Merge = "spatial_unpad"
    most_tiles: int = 0
    tiled: bool = True

    def __post_init__(self) -> None:
        if self.merge not in typing.get_args(Merge):
            raise ValueError(f"merge is {self.merge!r}; want one of {', '.join(typing.get_args(Merge))}")
        if self.most_tiles < 0:
            raise ValueError(f"most_tiles is {self.most_tiles}; want 0 or more")

    @property
    def view(self) -> View:
        """Each picture and its tiles."""
        return View(tiled=self.tiled)

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual` for each picture; each token's time is its frame's."""
        pieces: list[Piece] = []
        newline_D = grid.newline_D if self.merge == "spatial_unpad" else None
        for views_THWD, times_s, tiling in pictures_of(grid):
            tokens_ND = views_THWD[0].flatten(0, 1)
            if tiling is not None:
                tokens_ND = torch.cat([tokens_ND, self._tiles(views_THWD[1:], tiling, newline_D)])
            elif newline_D is not None:
                tokens_ND = torch.cat([tokens_ND, newline_D[None]])
            pieces.append(Visual(tokens_ND, np.repeat(times_s[:1], len(tokens_ND))))
        return pieces

    def count(self, shape: GridShape) -> int:
        """H x W of each picture, and what is left of its tiles with the newlines."""
        newline = int(shape.newline and self.merge == "spatial_unpad")
        whole = shape.height * shape.width
        if not shape.tilings:
            return shape.views * (whole + newline)
        total = 0
        for tiling in shape.tilings:
            height, width = self._size(tiling, shape.height, shape.width)
            total += whole + height * (width + newline)
        return total

    def _tiles(self, tiles_THWD: torch.Tensor, tiling: Tiling, newline_D: torch.Tensor | None) -> torch.Tensor:
        _, height, width, depth = tiles_THWD.shape
        if self.merge == "flat":
            return tiles_THWD.flatten(0, 2)
        joined_RHCWD = tiles_THWD.reshape(tiling.rows, tiling.columns, height, width, depth).transpose(1, 2)
        joined_HWD = joined_RHCWD.reshape(tiling.rows * height, tiling.columns * width, depth)
        if self.merge == "spatial_unpad":
            joined_HWD = _without_bars(joined_HWD, tiling)
            size = self._size(tiling, height, width)
            if joined_HWD.shape[:2] != size:
                joined_1DHW = joined_HWD.permute(2, 0, 1)[None]
                joined_HWD = F.interpolate(joined_1DHW, size, mode="bilinear")[0].permute(1, 2, 0)
        if newline_D is not None:
            joined_HWD = torch.cat([joined_HWD, newline_D.expand(len(joined_HWD), 1, depth).to(joined_HWD)], dim=1)
        return joined_HWD.flatten(0, 1)

    def _size(self, tiling: Tiling, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of features that are left of the tiles."""
        rows, columns = tiling.rows * height, tiling.columns * width
        if self.merge != "spatial_unpad":
            return rows, columns
        (top, bottom), (left, right) = _inside(tiling, rows, columns)
        rows, columns = bottom - top, right - left
        if self.most_tiles:
            # Scaled down only where it is worth it, as released: beyond a tenth too many along each side.
            over = math.sqrt(rows * columns / (self.most_tiles * height * height))
            if over > 1.1:
                rows, columns = int(rows // over), int(columns // over)
        return rows, columns


def _inside(tiling: Tiling, rows: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and columns of features, from and to, that show the picture and not the bars around it."""
    if tiling.width_px * rows > columns * tiling.height_px:
        bar = (rows - tiling.height_px * columns // tiling.width_px) // 2
        return (bar, rows - bar), (0, columns)
    bar = (columns - tiling.width_px * rows // tiling.height_px) // 2
    return (0, rows), (bar, columns - bar)


def _without_bars(joined_HWD: torch.Tensor, tiling: Tiling) -> torch.Tensor:
    (top, bottom), (left, right) = _inside(tiling, *joined_HWD.shape[:2])
    return joined_HWD[top:bottom, left:right]
