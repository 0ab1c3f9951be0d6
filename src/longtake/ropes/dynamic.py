"""ropes: a base that grows with the text, past the length of training only. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from longtake.ropes import Trained, Turning, frequencies, refuse_factor


@dataclass(frozen=True)
class Dynamic:
    """Dynamic NTK: texts no longer than those of training are read as ever; for a longer one the base grows with it.

    Source: u/emozilla's post in r/LocalLLaMA of 2023, as YaRN's paper tells it (arXiv 2309.00071, section 3.3).
    SlowFast-LLaVA's released code takes this where its paper says linear.

    Attributes:
        factor: how many times as far the model reads; how steeply the base grows.
    """

    factor: float = 2.0
    by_length: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_factor(self.factor)

    def turning(self, trained: Trained, length: int) -> Turning:
        """Frequencies of a base grown by (factor x length / positions - (factor - 1)) ** (width / (width - 2))."""
        times = self.factor * max(length, trained.positions) / trained.positions - (self.factor - 1)
        theta = trained.theta * times ** (trained.width / (trained.width - 2))
        return Turning(frequencies(theta, trained.width))

    def reads(self, trained_context: int) -> int:
        """The factor times as many."""
        return int(trained_context * self.factor)
