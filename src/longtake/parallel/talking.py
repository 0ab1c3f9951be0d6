"""parallel/talking: tensors in, those of other ranks out; a rank that is not heard is told so. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel import Ranks

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

ORDER_NUMBERS = 10
"""An order is so many numbers."""
FOR_ORDERS = timedelta(days=14)
"""How long a rank waits for its next order: the first decodes films, and answers people. One that dies is noticed."""


@dataclass(frozen=True)
class Talk:
    """What ranks say to each other. All of them say the same thing at once, and the first of them says what.

    Attributes:
        ranks: who they are.
        orders: between processors, whatever tensors go by.
    """

    ranks: Ranks
    orders: ProcessGroup

    @classmethod
    def among(cls, ranks: Ranks) -> Talk:
        """Made by all ranks at once.

        Raises:
            LongtakeError: `ranks.lost`, as all below.
        """
        with _heard():
            return cls(ranks, dist.new_group(backend="gloo", timeout=FOR_ORDERS))

    def order(self, numbers: Sequence[float] = ()) -> list[float]:
        """What the first rank orders; the others give nothing."""
        told = torch.zeros(ORDER_NUMBERS, dtype=torch.float64)
        told[: len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
        with _heard():
            dist.broadcast(told, 0, group=self.orders)
        found: list[float] = told.tolist()
        return found

    def told(self, mine: object) -> list[object]:
        """What each rank has to say, heard by all."""
        found: list[object] = [None] * self.ranks.size
        with _heard():
            dist.all_gather_object(found, mine, group=self.orders)
        return found

    def any(self, mine: bool) -> bool:
        """Whether it is so for any rank."""
        flag = torch.tensor([float(mine)])
        with _heard():
            dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.orders)
        return bool(flag)

    def sent(self, tensor: torch.Tensor, of: int = 0) -> torch.Tensor:
        """The tensor that one rank has; the others give room for it."""
        with _heard():
            dist.broadcast(tensor, of, group=self.ranks.group)
        return tensor

    def dealt(self, shares_N: torch.Tensor | None, room: torch.Tensor) -> torch.Tensor:
        """This rank's of the shares that the first rank deals, in `room`."""
        shares = None if shares_N is None else list(shares_N.contiguous())
        with _heard():
            dist.scatter(room, shares, 0, group=self.ranks.group)
        return room

    def collected(self, mine: torch.Tensor) -> torch.Tensor | None:
        """Those of all ranks one upon the other; None for all ranks but the first."""
        into = [torch.empty_like(mine) for _ in range(self.ranks.size)] if self.ranks.leads else None
        with _heard():
            dist.gather(mine.contiguous(), into, 0, group=self.ranks.group)
        return None if into is None else torch.stack(into)

    def shared(self, mine: torch.Tensor) -> torch.Tensor:
        """Those of all ranks one upon the other, for all of them."""
        into = mine.new_empty(self.ranks.size, *mine.shape)
        with _heard():
            dist.all_gather(list(into), mine.contiguous(), group=self.ranks.group)
        return into

    def exchanged(self, each_N: torch.Tensor) -> torch.Tensor:
        """One tensor for each rank in; the one that each rank has for this one out."""
        into = torch.empty_like(each_N, memory_format=torch.contiguous_format)
        with _heard():
            dist.all_to_all_single(into, each_N.contiguous(), group=self.ranks.group)
        return into


@contextmanager
def _heard() -> Iterator[None]:
    """Only what torch says of others is told so: memory that runs out, say, is not in here."""
    try:
        yield
    except RuntimeError as error:
        raise lost("one of the others has ended, or cannot be reached") from error


def lost(reason: str, subject: str = "--ranks") -> LongtakeError:
    """The refusal of work that some of those who do it have left."""
    advice = "look at what ended it: often memory that ran out; take fewer ranks or frames"
    return LongtakeError(ErrorCode.RANKS_LOST, subject, reason, advice)
