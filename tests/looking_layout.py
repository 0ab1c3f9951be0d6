"""A layout for tests that decides by the features themselves what it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtake.layouts import Piece, Visual
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Looking:
    """One token a frame: its first feature, turned around where it is negative."""

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """T tokens."""
        first_TD = grid.values_THWD[:, 0, 0]
        return [Visual(first_TD if float(first_TD.sum()) > 0 else -first_TD, np.array(grid.times_s))]

    def count(self, shape: GridShape) -> int:
        """One a frame."""
        return shape.views
