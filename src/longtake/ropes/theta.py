"""ropes: another base. Knows no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from longtake.ropes import Trained, Turning, frequencies


@dataclass(frozen=True)
class Theta:
    """A larger base, which slows every pair but the fastest. How far a model then reads is not known beforehand.

    LongVA's text was read with 1e9; LLaVA-NeXT-Video-32K without training finds some needles past its context with 1e8
    (arXiv 2406.16852).

    Attributes:
        theta: the base.
    """

    theta: float = 1e8
    by_length: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1.0 < self.theta < math.inf:
            raise ValueError(f"theta is {self.theta:g}; want more than 1")

    def turning(self, trained: Trained, length: int) -> Turning:
        """Frequencies of this base."""
        return Turning(frequencies(self.theta, trained.width))

    def reads(self, trained_context: int) -> int:
        """As many as before: whoever goes on does so beyond the trained context."""
        return trained_context
