"""layouts: a feature grid in, ordered pieces of a prompt out. Knows nothing of tokenizers or models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Visual:
    """Visual tokens in the order in which the language model reads them.

    Attributes:
        tokens_ND: N tokens of the language model's width D.
        times_s: (N,) the presentation time in seconds of the frame that each token came from.
    """

    tokens_ND: torch.Tensor
    times_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.tokens_ND.ndim != 2 or len(self.tokens_ND) != len(self.times_s):
            raise ValueError(f"tokens are {tuple(self.tokens_ND.shape)} for {len(self.times_s)} times; want (N, D)")


@dataclass(frozen=True)
class Text:
    """Words that a layout puts between visual tokens. They are text to the model, never control tokens."""

    text: str


Piece = Visual | Text


@dataclass(frozen=True)
class View:
    """What a layout wants to go through the tower; by default each frame as it is.

    Attributes:
        tiled: each picture and, behind it, its tiles.
        rows, columns: so many frames are put on one picture first.
    """

    tiled: bool = False
    rows: int = 1
    columns: int = 1

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise ValueError(f"{self.rows} rows of {self.columns} frames; want at least 1 of each")

    @property
    def frames(self) -> int:
        """How many frames make one picture."""
        return self.rows * self.columns


class Layout(Protocol):
    """Says how a grid of features becomes one sequence. Its dataclass fields are its options."""

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """The pieces of the prompt, in order."""
        ...

    def count(self, shape: GridShape) -> int:
        """How many visual tokens `arrange` makes of a grid of that shape. Exact, before anything is decoded."""
        ...


def view_of(layout: Layout) -> View:
    """What a layout says (`view` in its class, or a property) that it wants to see."""
    view: View = getattr(layout, "view", View())
    return view


def goes_frame_by_frame(layout: Layout) -> bool:
    """Whether a layout says (`frame_by_frame = True` in its class) that each frame becomes visual tokens by itself, the
    same whatever its place and neighbours, and nothing comes between frames.

    Such a layout's frames may be laid out one by one and put together later; what it leaves out need not be kept.
    """
    return bool(getattr(layout, "frame_by_frame", False))


def frames_shown(layout: Layout, shape: GridShape, frames: int) -> NDArray[np.int64]:
    """(N, 2) for each visual token, in order, the first and the last of the frames that it was made from, by their
    places among the `frames` frames of a file.

    No layout has to tell: it says of each token the mean time of its frames. Here it is shown frames whose time is
    their place, and then frames whose time is its square: mean and variance give a run of places away, for n neighbours
    have a variance of (n^2 - 1) / 12. Frames that lie apart (the mean of all slow frames) come out as a run about as
    wide.

    Args:
        layout: whose tokens they are.
        shape: of the feature grid that it arranges.
        frames: of the file, as many as `view_of(layout)` makes `shape` of.
    """
    places_F = np.arange(frames, dtype=np.float64)
    mean_N = _times(layout, _blank(shape, _per_view(places_F, shape, view_of(layout))))
    square_N = _times(layout, _blank(shape, _per_view(places_F**2, shape, view_of(layout))))
    width_N = np.sqrt(np.maximum(12 * (square_N - mean_N**2), 0) + 1) - 1
    first_N = np.floor(mean_N - width_N / 2 + _HARDLY).astype(np.int64)
    last_N = np.ceil(mean_N + width_N / 2 - _HARDLY).astype(np.int64)
    return np.stack([first_N, last_N], axis=1).clip(0, frames - 1)


_HARDLY = 0.01
"""Of a frame: what variances of thousands of places lose to rounding."""


def _per_view(values_F: NDArray[np.float64], shape: GridShape, view: View) -> NDArray[np.float64]:
    """What each view of a grid has of its frames' values, on average."""
    pictures = [float(values_F[start : start + view.frames].mean()) for start in range(0, len(values_F), view.frames)]
    return np.repeat(pictures, [tiling.views for tiling in shape.tilings] or [1] * len(pictures))


def _blank(shape: GridShape, times_s: NDArray[np.float64]) -> FeatureGrid:
    """A grid of that shape, of width 1, that shows nothing."""
    return FeatureGrid(
        torch.zeros(shape.views, shape.height, shape.width, 1),
        times_s,
        torch.zeros(1) if shape.newline else None,
        shape.tilings,
        torch.zeros(shape.views, 1) if shape.class_token else None,
    )


def _times(layout: Layout, grid: FeatureGrid) -> NDArray[np.float64]:
    return np.concatenate([piece.times_s for piece in layout.arrange(grid) if isinstance(piece, Visual)])
