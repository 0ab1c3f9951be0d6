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
