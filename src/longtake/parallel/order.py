"""parallel/order: the length of a row in; which of its positions each rank holds out. Knows no attention and no model.

A row is cut into twice as many chunks as there are ranks, and rank r takes the r-th from either end (*zigzag*): in
causal attention early positions see little and late ones much, and so every rank has the same to do.

    4 ranks      0  1  2  3  4  5  6  7     chunks of the row, in order
    held by      0  1  2  3  3  2  1  0

A row of any length is padded at its end, so that all chunks are as long.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch.nn import functional as F

from longtake.parallel import Ranks


def padded(length: int, size: int) -> int:
    """The next multiple of 2 x `size`: positions of a row that `size` ranks share, with its padding."""
    return -(-length // (2 * size)) * 2 * size


def zigzag(length: int, ranks: Ranks) -> torch.Tensor:
    """(padded / size,) int64: positions of a row that this rank holds, rising; those from `length` on are padding."""
    return _held(padded(length, ranks.size), ranks.rank, ranks.size).to(ranks.device)


def share(x: torch.Tensor, ranks: Ranks, dim: int = 1, pad: float = 0) -> torch.Tensor:
    """What this rank holds of `x`; differentiable.

    Args:
        x: the whole row, the same on every rank.
        dim: along which positions lie.
        pad: what stands at positions of padding.
    """
    length = x.shape[dim]
    missing = padded(length, ranks.size) - length
    if missing:
        behind = [0, 0] * (x.ndim - 1 - dim % x.ndim)
        x = F.pad(x, [*behind, 0, missing], value=pad)
    return x.index_select(dim, zigzag(length, ranks).to(x.device))


def gathered(x_share: torch.Tensor, ranks: Ranks, length: int, dim: int = 1) -> torch.Tensor:
    """The whole row out of every rank's share, without padding: `share` undone. Every rank calls it, and gets all.

    Differentiable, for a loss that is the sum of what the ranks have: a position's gradient is the sum of all ranks'.
    So where each rank computes the same loss of the whole row, only one of them may count, or each by 1 / size.

    Raises:
        ValueError: if a share is not as long as `zigzag` tells.
    """
    wanted = padded(length, ranks.size) // ranks.size
    if x_share.shape[dim] != wanted:
        reason = f"{length:,} positions over {ranks.size} ranks are {wanted:,} on each"
        raise ValueError(f"{reason}; here are {x_share.shape[dim]:,}: give what `share` returned")
    return cast(torch.Tensor, _Gathered.apply(x_share, ranks, length, dim))  # type: ignore[no-untyped-call]


def in_order(length: int, size: int) -> torch.Tensor:
    """(padded,) int64: where each position of the row stands when all ranks' shares lie one after another."""
    whole = padded(length, size)
    return torch.cat([_held(whole, rank, size) for rank in range(size)]).argsort()


def _held(whole: int, rank: int, size: int) -> torch.Tensor:
    chunk = torch.arange(whole // (2 * size))
    return torch.cat([chunk + rank * len(chunk), chunk + (2 * size - 1 - rank) * len(chunk)])


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_share: torch.Tensor, ranks: Ranks, length: int, dim: int) -> torch.Tensor:
        ctx.ranks, ctx.dim = ranks, dim
        x_share = x_share.contiguous()
        shares = [x_share]
        if ranks.size > 1:
            shares = [torch.empty_like(x_share) for _ in range(ranks.size)]
            dist.all_gather(shares, x_share, group=ranks.group)
        places = in_order(length, ranks.size)[:length].to(x_share.device)
        return torch.cat(shares, dim).index_select(dim, places)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = gradients
        wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32), copy=True).contiguous()
        if ctx.ranks.size > 1:
            dist.all_reduce(wide, group=ctx.ranks.group)
        return share(wide, ctx.ranks, ctx.dim).to(gradient.dtype), None, None, None
