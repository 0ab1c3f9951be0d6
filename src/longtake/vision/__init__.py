"""vision: small frames in, a grid of features out. Knows nothing of files, layouts or language."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.video import Frames

Progress = Callable[[int], None]
"""Called as progress(frames_done)."""


@dataclass(frozen=True)
class FeatureGrid:
    """What the vision tower and projector made of some frames.

    Attributes:
        values_THWD: one feature vector for each place of each frame, D being the language model's width.
        times_s: (T,) presentation times in seconds.
    """

    values_THWD: torch.Tensor
    times_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values_THWD.ndim != 4 or len(self.values_THWD) != len(self.times_s):
            raise ValueError(
                f"features are {tuple(self.values_THWD.shape)} for {len(self.times_s)} times; want (T, H, W, D)"
            )


class VisionEncoder(Protocol):
    """A preprocessing, a tower and a projector that belong together."""

    @property
    def grid_height(self) -> int: ...
    @property
    def grid_width(self) -> int: ...

    def shrink(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One displayed frame, (H, W, 3) uint8, made as small as the tower takes it: (3, h, w) uint8."""
        ...

    def encode(self, frames: Iterable[Frames], *, progress: Progress | None = None) -> FeatureGrid:
        """Normalise, run tower and projector, a chunk of frames at a time; `progress` hears of each chunk.

        Raises:
            ValueError: no frames came, or frames that `shrink` did not make.
        """
        ...
