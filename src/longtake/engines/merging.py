"""engines/merging: attention to pieces of what is seen, and to all of them together. Knows no cache and no model.

A piece is attended to by itself, and leaves the log of the sum of its exponents; pieces are put together by these (the
online softmax, arXiv 1805.02867, as FlashAttention, arXiv 2205.14135, uses it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

Part = tuple[torch.Tensor, torch.Tensor]
"""Attention to some positions, (B, H, Q, D), and the log of the sum of its exponents, (B, H, Q)."""
Span = tuple[int, int]
"""Positions from a first up to a last, which is not of it."""
SUMMING = ("cpu",)
"""Devices for which torch has a function that tells the sums of exponents too, whatever the shapes."""


def merged(found: Iterable[Part]) -> Part:
    """Attention to all parts together: each by its share of the sum of exponents."""
    parts = iter(found)
    out_BHQD, lse_BHQ = next(parts)
    for more_BHQD, more_lse_BHQ in parts:
        share_BHQ1 = torch.sigmoid(more_lse_BHQ - lse_BHQ)[..., None]
        out_BHQD = torch.lerp(out_BHQD.to(share_BHQ1.dtype), more_BHQD.to(share_BHQ1.dtype), share_BHQ1)
        lse_BHQ = torch.logaddexp(lse_BHQ, more_lse_BHQ)
    return out_BHQD, lse_BHQ


def nothing(query_BHQD: torch.Tensor) -> Part:
    """Attention to no position, for rows that may have none: zero, in float32 at least. Merged, it weighs nothing.

    Its sum of exponents is the least number and not zero, whose log is minus infinity: two of that have no difference.
    """
    wide = torch.promote_types(query_BHQD.dtype, torch.float32)
    out_BHQD = torch.zeros(query_BHQD.shape, dtype=wide, device=query_BHQD.device)
    return out_BHQD, torch.full_like(out_BHQD[..., 0], torch.finfo(wide).min)


def past(query_BHQD: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> Part:
    """Attention to keys that every row sees: of its own batch element, or of all where keys have one for all."""
    batch, heads, rows, width = query_BHQD.shape
    if key.shape[0] == batch:
        return unfolded(with_lse(folded(query_BHQD, key), key, value, scaling, triangle=False), query_BHQD)
    shape = (batch, key.shape[1], heads // key.shape[1], rows)
    folded_1KRD = query_BHQD.reshape(*shape, width).transpose(0, 1).reshape(1, key.shape[1], -1, width)
    out, lse = with_lse(folded_1KRD, key, value, scaling, triangle=False)
    turned = (shape[1], batch, *shape[2:])
    out_BHQD = out.reshape(*turned, width).transpose(0, 1).reshape(query_BHQD.shape)
    return out_BHQD, lse.reshape(turned).transpose(0, 1).reshape(batch, heads, rows)


def own(query_BHQD: torch.Tensor, key_BKQD: torch.Tensor, value_BKQD: torch.Tensor, scaling: float | None) -> Part:
    """Attention of a chunk's rows to the chunk itself: each sees those before it, and itself."""
    groups = query_BHQD.shape[1] // key_BKQD.shape[1]
    return with_lse(query_BHQD, repeated(key_BKQD, groups), repeated(value_BKQD, groups), scaling, triangle=True)


def folded(query_BHQD: torch.Tensor, key_BKSD: torch.Tensor) -> torch.Tensor:
    """(B, K, H / K x Q, D): the query heads of a group as rows of one head."""
    batch, _, _, width = query_BHQD.shape
    return query_BHQD.reshape(batch, key_BKSD.shape[1], -1, width)


def unfolded(part: Part, query_BHQD: torch.Tensor) -> Part:
    """A part of folded rows, unfolded."""
    return part[0].reshape(query_BHQD.shape), part[1].reshape(query_BHQD.shape[:3])


def repeated(states_BKSD: torch.Tensor, groups: int) -> torch.Tensor:
    """A copy of each head for each query head of its group; for the chunk's own keys, which are few."""
    return states_BKSD.repeat_interleave(groups, dim=1) if groups > 1 else states_BKSD


def with_lse(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> Part:
    """Attention and the log of the sum of its exponents, (B, heads, rows)."""
    if query.device.type not in SUMMING:
        rows, positions = query.shape[2], key.shape[2]
        sees = torch.ones(rows, positions, dtype=torch.bool, device=query.device).tril() if triangle else None
        return written_out(query, key, value, scaling, sees)
    found: Part = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, triangle, scale=scaling
    )
    return found


def written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, sees: torch.Tensor | None
) -> Part:
    """The same with every product in memory: for few positions. `sees`: True where a row sees a position."""
    found = exponents(query, key, scaling, sees)
    return found.softmax(-1) @ value.to(found.dtype), found.logsumexp(-1)


def exponents(query: torch.Tensor, key: torch.Tensor, scaling: float | None, sees: torch.Tensor | None) -> torch.Tensor:
    """(B, heads, rows, positions) in float32 at least: the products of rows and positions, scaled and masked."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    wide = torch.promote_types(query.dtype, torch.float32)
    products = query.to(wide) @ key.to(wide).mT * scaling
    return products if sees is None else products.masked_fill(~sees, float("-inf"))


def left_of(length: int, hidden: Sequence[Span]) -> list[Span]:
    """What of `length` positions is not hidden, in order, each run as long as can be."""
    found, begin = [], 0
    for start, stop in sorted(hidden):
        if begin < min(start, length):
            found.append((begin, min(start, length)))
        begin = max(begin, stop)
    return [*found, (begin, length)] if begin < length else found


def weights(
    query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, lse_BHQ: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """(Q, S) float32: what each row gives to each of some positions, added up over heads.

    One head of keys at a time: the weights of all would be large.
    """
    groups, scale = (
        query_BHQD.shape[1] // key_BKSD.shape[1],
        query_BHQD.shape[-1] ** -0.5 if scaling is None else scaling,
    )
    given_QS = torch.zeros(query_BHQD.shape[2], key_BKSD.shape[2], device=query_BHQD.device)
    for head in range(key_BKSD.shape[1]):
        of_head = slice(head * groups, (head + 1) * groups)
        scores = query_BHQD[:, of_head].float() @ key_BKSD[:, head, None].float().transpose(-1, -2) * scale
        given_QS += (scores - lse_BHQ[:, of_head, :, None].float()).exp().sum((0, 1))
    return given_QS
