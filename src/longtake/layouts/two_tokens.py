"""layouts.two_tokens: each frame as two tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from longtake.layouts import Piece, Visual
from longtake.layouts._pooling import fit_places
from longtake.vision import FeatureGrid, GridShape

TOKENS = 2


@dataclass(frozen=True)
class TwoTokens:
    """LLaMA-VID's budget of two tokens a frame: the means of its upper and its lower half.

    LLaMA-VID trains a context token, which looks at the question, and a content token; without its weights this is only
    as many tokens, by pooling. Source: arXiv 2311.17043.
    """

    frame_by_frame: ClassVar[bool] = True

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual`: two tokens a frame; a token's time is its frame's."""
        return [Visual(fit_places(grid.values_THWD, (TOKENS, 1)).flatten(0, 2), np.repeat(grid.times_s, TOKENS))]

    def count(self, shape: GridShape) -> int:
        """Two a frame."""
        return TOKENS * shape.views
