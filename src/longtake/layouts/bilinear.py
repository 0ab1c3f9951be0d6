"""layouts.bilinear: each frame's features scaled down, frame after frame, one newline at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from longtake.layouts import Piece, Visual
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Bilinear:
    """LLaVA-OneVision's video: every frame scaled down by bilinear interpolation; one newline after the last.

    27 x 27 features become 14 x 14: an odd last row or column is not lost. The newline is a vector that the model
    learned; a model without one gets none. Source: arXiv 2408.03326, section 3.2.

    Attributes:
        shrink: how many times fewer rows and columns, rounded up.
    """

    shrink: int = 2

    def __post_init__(self) -> None:
        if self.shrink < 1:
            raise ValueError(f"shrink is {self.shrink}; want at least 1")

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`; a token's time is its frame's, the newline's the last frame's."""
        size = self._plane(grid.shape)
        small_TDHW = F.interpolate(grid.values_THWD.permute(0, 3, 1, 2), size, mode="bilinear")
        tokens_ND = small_TDHW.permute(0, 2, 3, 1).flatten(0, 2)
        times_s = np.repeat(grid.times_s, math.prod(size))
        if grid.newline_D is not None:
            tokens_ND = torch.cat([tokens_ND, grid.newline_D[None].to(tokens_ND)])
            times_s = np.append(times_s, grid.times_s[-1])
        return [Visual(tokens_ND, times_s)]

    def count(self, shape: GridShape) -> int:
        """T x ceil(H / shrink) x ceil(W / shrink), and one for the newline."""
        return shape.views * math.prod(self._plane(shape)) + int(shape.newline)

    def _plane(self, shape: GridShape) -> tuple[int, int]:
        return math.ceil(shape.height / self.shrink), math.ceil(shape.width / self.shrink)
