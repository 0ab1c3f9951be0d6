"""engines/attention: queries, keys and values in, what attention makes of them out. Knows no model and no cache.

Four things that the stock function pays for are not paid here:

- Grouped-query models have several query heads for one head of keys. The stock path repeats keys and values for each of
  them, or walks them once for each; here a group's queries are laid below each other as rows of one head (the *fold*),
  so that keys and values are read once and never copied.
- A chunk that is read after a long past needs no mask over the past: every row sees all of it. Past and chunk are
  attended to apart, and put together by their log-sum-exp (the online softmax, arXiv 1805.02867, as FlashAttention,
  arXiv 2205.14135, uses it).
- So a past may lie in pieces: what was read long ago in memory that others share, in eight bits or on another device,
  and what came since in memory of one's own. Several questions on one past are rows of one head too (cascade
  attention, as Hydragen, arXiv 2402.05099, has it): it is read once for all of them.
- No mask is ever made, but for the few rows behind the past where questions differ in length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from longtake.engines.segments import Segment

NAME = "longtake"
"""By which transformers finds `attend`."""

SUMMING = ("cpu",)
"""Devices for which torch has a function that tells the sums of exponents too, whatever the shapes."""

Part = tuple[torch.Tensor, torch.Tensor]
"""Attention to some positions, (B, H, Q, D), and the log of the sum of its exponents, (B, H, Q)."""


@dataclass(frozen=True)
class Seen:
    """What the rows of a chunk see. A cache hands it to `attend` through the model's layer, in place of keys.

    Attributes:
        shared: segments that every row of every batch element sees all of.
        key_BKSD, value_BKSD: behind them, each batch element's own positions, which end with the chunk's.
        lengths_B: how many own positions each sees, where that differs: the chunk has one row then, and what lies
            behind is not looked at. None: all, row after row.
    """

    shared: tuple[Segment, ...]
    key_BKSD: torch.Tensor
    value_BKSD: torch.Tensor
    lengths_B: torch.Tensor | None = None


def folding(language: Any) -> Any:
    """The model, attending by `attend` from now on, if all that its layers see is what came before: a sliding window is
    left to transformers' own.

    Args:
        language: a transformers causal language model.
    """
    if getattr(language.config, "sliding_window", None) is None:
        AttentionInterface.register(NAME, attend)
        language.set_attn_implementation(NAME)
    return language


def is_folding(language: Any) -> bool:
    """Whether a model's layers attend by `attend`, so that they take what was read in pieces."""
    return bool(language.config._attn_implementation == NAME)


def attend(  # noqa: PLR0913  transformers says which
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor | Seen,
    value: torch.Tensor | Seen,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of a chunk that ends where the keys end; what transformers calls an attention function.

    Args:
        module: the layer; not looked at.
        query: (B, heads, rows, width).
        key, value: (B, key-value heads, positions, width); positions are at least rows, heads a multiple. Or what a
            cache of this package returns as both: what is seen, in pieces.
        attention_mask: None: there is no padding.
        scaling: of the products; None for one over the root of the width.

    Returns:
        (B, rows, heads, width), and no weights.

    Raises:
        ValueError: for a mask.
    """
    if attention_mask is not None:
        raise ValueError("longtake's attention is causal and takes no mask")
    seen = key if isinstance(key, Seen) else Seen((), key, cast(torch.Tensor, value))
    return seeing(query, seen, scaling=scaling).transpose(1, 2).contiguous(), None


def causal(
    query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, *, scaling: float | None = None
) -> torch.Tensor:
    """(B, H, Q, D): row q of the queries sees the keys up to position S - Q + q."""
    return seeing(query_BHQD, Seen((), key_BKSD, value_BKSD), scaling=scaling)


def seeing(query_BHQD: torch.Tensor, seen: Seen, *, scaling: float | None = None) -> torch.Tensor:
    """(B, H, Q, D): attention of each row to what it sees."""
    if not seen.shared and seen.lengths_B is None:
        whole = _in_one(query_BHQD, seen.key_BKSD, seen.value_BKSD, scaling)
        if whole is not None:
            return whole
    return merged(parts(query_BHQD, seen, scaling)).to(query_BHQD.dtype)


def parts(query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> Iterator[Part]:
    """Attention to each piece of what is seen, by itself."""
    for segment in seen.shared:
        for keys, values in segment.blocks(query_BHQD):
            yield _past(query_BHQD, keys, values, scaling)
    key, value, rows = seen.key_BKSD, seen.value_BKSD, query_BHQD.shape[2]
    if seen.lengths_B is not None:
        sees_BS = torch.arange(key.shape[2], device=key.device) < seen.lengths_B[:, None]
        folded = _folded(query_BHQD, key)
        yield _like(_written_out(folded, key, value, scaling, sees_BS[:, None, None]), query_BHQD)
        return
    past = key.shape[2] - rows
    if rows == 1:
        yield _past(query_BHQD, key, value, scaling)
        return
    if past:
        yield _past(query_BHQD, key[:, :, :past], value[:, :, :past], scaling)
    groups = query_BHQD.shape[1] // key.shape[1]
    own_key, own_value = _repeated(key[:, :, past:], groups), _repeated(value[:, :, past:], groups)
    yield _with_lse(query_BHQD, own_key, own_value, scaling, triangle=True)


def merged(found: Iterator[Part]) -> torch.Tensor:
    """Attention to all parts together: each by its share of the sum of exponents."""
    out_BHQD, lse_BHQ = next(found)
    for more_BHQD, more_lse_BHQ in found:
        share_BHQ1 = torch.sigmoid(more_lse_BHQ - lse_BHQ)[..., None]
        out_BHQD = torch.lerp(out_BHQD.to(share_BHQ1.dtype), more_BHQD.to(share_BHQ1.dtype), share_BHQ1)
        lse_BHQ = torch.logaddexp(lse_BHQ, more_lse_BHQ)
    return out_BHQD


def _in_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor | None:
    """Where one call of torch's own function does it: one row, a chunk without a past, or a device that has a kernel
    for a triangle at the end of a longer past.
    """
    rows, positions = query.shape[2], key.shape[2]
    if rows == 1:
        return F.scaled_dot_product_attention(_folded(query, key), key, value, scale=scaling).reshape(query.shape)
    if rows == positions:
        groups = query.shape[1] // key.shape[1]
        key, value = _repeated(key, groups), _repeated(value, groups)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    if query.device.type == "cpu":
        return None
    from torch.nn.attention.bias import causal_lower_right

    bias = causal_lower_right(rows, positions)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling, enable_gqa=True)


def _past(query_BHQD: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> Part:
    """Attention to keys that every row sees: of its own batch element, or of all where keys have one for all."""
    batch, heads, rows, width = query_BHQD.shape
    if key.shape[0] == batch:
        return _like(_with_lse(_folded(query_BHQD, key), key, value, scaling, triangle=False), query_BHQD)
    shape = (batch, key.shape[1], heads // key.shape[1], rows)
    folded_1KRD = query_BHQD.reshape(*shape, width).transpose(0, 1).reshape(1, key.shape[1], -1, width)
    out, lse = _with_lse(folded_1KRD, key, value, scaling, triangle=False)
    turned = (shape[1], batch, *shape[2:])
    out_BHQD = out.reshape(*turned, width).transpose(0, 1).reshape(query_BHQD.shape)
    return out_BHQD, lse.reshape(turned).transpose(0, 1).reshape(batch, heads, rows)


def _folded(query_BHQD: torch.Tensor, key_BKSD: torch.Tensor) -> torch.Tensor:
    """(B, K, H / K x Q, D): the query heads of a group as rows of one head."""
    batch, _, _, width = query_BHQD.shape
    return query_BHQD.reshape(batch, key_BKSD.shape[1], -1, width)


def _like(part: Part, query_BHQD: torch.Tensor) -> Part:
    """A part of folded rows, unfolded."""
    return part[0].reshape(query_BHQD.shape), part[1].reshape(query_BHQD.shape[:3])


def _repeated(states_BKSD: torch.Tensor, groups: int) -> torch.Tensor:
    """A copy of each head for each query head of its group; for the chunk's own keys, which are few."""
    return states_BKSD.repeat_interleave(groups, dim=1) if groups > 1 else states_BKSD


def _with_lse(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> Part:
    """Attention and the log of the sum of its exponents, (B, heads, rows)."""
    if query.device.type not in SUMMING:
        rows, positions = query.shape[2], key.shape[2]
        sees = torch.ones(rows, positions, dtype=torch.bool, device=query.device).tril() if triangle else None
        return _written_out(query, key, value, scaling, sees)
    found: Part = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, triangle, scale=scaling
    )
    return found


def _written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, sees: torch.Tensor | None
) -> Part:
    """The same with every product in memory: for few positions. `sees`: True where a row sees a position."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    wide = torch.promote_types(query.dtype, torch.float32)
    products = query.to(wide) @ key.to(wide).transpose(-1, -2) * scaling
    if sees is not None:
        products = products.masked_fill(~sees, float("-inf"))
    return products.softmax(-1) @ value.to(wide), products.logsumexp(-1)
