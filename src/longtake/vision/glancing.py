"""vision.glancing: frames in, one vector of features for each out. Knows no particular tower and no sampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from longtake.video import Frames, Shrink
from longtake.vision import FeatureGrid, GridShape, MakeTower, Progress, Tiling, VisionEncoder
from longtake.vision.encoding import rechunk


@dataclass(frozen=True)
class Glancing:
    """An encoder that keeps of each frame the mean of its features: D numbers, where LongVA's has 576 times as many.

    Attributes:
        encoder: whose features are averaged.
        chunk_frames: so many frames' features are held at once.
    """

    encoder: VisionEncoder
    chunk_frames: int = 32

    @property
    def told(self) -> Mapping[str, object]:
        """What decides, beside frames and weights, which features come out; JSON can tell it."""
        return {"mean of": self.encoder.told}

    @property
    def device(self) -> torch.device:
        """Where features come out."""
        return torch.device("cpu")

    def shape_of(self, frames: int, size_px: tuple[int, int], *, tiled: bool) -> GridShape:
        """One place for each frame."""
        return GridShape(frames, 1, 1)

    def shrinker(self, *, tiled: bool) -> Shrink:
        """As the encoder's, of whole frames."""
        return self.encoder.shrinker(tiled=False)

    def with_tower(self, make: MakeTower) -> Glancing:
        """See `VisionEncoder`."""
        return replace(self, encoder=self.encoder.with_tower(make))

    def encode(
        self, frames: Iterable[Frames], *, tilings: Sequence[Tiling] = (), progress: Progress | None = None
    ) -> FeatureGrid:
        """(T, 1, 1, D) float32 on the processor.

        Raises:
            LongtakeError: `model.nonfinite`.
            ValueError: no frames came, or they are tiled.
        """
        if tilings:
            raise ValueError("whole frames are glanced at, not tiles")
        means, times_s, done = [], [], 0
        for chunk in rechunk(frames, self.chunk_frames):
            grid = self.encoder.encode([chunk])
            means.append(glanced(grid.values_THWD))
            times_s.append(grid.times_s)
            done += len(chunk.times_s)
            if progress is not None:
                progress(done)
        if not means:
            raise ValueError("no frames to encode; a sampler picks at least one")
        return FeatureGrid(torch.cat(means), np.concatenate(times_s))


def glanced(values_THWD: torch.Tensor) -> torch.Tensor:
    """(T, 1, 1, D) float32 on the processor, the mean of each frame's features."""
    return values_THWD.mean(dim=(1, 2), keepdim=True, dtype=torch.float32).cpu()
