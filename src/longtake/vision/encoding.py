"""vision.encoding: small frames in, a feature grid out, a chunk of frames at a time. Knows no particular tower."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from longtake.errors import ErrorCode, LongtakeError
from longtake.networks import input_device, is_finite, nonfinite
from longtake.video import Frames, Shrink
from longtake.vision import ENCODING_VERSION, FeatureGrid, GridShape, MakeTower, Progress, Tiling
from longtake.vision.pixels import PixelRecipe
from longtake.vision.tiles import LLAVA_TILES, TileGrid, best_grid, cut

VIEWS_AT_ONCE = 32
"""Enough to keep a graphics card busy."""
CPU_BYTES_AT_ONCE = 5 * 2**18
"""Of one colour of the pictures: on a processor what lies between two layers should stay in its caches, and be small
enough for the heap. That makes two views of CLIP's 336 x 336 in float32, and five in bfloat16. 32 at once took a tenth
more processor time in float32 and a third more in bfloat16 (CLIP-L; docs/log.md), and gigabytes for a moment."""


@dataclass(frozen=True)
class Encoder:
    """A preprocessing, a tower and a projector that belong together.

    Attributes:
        recipe: how a frame becomes the picture that the tower reads.
        tower: (T, 3, side, side) floats in, (T, H, W, C) features out, one for each patch.
        projector: (..., C) features in, (..., D) out, D being the language model's width.
        patch_px: side of the square that one feature stands for; the grid has side_px // patch_px rows and columns.
        at_once: so many views go through tower and projector at once; None: as many as the device likes.
        tiles: the grids of tiles that a picture may be cut into.
        newline_D: the vector that the model learned to read at the end of a row of a picture; None where it has none.
        class_token: keep the tower's token for each view as a whole; the tower then has `with_class`.
    """

    recipe: PixelRecipe
    tower: nn.Module
    projector: nn.Module
    patch_px: int
    at_once: int | None = None
    tiles: tuple[TileGrid, ...] = field(default=LLAVA_TILES, repr=False)
    newline_D: torch.Tensor | None = field(default=None, repr=False, compare=False)
    class_token: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.patch_px <= self.recipe.side_px:
            raise ValueError(f"patch_px is {self.patch_px}; want 1 to {self.recipe.side_px}, the side of a picture")
        if self.at_once is not None and self.at_once < 1:
            raise ValueError(f"at_once is {self.at_once}; want at least 1")
        if not self.tiles:
            raise ValueError("there are no grids of tiles; want at least one")

    @property
    def chunk_frames(self) -> int:
        """How many views go through tower and projector at once."""
        if self.at_once is not None:
            return self.at_once
        if input_device(self.tower).type != "cpu":
            return VIEWS_AT_ONCE
        view_bytes = self.recipe.side_px**2 * next(self.tower.parameters()).dtype.itemsize
        return max(1, min(VIEWS_AT_ONCE, CPU_BYTES_AT_ONCE // view_bytes))

    @property
    def grid_height(self) -> int:
        """Rows of features in a view."""
        return self.recipe.side_px // self.patch_px

    @property
    def grid_width(self) -> int:
        """Columns of features in a view."""
        return self.recipe.side_px // self.patch_px

    @property
    def told(self) -> Mapping[str, object]:
        """What decides, beside frames and weights, which features come out; JSON can tell it."""
        recipe = asdict(self.recipe)
        rest = {"patch_px": self.patch_px, "tiles": self.tiles, "class_token": self.class_token}
        return {"recipe": recipe, **rest, "newline": self.newline_D is not None, "version": ENCODING_VERSION}

    @property
    def device(self) -> torch.device:
        """Where features come out."""
        return input_device(self.projector)

    def shape_of(self, frames: int, size_px: tuple[int, int], *, tiled: bool = False) -> GridShape:
        """What `encode` will make of so many frames of (height, width) pixels; `tiled`: of each and its tiles."""
        tilings = (self._tiling(*size_px),) * frames if tiled else ()
        views = sum(tiling.views for tiling in tilings) if tiled else frames
        newline = self.newline_D is not None
        return GridShape(views, self.grid_height, self.grid_width, newline, tilings, self.class_token)

    def shrinker(self, *, tiled: bool = False) -> Shrink:
        """What makes one displayed frame, (H, W, 3) uint8, as small as the tower takes it: (3, h, w) uint8.

        Where it is tiled, the whole (squeezed into a square, whatever the recipe's fit) and the tiles, row by row, lie
        one below the other in one high picture.
        """
        return self._whole_and_tiles if tiled else self.recipe.shrink

    def with_tower(self, make: MakeTower) -> Encoder:
        """The same with what `make` makes of its tower.

        Raises:
            LongtakeError: `usage.bad_option` where class tokens are wanted, which such a tower does not hand on.
        """
        if self.class_token:
            reason = "this model reads class tokens, which only its own tower hands on"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "tower", reason, "leave it to torch")
        return replace(self, tower=make(self.tower, self.recipe.side_px))

    def encode(
        self, frames: Iterable[Frames], *, tilings: Sequence[Tiling] = (), progress: Progress | None = None
    ) -> FeatureGrid:
        """Normalise, run tower and projector, `chunk_frames` views at a time whatever chunks they come in.

        Args:
            frames: pictures that `shrinker` made.
            tilings: of each frame, if it was made tiled; there may be more than frames came.
            progress: called after each chunk with the number of frames encoded so far; a frame whose tiles are not all
                done is not counted.

        Returns:
            (T, H, W, D) features on the tower's device and in its dtype, with the times of the frames that they show.

        Raises:
            LongtakeError: `model.nonfinite`, naming the layer, if features are not finite.
            ValueError: no frames came, or frames that `shrinker` did not make, or not those that `tilings` tells of; or
                the tower's grid is not the stated one.
        """
        features: list[torch.Tensor] = []
        classes: list[torch.Tensor] = []
        times: list[NDArray[np.float64]] = []
        views = 0
        ends = list(itertools.accumulate(tiling.views for tiling in tilings))
        for chunk in rechunk(self.views(frames), self.chunk_frames):
            values_THWD, class_TD = self._encode_chunk(chunk.pixels_TCHW)
            features.append(values_THWD)
            classes += [class_TD] if class_TD is not None else []
            times.append(chunk.times_s)
            views += len(chunk.times_s)
            if progress is not None:
                progress(bisect.bisect_right(ends, views) if tilings else views)
        if not features:
            raise ValueError("no frames to encode; a sampler picks at least one")
        if tilings and views not in ends:
            raise ValueError(f"{views} views came; the tilings tell of {', '.join(map(str, ends))}")
        came = tuple(tilings[: bisect.bisect_right(ends, views)])
        class_TD = torch.cat(classes) if classes else None
        return FeatureGrid(_joined(features), np.concatenate(times), self.newline_D, came, class_TD)

    def _tiling(self, height_px: int, width_px: int) -> Tiling:
        columns, rows = best_grid(width_px, height_px, side_px=self.recipe.side_px, choices=self.tiles)
        return Tiling(height_px, width_px, rows, columns)

    def _whole_and_tiles(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        tiling = self._tiling(*image_HWC.shape[:2])
        whole_CHW = replace(self.recipe, fit="stretch").shrink(image_HWC)
        tiles_TCHW = cut(image_HWC, (tiling.columns, tiling.rows), side_px=self.recipe.side_px)
        return np.concatenate([whole_CHW, *tiles_TCHW], axis=1)

    def views(self, frames: Iterable[Frames]) -> Iterator[Frames]:
        """The views of each frame, one below the other in its picture, as frames of their own.

        Raises:
            ValueError: frames that `shrinker` did not make.
        """
        side = self.recipe.side_px
        for some in frames:
            count, channels, height, width = some.pixels_TCHW.shape
            if width != side or height % side:
                raise ValueError(
                    f"frames are {height} x {width}; want {side} x {side} or views of that size one below the other: "
                    "read them with shrink=encoder.shrinker()"
                )
            each = height // side
            if each == 1:
                yield some
                continue
            views_TVCHW = some.pixels_TCHW.reshape(count, channels, each, side, side).swapaxes(1, 2)
            views_NCHW = views_TVCHW.reshape(count * each, channels, side, side)
            yield Frames(views_NCHW, some.times_s.repeat(each), some.numbers.repeat(each))

    @torch.inference_mode()
    def seen(self, pixels_TCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Views through tower and projector, all at once: (T, H, W, D), and (T, D) where class tokens are kept.

        Args:
            pixels_TCHW: (T, 3, side_px, side_px) uint8, on the tower's device.
        """
        normalised_TCHW = self._normalised(pixels_TCHW)
        class_TC = None
        if self.class_token:
            seeing: Any = self.tower
            class_TC, features_THWC = seeing.with_class(normalised_TCHW)
        else:
            features_THWC = self.tower(normalised_TCHW)
        want = (len(pixels_TCHW), self.grid_height, self.grid_width)
        if features_THWC.ndim != 4 or tuple(features_THWC.shape[:3]) != want:
            raise ValueError(f"the tower made features of {tuple(features_THWC.shape)}; want {want} and a width")
        values_THWD: torch.Tensor = self.projector(features_THWC)
        class_TD: torch.Tensor | None = None if class_TC is None else self.projector(class_TC)
        return values_THWD, class_TD

    def _normalised(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        return self.recipe.normalise(pixels_TCHW).to(next(self.tower.parameters()).dtype)

    @torch.inference_mode()
    def _encode_chunk(self, pixels_TCHW: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor | None]:
        pixels = torch.from_numpy(np.require(pixels_TCHW, requirements=["C", "W"])).to(input_device(self.tower))
        values_THWD, class_TD = self.seen(pixels)
        if not all(is_finite(values) for values in (values_THWD, class_TD) if values is not None):
            networks = {"vision": self.tower, "projector": self.projector}
            raise nonfinite(networks, lambda: self.projector(self.tower(self._normalised(pixels))))
        return values_THWD, class_TD


def _joined(chunks: list[torch.Tensor]) -> torch.Tensor:
    """The chunks as one, and the list empty: each is given up once it is copied, so that they are not held twice."""
    joined = chunks[0].new_empty(sum(map(len, chunks)), *chunks[0].shape[1:])
    chunks.reverse()
    filled = 0
    while chunks:
        chunk = chunks.pop()
        joined[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return joined


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
