"""engines/attention: queries, keys and values in, what attention makes of them out. Knows no model and no cache.

Three things that the stock function pays for are not paid here:

- Grouped-query models have several query heads for one head of keys. The stock path repeats keys and values for each of
  them, or walks them once for each; here a group's queries are laid below each other as rows of one head (the *fold*),
  so that keys and values are read once and never copied.
- A chunk that is read after a long past needs no mask over the past: every row sees all of it. Past and chunk are
  attended to apart, and put together by their log-sum-exp (the online softmax, arXiv 1805.02867, as FlashAttention,
  arXiv 2205.14135, uses it).
- No mask is ever made.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from longtake.engines.noticing import notice

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


def told_apart(language: Any) -> bool:
    """Whether all layers of a model attend by `attend`, so that one can be told what they look at."""
    return getattr(language.config, "_attn_implementation", None) == NAME


def attend(  # noqa: PLR0913  transformers says which
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of a chunk that ends where the keys end; what transformers calls an attention function.

    Args:
        module: the layer; not looked at.
        query: (B, heads, rows, width).
        key, value: (B, key-value heads, positions, width); positions are at least rows, heads a multiple.
        attention_mask: None: there is no padding.
        scaling: of the products; None for one over the root of the width.

    Returns:
        (B, rows, heads, width), and no weights.

    Raises:
        ValueError: for a mask.
    """
    if attention_mask is not None:
        raise ValueError("longtake's attention is causal and takes no mask")
    told = notice()
    out = causal(query, key, value, scaling=scaling) if told is None else told.attend(query, key, value, scaling)
    return out.transpose(1, 2).contiguous(), None


def causal(
    query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, *, scaling: float | None = None
) -> torch.Tensor:
    """(B, H, Q, D): row q of the queries sees the keys up to position S - Q + q."""
    rows, positions = query_BHQD.shape[2], key_BKSD.shape[2]
    past = positions - rows
    if rows == 1:
        return _unfolded(_whole(_folded(query_BHQD, key_BKSD), key_BKSD, value_BKSD, scaling), query_BHQD)
    if past == 0:
        return _own(query_BHQD, key_BKSD, value_BKSD, scaling)
    if query_BHQD.device.type != "cpu":
        # Kernels of other devices know a causal triangle at the end of a longer past, and heads in groups.
        from torch.nn.attention.bias import causal_lower_right

        bias = causal_lower_right(rows, positions)
        return F.scaled_dot_product_attention(
            query_BHQD, key_BKSD, value_BKSD, attn_mask=bias, scale=scaling, enable_gqa=True
        )
    folded = _folded(query_BHQD, key_BKSD)
    seen, seen_lse = _with_lse(folded, key_BKSD[:, :, :past], value_BKSD[:, :, :past], scaling, triangle=False)
    groups = query_BHQD.shape[1] // key_BKSD.shape[1]
    own, own_lse = _with_lse(
        query_BHQD,
        _repeated(key_BKSD[:, :, past:], groups),
        _repeated(value_BKSD[:, :, past:], groups),
        scaling,
        triangle=True,
    )
    seen_lse_BHQ1 = seen_lse.reshape(own_lse.shape)[..., None]
    share = torch.sigmoid(own_lse[..., None] - seen_lse_BHQ1)
    return torch.lerp(_unfolded(seen, query_BHQD).to(share.dtype), own.to(share.dtype), share).to(query_BHQD.dtype)


def _folded(query_BHQD: torch.Tensor, key_BKSD: torch.Tensor) -> torch.Tensor:
    """(B, K, H / K x Q, D): the query heads of a group as rows of one head."""
    batch, _, _, width = query_BHQD.shape
    return query_BHQD.reshape(batch, key_BKSD.shape[1], -1, width)


def _unfolded(folded_BKRD: torch.Tensor, like_BHQD: torch.Tensor) -> torch.Tensor:
    return folded_BKRD.reshape(like_BHQD.shape)


def _repeated(states_BKSD: torch.Tensor, groups: int) -> torch.Tensor:
    """A copy of each head for each query head of its group; for the chunk's own keys, which are few."""
    return states_BKSD.repeat_interleave(groups, dim=1) if groups > 1 else states_BKSD


def _whole(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value, scale=scaling)


def _own(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = _repeated(key, groups), _repeated(value, groups)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)


def _with_lse(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and the log of the sum of its exponents, (B, heads, rows), on the processor."""
    found: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, triangle, scale=scaling
    )
    return found
