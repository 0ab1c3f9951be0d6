"""vision: small frames in, a grid of features out. Knows nothing of files, layouts or language.

What goes through the tower is a *view*: a whole frame, or one tile of it. Most layouts look at whole frames; those that
look at pictures as LLaVA-NeXT does (AnyRes) say so, and get for each picture the whole and behind it its tiles:

    frames          0        1        2              pictures   0: whole | tile tile | 1: whole | tile tile tile
    values_THWD     0        1        2              values_THWD   0        1    2        3        4    5    6
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from longtake.video import Frames, Shrink

ENCODING_VERSION = 1
"""Of this room; raised when the same frames and weights give other features: what was kept of them is then no use."""

Progress = Callable[[int], None]
"""Called as progress(frames_done)."""
MakeTower = Callable[[nn.Module, int], nn.Module]
"""A tower and the side of its pictures in pixels in, what is to be computed in its place out."""


@dataclass(frozen=True)
class Tiling:
    """A picture's own size, and the tiles that it was cut into.

    Attributes:
        height_px, width_px: of the picture before it was cut.
        rows, columns: of tiles; they are stored row by row.
    """

    height_px: int
    width_px: int
    rows: int
    columns: int

    @property
    def views(self) -> int:
        """The whole picture and its tiles."""
        return 1 + self.rows * self.columns


@dataclass(frozen=True)
class GridShape:
    """What a feature grid is or will be, as far as a layout needs it to count.

    Attributes:
        views: T, how many pictures went through the tower.
        height, width: rows and columns of features in each.
        newline: whether the model learned a vector that ends a row.
        tilings: one for each picture, where pictures were cut into tiles; else empty, and each view is a frame.
        class_token: whether there is a token for each view as a whole, beside its rows and columns.
    """

    views: int
    height: int
    width: int
    newline: bool = False
    tilings: tuple[Tiling, ...] = ()
    class_token: bool = False

    def __post_init__(self) -> None:
        if self.tilings and sum(tiling.views for tiling in self.tilings) != self.views:
            raise ValueError(f"{self.views} views do not make pictures of {self.tilings}")


@dataclass(frozen=True)
class FeatureGrid:
    """What the vision tower and projector made of some frames.

    Attributes:
        values_THWD: one feature vector for each place of each view, D being the language model's width.
        times_s: (T,) presentation times in seconds of the frame that each view shows.
        newline_D: the vector that the model learned to read at the end of a row of a picture; None where it has none.
        tilings: one for each picture, where pictures were cut into tiles; else empty, and each view is a frame.
        class_TD: the tower's token for each view as a whole; None where the model was not taught to read it.
    """

    values_THWD: torch.Tensor
    times_s: NDArray[np.float64]
    newline_D: torch.Tensor | None = field(default=None, compare=False)
    tilings: tuple[Tiling, ...] = ()
    class_TD: torch.Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.values_THWD.ndim != 4 or len(self.values_THWD) != len(self.times_s):
            raise ValueError(
                f"features are {tuple(self.values_THWD.shape)} for {len(self.times_s)} times; want (T, H, W, D)"
            )
        if self.newline_D is not None and self.newline_D.shape != self.values_THWD.shape[3:]:
            raise ValueError(f"newline is {tuple(self.newline_D.shape)}; want ({self.values_THWD.shape[3]},)")
        views, _, _, depth = self.values_THWD.shape
        if self.class_TD is not None and self.class_TD.shape != (views, depth):
            raise ValueError(f"class tokens are {tuple(self.class_TD.shape)}; want ({views}, {depth})")

    @property
    def shape(self) -> GridShape:
        """What a layout counts by."""
        views, height, width, _ = self.values_THWD.shape
        return GridShape(views, height, width, self.newline_D is not None, self.tilings, self.class_TD is not None)

    @property
    def means_TD(self) -> NDArray[np.float32]:
        """(T, D) the mean of each view's features over its places."""
        means: NDArray[np.float32] = self.values_THWD.mean(dim=(1, 2), dtype=torch.float32).cpu().numpy()
        return means

    def taking(self, places: Sequence[int]) -> FeatureGrid:
        """Only the views at `places`.

        Raises:
            ValueError: pictures were cut into tiles.
        """
        if self.tilings:
            raise ValueError("a tile cannot be taken without its picture")
        class_TD = None if self.class_TD is None else self.class_TD[list(places)]
        return replace(
            self,
            values_THWD=self.values_THWD[list(places)],
            times_s=self.times_s[list(places)],
            class_TD=class_TD,
        )


class VisionEncoder(Protocol):
    """A preprocessing, a tower and a projector that belong together."""

    @property
    def told(self) -> Mapping[str, object]:
        """What decides, beside frames and weights, which features come out; JSON can tell it."""
        ...

    @property
    def device(self) -> torch.device:
        """Where features come out."""
        ...

    def shape_of(self, frames: int, size_px: tuple[int, int], *, tiled: bool) -> GridShape:
        """What `encode` will make of so many frames of (height, width) pixels; `tiled`: of each and its tiles."""
        ...

    def shrinker(self, *, tiled: bool) -> Shrink:
        """What makes one displayed frame, (H, W, 3) uint8, as small as the tower takes it: (3, h, w) uint8.

        Where it is tiled, the whole and the tiles lie one below the other in one high picture.
        """
        ...

    def with_tower(self, make: MakeTower) -> Self:
        """The same with what `make` makes of its tower.

        Raises:
            LongtakeError: `usage.bad_option` where this cannot be.
        """
        ...

    def encode(
        self, frames: Iterable[Frames], *, tilings: Sequence[Tiling] = (), progress: Progress | None = None
    ) -> FeatureGrid:
        """Normalise, run tower and projector, a chunk of views at a time; `progress` hears of each chunk.

        Raises:
            ValueError: no frames came, or frames that `shrinker` did not make, or not those that `tilings` tells of.
        """
        ...
