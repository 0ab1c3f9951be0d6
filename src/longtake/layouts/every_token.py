"""layouts.every_token: all that the tower makes of each frame, frame after frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from longtake.layouts import Piece, Visual
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class EveryToken:
    """Video-LLaVA's video: each frame's class token, then all of its features row by row; nothing in between.

    16 x 16 features make 257 tokens. A model that was not taught to read class tokens gets none. Source: arXiv
    2311.10122, section 3.1.
    """

    frame_by_frame: ClassVar[bool] = True

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`; a token's time is its frame's."""
        tokens_TND = grid.values_THWD.flatten(1, 2)
        if grid.class_TD is not None:
            tokens_TND = torch.cat([grid.class_TD[:, None], tokens_TND], dim=1)
        return [Visual(tokens_TND.flatten(0, 1), np.repeat(grid.times_s, tokens_TND.shape[1]))]

    def count(self, shape: GridShape) -> int:
        """T x (H x W, and one for the class token)."""
        return shape.views * (shape.height * shape.width + int(shape.class_token))
