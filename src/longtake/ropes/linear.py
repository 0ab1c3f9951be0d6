"""ropes: all positions squeezed into those of training. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from longtake.ropes import Trained, Turning, frequencies, refuse_factor


@dataclass(frozen=True)
class Linear:
    """Position interpolation: position p is turned as p / factor was in training. Source: arXiv 2306.15595.

    SlowFast-LLaVA's paper has its context doubled so (arXiv 2407.15841).

    Attributes:
        factor: how many times as far the model reads.
    """

    factor: float = 2.0
    by_length: ClassVar[bool] = False

    def __post_init__(self) -> None:
        refuse_factor(self.factor)

    def turning(self, trained: Trained, length: int) -> Turning:
        """Every frequency divided by the factor."""
        return Turning(frequencies(trained.theta, trained.width) / self.factor)

    def reads(self, trained_context: int) -> int:
        """The factor times as many."""
        return int(trained_context * self.factor)
