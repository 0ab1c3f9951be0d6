"""ropes: how a model's positions were turned in training in, how they are turned to read further out. Knows no model.

Rotary position embedding (RoFormer, arXiv 2104.09864) turns each pair of a head's numbers by position x frequency. What
lies further apart than anything in training is turned by angles that no layer has met; a rope changes the frequencies,
so that a longer text is turned by angles that have been met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch


@dataclass(frozen=True)
class Trained:
    """How a model turned positions when it was trained.

    Attributes:
        theta: the base of the frequencies.
        width: how many numbers of a head are turned, two by two.
        positions: how many there were at most.
    """

    theta: float
    width: int
    positions: int

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 2 or self.positions < 1 or self.theta <= 1:
            raise ValueError(f"{self}; want an even width of at least 4, positions, and a theta above 1")


@dataclass(frozen=True)
class Turning:
    """What positions are turned by.

    Attributes:
        frequencies_F: (width / 2,) float32, radians a position, the fastest first.
        scale: cosine and sine are multiplied by it, so attention's logits by its square.
    """

    frequencies_F: torch.Tensor
    scale: float = 1.0


class Rope(Protocol):
    """How positions are turned so that a model reads further than it was trained to, without any training.

    Attributes:
        by_length: whether `turning` depends on the length. What was read for one length then has to be read anew for
            another.
    """

    by_length: ClassVar[bool]

    def turning(self, trained: Trained, length: int) -> Turning:
        """What the positions of a prompt of `length` positions are turned by."""
        ...

    def reads(self, trained_context: int) -> int:
        """How many positions a model then reads that was trained to read `trained_context`."""
        ...


def frequencies(theta: float, width: int) -> torch.Tensor:
    """(width / 2,) float32: theta ** (-2 f / width), radians a position (arXiv 2104.09864, section 3.2)."""
    return 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def refuse_factor(factor: float) -> None:
    """Raises ValueError unless a text can be stretched by `factor`."""
    if not 1.0 <= factor <= 1024.0:
        raise ValueError(f"factor is {factor:g}; want 1 to 1,024")
