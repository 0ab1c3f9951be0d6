"""vision.tiles: a picture of any size in, tiles of a vision tower's size out. Knows no model.

LLaVA-NeXT calls it AnyRes: of some grids of tiles the one that suits a picture best is filled, aspect ratio kept.
UniRes (LongVA, arXiv 2406.16852, section 3.2) treats a picture as a film of such tiles: each becomes the same grid of
tokens as a frame of a video, row by row, tile after tile, with nothing in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TileGrid = tuple[int, int]
"""Columns and rows of tiles."""

LLAVA_TILES: tuple[TileGrid, ...] = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
"""The grids of LLaVA-1.6's checkpoints, in their order: what a model gets that names none."""

LONGVA_TILES = 49


def grids(most: int, *, least: int = 1) -> list[TileGrid]:
    """All grids of `least` to `most` tiles, narrow ones first, flat ones first among these.

    LongVA's own list is that of 2 to 49 tiles: a picture that fits one tile gets two there.
    """
    if not 1 <= least <= most:
        raise ValueError(f"tiles are {least} to {most}; want at least 1, and no more than there may be")
    return [
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if columns * rows >= least
    ]


def best_grid(width: int, height: int, *, side_px: int, choices: Sequence[TileGrid]) -> TileGrid:
    """The grid that shows most of a picture of `width` x `height` pixels, and of these the one that wastes least.

    The picture is scaled into the grid with its aspect ratio kept. Pixels beyond its own do not count as shown. Of
    grids that are as good as each other the first is taken.
    """

    def worth(grid: TileGrid) -> tuple[int, int]:
        columns_px, rows_px = grid[0] * side_px, grid[1] * side_px
        scale = min(columns_px / width, rows_px / height)
        shown = min(int(width * scale) * int(height * scale), width * height)
        return shown, shown - columns_px * rows_px

    return max(choices, key=worth)


def cut(image_HWC: NDArray[np.uint8], grid: TileGrid, *, side_px: int) -> NDArray[np.uint8]:
    """The tiles of a picture, row by row: (columns x rows, 3, side_px, side_px) uint8.

    The picture is resized (bicubic, as Pillow) to touch two edges of the grid, centred, and black bars fill the rest.
    """
    height, width = image_HWC.shape[:2]
    columns, rows = grid
    wide_px, high_px = columns * side_px, rows * side_px
    across, down = wide_px / width, high_px / height
    if across < down:
        size = (wide_px, min(math.ceil(height * across), high_px))
    else:
        size = (min(math.ceil(width * down), wide_px), high_px)
    canvas = Image.new("RGB", (wide_px, high_px))
    small = Image.fromarray(image_HWC).resize(size, Image.Resampling.BICUBIC)
    canvas.paste(small, ((wide_px - size[0]) // 2, (high_px - size[1]) // 2))
    tiles_RSCSC = np.asarray(canvas).reshape(rows, side_px, columns, side_px, 3)
    return np.ascontiguousarray(tiles_RSCSC.transpose(0, 2, 4, 1, 3).reshape(rows * columns, 3, side_px, side_px))
