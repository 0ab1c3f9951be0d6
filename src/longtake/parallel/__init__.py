"""parallel: processes that work on one thing in; what each of them needs of the others out. Knows no model, no video.

Built on torch.distributed: gloo between processors, NCCL between graphics cards (outer ring).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Ranks:
    """Processes that work together, as one of them sees them.

    Attributes:
        rank: which of them this one is, from 0.
        size: how many they are.
        device: that this one computes on.
        group: through which they talk; None for one alone.
    """

    rank: int
    size: int
    device: torch.device
    group: ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that speaks and writes for all."""
        return self.rank == 0


ALONE = Ranks(0, 1, torch.device("cpu"))
"""One process that needs nobody."""
