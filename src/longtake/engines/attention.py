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
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from longtake.engines.merging import Part, folded, merged, own, past, repeated, unfolded, written_out
from longtake.engines.noticing import notice
from longtake.engines.segments import Seen

NAME = "longtake"
"""By which transformers finds `attend`."""


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
    told = notice()
    out = seeing(query, seen, scaling=scaling) if told is None else told.attend(query, seen, scaling)
    return out.transpose(1, 2).contiguous(), None


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
    return merged(parts(query_BHQD, seen, scaling))[0].to(query_BHQD.dtype)


def parts(query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> Iterator[Part]:
    """Attention to each piece of what is seen, by itself."""
    key, value, rows = seen.key_BKSD, seen.value_BKSD, query_BHQD.shape[2]
    for segment in seen.shared:
        yield from segment.parts(query_BHQD, scaling)
    if seen.lengths_B is not None:
        sees_BS = torch.arange(key.shape[2], device=key.device) < seen.lengths_B[:, None]
        rows_BKRD = folded(query_BHQD, key)
        yield unfolded(written_out(rows_BKRD, key, value, scaling, sees_BS[:, None, None]), query_BHQD)
        return
    if rows == 1:
        yield past(query_BHQD, key, value, scaling)
        return
    if key.shape[2] > rows:
        yield past(query_BHQD, key[:, :, :-rows], value[:, :, :-rows], scaling)
    yield own(query_BHQD, key[:, :, -rows:], value[:, :, -rows:], scaling)


def _in_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor | None:
    """Where one call of torch's own function does it: one row, a chunk without a past, or a device that has a kernel
    for a triangle at the end of a longer past.
    """
    rows, positions = query.shape[2], key.shape[2]
    if rows == 1:
        return F.scaled_dot_product_attention(folded(query, key), key, value, scale=scaling).reshape(query.shape)
    if rows == positions:
        groups = query.shape[1] // key.shape[1]
        key, value = repeated(key, groups), repeated(value, groups)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    if query.device.type == "cpu":
        return None
    from torch.nn.attention.bias import causal_lower_right

    bias = causal_lower_right(rows, positions)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling, enable_gqa=True)
