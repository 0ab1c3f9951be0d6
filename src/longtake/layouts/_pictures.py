"""layouts._pictures: a grid in, the views of one picture after the other out. Shared by layouts; no layout itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.vision import FeatureGrid, GridShape, Tiling


def view_counts(shape: GridShape) -> list[int]:
    """How many views each picture has; a view without tiles is a picture by itself."""
    return [tiling.views for tiling in shape.tilings] or [1] * shape.views


def pictures_of(grid: FeatureGrid) -> Iterator[tuple[torch.Tensor, NDArray[np.float64], Tiling | None]]:
    """Each picture's views (whole first), their times, and how it was cut."""
    start = 0
    for number, views in enumerate(view_counts(grid.shape)):
        part = slice(start, start + views)
        yield grid.values_THWD[part], grid.times_s[part], grid.tilings[number] if grid.tilings else None
        start += views
