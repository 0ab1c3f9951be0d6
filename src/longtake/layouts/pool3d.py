"""layouts.pool3d: all frames averaged together into one volume of tokens, whatever came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from longtake.layouts import Piece, Visual
from longtake.layouts._pooling import fit_volume
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Pool3d:
    """PLLaVA's adaptive pooling: frames, rows and columns averaged to a volume of fixed size.

    PLLaVA also trains LoRA weights of the language model on video; this is its pooling alone. Source: arXiv
    2404.16994, section 3.3, whose released setting is 16 frames of 12 x 12.

    Attributes:
        frames, height, width: of the volume; where there is less, features repeat.
    """

    frames: int = 16
    height: int = 12
    width: int = 12

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1:
            raise ValueError(f"the volume is {self.frames} x {self.height} x {self.width}; want at least 1 each")

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`; a token's time is the mean of the times that were averaged."""
        pooled_THWD = fit_volume(grid.values_THWD, (self.frames, self.height, self.width))
        times_s = F.adaptive_avg_pool1d(torch.from_numpy(grid.times_s)[None], self.frames)[0].numpy()
        return [Visual(pooled_THWD.flatten(0, 2), np.repeat(times_s, self.height * self.width))]

    def count(self, shape: GridShape) -> int:
        """frames x height x width, whatever came."""
        return self.frames * self.height * self.width
