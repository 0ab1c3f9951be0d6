"""ropes: slow pairs squeezed, fast pairs left alone. Knows no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from longtake.ropes import Trained, Turning, frequencies, refuse_factor


@dataclass(frozen=True)
class Yarn:
    """YaRN: fast pairs stay, slow pairs are interpolated, those between in part; attention is made a little sharper.

    Source: arXiv 2309.00071, section 3.

    Attributes:
        factor: how many times as far the model reads.
        fast, slow: pairs with more turns than `fast` are left alone, with fewer than `slow` interpolated whole.
    """

    factor: float = 2.0
    fast: float = 32.0
    slow: float = 1.0
    by_length: ClassVar[bool] = False

    def __post_init__(self) -> None:
        refuse_factor(self.factor)
        if not 0 < self.slow < self.fast:
            raise ValueError(f"slow is {self.slow:g} and fast {self.fast:g}; want 0 < slow < fast")

    def turning(self, trained: Trained, length: int) -> Turning:
        """Interpolated by parts; cosine and sine times 0.1 ln(factor) + 1."""
        own_F = frequencies(trained.theta, trained.width)
        first = max(math.floor(_pair(trained, self.fast)), 0)
        last = min(math.ceil(_pair(trained, self.slow)), trained.width - 1)
        pairs_F = torch.arange(len(own_F), dtype=torch.float32)
        squeezed_F = ((pairs_F - first) / max(last - first, 1e-3)).clamp(0, 1)
        mixed_F = own_F / self.factor * squeezed_F + own_F * (1 - squeezed_F)
        return Turning(mixed_F, scale=0.1 * math.log(self.factor) + 1)

    def reads(self, trained_context: int) -> int:
        """The factor times as many."""
        return int(trained_context * self.factor)


def _pair(trained: Trained, turns: float) -> float:
    """Which pair, counted from the fastest, turns so often within the trained length (solved for f)."""
    return trained.width * math.log(trained.positions / (turns * 2 * math.pi)) / (2 * math.log(trained.theta))
