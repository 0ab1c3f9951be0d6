"""vision.encoding: small frames in, a feature grid out, a chunk of frames at a time. Knows no particular tower."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from longtake.video import Frames
from longtake.vision import FeatureGrid, Progress
from longtake.vision.pixels import PixelRecipe


@dataclass(frozen=True)
class Encoder:
    """A preprocessing, a tower and a projector that belong together.

    Attributes:
        recipe: how a frame becomes the picture that the tower reads.
        tower: (T, 3, side, side) floats in, (T, H, W, C) features out, one for each patch.
        projector: (..., C) features in, (..., D) out, D being the language model's width.
        patch_px: side of the square that one feature stands for; the grid has side_px // patch_px rows and columns.
        chunk_frames: how many frames go through tower and projector at once.
    """

    recipe: PixelRecipe
    tower: nn.Module
    projector: nn.Module
    patch_px: int
    chunk_frames: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.patch_px <= self.recipe.side_px:
            raise ValueError(f"patch_px is {self.patch_px}; want 1 to {self.recipe.side_px}, the side of a picture")
        if self.chunk_frames < 1:
            raise ValueError(f"chunk_frames is {self.chunk_frames}; want at least 1")

    @property
    def grid_height(self) -> int:
        """Rows of features in a frame."""
        return self.recipe.side_px // self.patch_px

    @property
    def grid_width(self) -> int:
        """Columns of features in a frame."""
        return self.recipe.side_px // self.patch_px

    def shrink(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One displayed frame, (H, W, 3) uint8, made as small as the tower takes it: (3, side_px, side_px) uint8."""
        return self.recipe.shrink(image_HWC)

    def encode(self, frames: Iterable[Frames], *, progress: Progress | None = None) -> FeatureGrid:
        """Normalise, run tower and projector, `chunk_frames` frames at a time whatever chunks they come in.

        Args:
            frames: pictures that `shrink` made.
            progress: called after each chunk with the number of frames encoded so far.

        Returns:
            (T, H, W, D) features on the tower's device and in its dtype, with the frames' times.

        Raises:
            ValueError: no frames came, or frames that `shrink` did not make, or the tower's grid is not the stated one.
        """
        features: list[torch.Tensor] = []
        times: list[NDArray[np.float64]] = []
        done = 0
        for chunk in rechunk(frames, self.chunk_frames):
            features.append(self._encode_chunk(chunk.pixels_TCHW))
            times.append(chunk.times_s)
            done += len(chunk.times_s)
            if progress is not None:
                progress(done)
        if not features:
            raise ValueError("no frames to encode; a sampler picks at least one")
        return FeatureGrid(torch.cat(features), np.concatenate(times))

    @torch.inference_mode()
    def _encode_chunk(self, pixels_TCHW: NDArray[np.uint8]) -> torch.Tensor:
        side = self.recipe.side_px
        if pixels_TCHW.shape[2:] != (side, side):
            height, width = pixels_TCHW.shape[2:]
            raise ValueError(
                f"frames are {height} x {width}; want {side} x {side}: read them with shrink=encoder.shrink"
            )
        like = next(self.tower.parameters())
        pixels = torch.from_numpy(np.require(pixels_TCHW, requirements=["C", "W"])).to(like.device)
        features_THWC = self.tower(self.recipe.normalise(pixels).to(like.dtype))
        want = (len(pixels), self.grid_height, self.grid_width)
        if features_THWC.ndim != 4 or tuple(features_THWC.shape[:3]) != want:
            raise ValueError(f"the tower made features of {tuple(features_THWC.shape)}; want {want} and a width")
        values_THWD: torch.Tensor = self.projector(features_THWC)
        return values_THWD


def rechunk(frames: Iterable[Frames], size: int) -> Iterator[Frames]:
    """The same frames in the same order, `size` at a time, the last chunk as short as it must be."""
    waiting: list[Frames] = []
    count = 0
    for some in frames:
        waiting.append(some)
        count += len(some.times_s)
        if count < size:
            continue
        joined = _join(waiting)
        whole = count - count % size
        yield from (_part(joined, start, start + size) for start in range(0, whole, size))
        waiting, count = ([_part(joined, whole, count)], count - whole) if count > whole else ([], 0)
    if count:
        yield _join(waiting)


def _join(frames: list[Frames]) -> Frames:
    if len(frames) == 1:
        return frames[0]
    return Frames(
        np.concatenate([some.pixels_TCHW for some in frames]),
        np.concatenate([some.times_s for some in frames]),
        np.concatenate([some.numbers for some in frames]),
    )


def _part(frames: Frames, start: int, stop: int) -> Frames:
    return Frames(frames.pixels_TCHW[start:stop], frames.times_s[start:stop], frames.numbers[start:stop])
