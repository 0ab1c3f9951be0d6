"""parallel/ulysses: each rank's queries, keys and values in, what attention to the whole row makes of them out.

Ranks change what they hold: from all heads of some positions to some heads of all positions, and back (DeepSpeed
Ulysses, arXiv 2309.14509). Between the two each attends alone. What a rank holds is as much as before, and it sends and
receives only what it needs; but there cannot be more ranks than heads. Knows no model.
"""

from __future__ import annotations

from math import lcm
from typing import Any, cast

import torch
import torch.distributed as dist

from longtake.parallel import Ranks
from longtake.parallel.order import in_order
from longtake.parallel.ring import ring
from longtake.parallel.row import Row


def ulysses(
    query_BHSD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, row: Row, scaling: float | None = None
) -> torch.Tensor:
    """(B, H, S, D): causal attention of this rank's rows to all of the row that is theirs to see. All ranks call it.

    DeepSpeed Ulysses (arXiv 2309.14509, section 3): all-to-all of queries, keys and values, attention to the whole row
    with some heads, and all-to-all of what comes out. Zigzag order is undone before attention, and done again after.

    Where there are fewer heads of keys and values than ranks, or no multiple of them, each is sent to several ranks: as
    copies, up to the least number that divides. That costs memory and traffic, and the ring does without.

    Args:
        query_BHSD: of the positions that `zigzag` gives this rank.
        key_BKSD, value_BKSD: of the same positions; H is a multiple of K.
        row: the whole row. Rows of padding come out as zeros, and take and give no gradient.
        scaling: of the products; None for one over the root of D.

    Raises:
        ValueError: where H is no multiple of the ranks and of K, at once: heads cannot be dealt out evenly.
    """
    ranks, heads, few = row.ranks, query_BHSD.shape[1], key_BKSD.shape[1]
    copied = lcm(few, ranks.size)
    if heads % copied:
        reason = f"{heads} heads on {few} of keys and values cannot be dealt out to {ranks.size} ranks"
        raise ValueError(f"{reason}: {heads} is no multiple of {copied}. Take the ring, or another number of ranks")
    key, value = (one.repeat_interleave(copied // few, dim=1) for one in (key_BKSD, value_BKSD))
    dealt = [one.unflatten(1, (ranks.size, -1)) for one in (query_BHSD, key, value)]
    whole = _whole(torch.cat(dealt, 2), row)
    query, key, value = whole.split([one.shape[2] for one in dealt], 1)
    return _shares(ring(query, key, value, row.alone, scaling), row)


def _whole(dealt_BRHSD: torch.Tensor, row: Row) -> torch.Tensor:
    """(B, heads, positions in order, D): this rank's heads of all positions, out of all heads of its own."""
    arrived_RBHSD = _exchanged(dealt_BRHSD.movedim(1, 0), row.ranks)
    order = in_order(row.length, row.ranks.size).to(dealt_BRHSD.device)
    return arrived_RBHSD.movedim(0, 2).flatten(2, 3).index_select(2, order)


def _shares(whole_BHPD: torch.Tensor, row: Row) -> torch.Tensor:
    """(B, all heads, S, D): `_whole` undone."""
    order = in_order(row.length, row.ranks.size).argsort().to(whole_BHPD.device)
    held_BHRSD = whole_BHPD.index_select(2, order).unflatten(2, (row.ranks.size, row.held))
    return _exchanged(held_BHRSD.movedim(2, 0), row.ranks).movedim(0, 1).flatten(1, 2)


def _exchanged(x_R: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """The r-th to rank r, and from each the one for this rank; differentiable."""
    return cast(torch.Tensor, _Exchange.apply(x_R, ranks))  # type: ignore[no-untyped-call]


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_R: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.ranks = ranks
        x_R = x_R.contiguous()
        if ranks.size == 1:
            return x_R.clone()
        arrived = torch.empty_like(x_R)
        dist.all_to_all_single(arrived, x_R, group=ranks.group)
        return arrived

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _exchanged(gradients[0], ctx.ranks), None
