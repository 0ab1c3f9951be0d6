"""parallel/attending: a transformers model in; the same, attending together with other ranks, out. Knows no family.

Each rank gives the model its zigzag share of a row's ids and their true `position_ids`. All but attention looks at one
position at a time; attention is told by `reading` whose share it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from longtake.engines.attention import attend
from longtake.parallel import Ranks
from longtake.parallel.ring import ring
from longtake.parallel.row import Row, row_of
from longtake.parallel.ulysses import ulysses

Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Row, float | None], torch.Tensor]
"""Queries, keys and values of this rank's positions, the row and the scaling in; what attention makes of them out."""
RING, ULYSSES = "longtake_ring", "longtake_ulysses"
"""By which transformers finds the ways to attend together."""
WAYS: Mapping[str, Way] = MappingProxyType({RING: ring, ULYSSES: ulysses})
TOLD = "longtake_row"
"""By which a model hands on to its layers what row they read: so a layer that is computed once more in the gradient, at
another time and perhaps on a thread of autograd's own, is told the same."""
UNKNOWN = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What some models want of attention, and ranks do not do together."""
NO_MASK = "ranks that attend together take no mask: tell `reading` the length and the documents"
_ROW: ContextVar[Row | None] = ContextVar("_ROW", default=None)


def attending_together(language: Any, how: str) -> Any:
    """The model, attending together with other ranks from now on wherever `reading` says so.

    Args:
        language: a transformers causal language model whose layers hand on to attention what they are given (Qwen2's,
            Llama's, Mistral's and others' do).
        how: `RING`, for any number of heads, or `ULYSSES`, for some (see `ulysses`).

    Raises:
        ValueError: for another name.
    """
    if how not in WAYS:
        raise ValueError(f"{how!r} is no way to attend together: {', '.join(WAYS)} are")
    AttentionInterface.register(how, partial(_attend, WAYS[how]))
    language.set_attn_implementation(how)
    language.base_model.register_forward_pre_hook(_hand_on, with_kwargs=True)
    return language


@contextmanager
def reading(ranks: Ranks, length: int, documents_BL: torch.Tensor | None = None) -> Iterator[None]:
    """Within: models of `attending_together` read a row that `ranks` share. Outside they attend causally, alone.

    The gradient may be taken outside, also of layers that are computed once more for it.

    Args:
        length: of the whole row, without padding.
        documents_BL: to which document each position of the whole row belongs, as in `row_of`; documents do not see one
            another. The same on every rank.

    Raises:
        ValueError: see `row_of`.
    """
    before = _ROW.set(row_of(ranks, length, documents_BL))
    try:
        yield
    finally:
        _ROW.reset(before)


def _hand_on(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    mask = named.get("attention_mask")
    if mask is not None and not mask.all():
        # transformers drops it where attention is not its own.
        raise ValueError(NO_MASK)
    return given, {TOLD: _ROW.get(), **named}


def _attend(  # noqa: PLR0913  transformers says which
    way: Way,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls an attention function, by one of the ways; alone and causal where no row is told.

    Raises:
        ValueError: for a share of another length or batch than the row's, a mask, or what ranks do not do together.
    """
    row: Row | None = named[TOLD] if TOLD in named else _ROW.get()
    asked = [name for name in UNKNOWN if named.get(name) is not None] + ["dropout"] * bool(dropout)
    if asked:
        raise ValueError(f"ranks attend together to whole rows; this layer asks for {', '.join(asked)} besides")
    if row is None:
        return attend(module, query, key, value, attention_mask, scaling=scaling)
    if attention_mask is not None:
        raise ValueError(NO_MASK)
    if (query.shape[2], key.shape[2]) != (row.held, row.held) or row.batch not in (None, len(query)):
        came = f"{len(query)} x {query.shape[2]:,} queries and {key.shape[2]:,} keys"
        wanted = f"{row.batch or 'any'} x {row.held:,} of both: a share of {row.length:,} positions"
        raise ValueError(f"{came} came, and {row.ranks.size} ranks want {wanted} on each. Give what `share` returns")
    query, key, value = _as_cast(query), _as_cast(key), _as_cast(value)
    return way(query, key, value, row, scaling).transpose(1, 2).contiguous(), None


def _as_cast(x: torch.Tensor) -> torch.Tensor:
    """In the precision that autocast wants, where it is on: by itself it knows torch's own functions only."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
