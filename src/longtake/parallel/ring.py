"""parallel/ring: each rank's queries, keys and values in, what attention to the whole row makes of them out.

Keys and values go round: each rank computes with those of one rank at a time, while the next ones come, and merges what
it finds by the log of the sums of exponents (Ring Attention, arXiv 2310.01889). So a rank holds its own share, and a
few more that pass by, never the whole row. In the gradient they go round once more; the gradient of keys and values
goes with them, in float32, and comes home after the last. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

from longtake.engines.merging import merged, nothing
from longtake.parallel import Ranks
from longtake.parallel.products import products
from longtake.parallel.row import ALL, Block, Row

KEYS, THEIR_GRADIENTS = 0, 1
"""Tags that keep apart what is on the way from one rank to the next at a time."""


def ring(
    query_BHSD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, row: Row, scaling: float | None = None
) -> torch.Tensor:
    """(B, H, S, D): causal attention of this rank's rows to all of the row that is theirs to see. All ranks call it.

    Ring Attention (arXiv 2310.01889, section 3), of rows in zigzag order. Keys and values go to the next rank, size - 1
    times on the way there and on the way back; then their gradients go with them, size times, the last one home.

    Args:
        query_BHSD: of the positions that `zigzag` gives this rank.
        key_BKSD, value_BKSD: of the same positions; H is a multiple of K.
        row: the whole row. Rows of padding come out as zeros, and take and give no gradient.
        scaling: of the products; None for one over the root of D.
    """
    scaling = query_BHSD.shape[-1] ** -0.5 if scaling is None else scaling
    out = _Ring.apply(query_BHSD, torch.stack((key_BKSD, value_BKSD)), row, scaling)  # type: ignore[no-untyped-call]
    return cast(torch.Tensor, out)


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, both: torch.Tensor, row: Row, scaling: float) -> torch.Tensor:
        own, passing = _Own.of(query, scaling), both
        for step in range(row.ranks.size):
            coming = _pass_on(passing, row.ranks, KEYS) if step < row.ranks.size - 1 else None
            for block in row.blocks[(row.ranks.rank - step) % row.ranks.size]:
                own.attend(passing, block)
            passing = passing if coming is None else coming.arrived()
        out = own.out.to(query.dtype)
        ctx.save_for_backward(query, both, out, own.lse)
        ctx.row, ctx.scaling = row, scaling
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        query, both, out, lse = ctx.saved_tensors
        own, passing, ranks = _Own(query, ctx.scaling, out, lse), both, ctx.row.ranks
        gradient, of_query = gradients[0].contiguous(), torch.zeros_like(query, dtype=lse.dtype)
        homing = None
        for step in range(ranks.size):
            coming = _pass_on(passing, ranks, KEYS) if step < ranks.size - 1 else None
            of_both = torch.zeros_like(both, dtype=lse.dtype)
            for block in ctx.row.blocks[(ranks.rank - step) % ranks.size]:
                own.add_gradients((of_query, of_both), gradient, passing, block)
            if homing is not None:
                of_both += homing.arrived()
            homing = _pass_on(of_both, ranks, THEIR_GRADIENTS)
            passing = passing if coming is None else coming.arrived()
        of_both = of_both if homing is None else homing.arrived()
        return of_query.to(query.dtype), of_both.to(both.dtype), None, None


@dataclass(frozen=True)
class _Own:
    """What stays with a rank while keys and values go round.

    Attributes:
        out, lse: attention to all that came by so far, and the log of its sum of exponents.
    """

    query: torch.Tensor
    scaling: float
    out: torch.Tensor
    lse: torch.Tensor

    @classmethod
    def of(cls, query: torch.Tensor, scaling: float) -> _Own:
        """Before anything came by."""
        # A kernel would say 0 of a row that is masked whole, but it is never asked: there are no masks, and a row that
        # sees nothing is in no block.
        return cls(query, scaling, *nothing(query))

    def attend(self, passing: torch.Tensor, block: Block) -> None:
        """Add what a block's rows see of its keys."""
        rows, keys = _places(block)
        way = products(self.query, self.scaling, triangle=block.triangle)
        found = way.attend(self.query[rows], passing[0][keys], passing[1][keys])
        self.out[rows], self.lse[rows] = merged([(self.out[rows], self.lse[rows]), found])

    def add_gradients(
        self, sums: tuple[torch.Tensor, torch.Tensor], gradient: torch.Tensor, passing: torch.Tensor, block: Block
    ) -> None:
        """Add a block's share to the gradients of this rank's queries, and of the keys and values that pass by."""
        rows, keys = _places(block)
        way = products(self.query, self.scaling, triangle=block.triangle)
        inputs = (self.query[rows], passing[0][keys], passing[1][keys])
        of_query, of_key, of_value = way.gradients(inputs, gradient[rows], (self.out[rows], self.lse[rows]))
        sums[0][rows] += of_query
        sums[1][0][keys] += of_key
        sums[1][1][keys] += of_value


def _places(block: Block) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    return (block.batch, ALL, block.rows), (block.batch, ALL, block.keys)


@dataclass(frozen=True)
class _Coming:
    """What the rank before sends, while this one's goes to the next; `sent` must not change until then."""

    sent: torch.Tensor
    received: torch.Tensor
    works: list[dist.Work]

    def arrived(self) -> torch.Tensor:
        for work in self.works:
            work.wait()
        return self.received


def _pass_on(held: torch.Tensor, ranks: Ranks, tag: int) -> _Coming | None:
    """Send to the next rank, and begin to receive from the one before; None for one alone."""
    if ranks.size == 1:
        return None
    received = torch.empty_like(held)
    after, before = (ranks.rank + 1) % ranks.size, (ranks.rank - 1) % ranks.size
    send = dist.P2POp(dist.isend, held, group=ranks.group, tag=tag, group_peer=after)
    receive = dist.P2POp(dist.irecv, received, group=ranks.group, tag=tag, group_peer=before)
    return _Coming(held, received, dist.batch_isend_irecv([send, receive]))
