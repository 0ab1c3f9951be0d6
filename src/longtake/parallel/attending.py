"""parallel/attending: a transformers model in; the same, attending together with other ranks, out. Knows no family.

Each rank gives the model its zigzag share of a row's ids and their true `position_ids`. All but attention looks at one
position at a time; attention is told by `reading` whose share it sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import nn
from transformers import AttentionInterface

from longtake.engines.attention import attend
from longtake.parallel import Ranks
from longtake.parallel.ring import ring
from longtake.parallel.row import Row, row_of

RING, ULYSSES = "longtake_ring", "longtake_ulysses"
"""By which transformers finds the two ways to attend together."""
How = Literal["longtake_ring", "longtake_ulysses"]
TOLD = "longtake_row"
"""By which a model hands on to its layers what row they read: so one that is computed once more in the gradient, perhaps
on a thread of autograd's own, is told the same."""
_ROW: ContextVar[Row | None] = ContextVar("_ROW", default=None)


def attending_together(language: Any, how: How) -> Any:
    """The model, attending together with other ranks from now on wherever `reading` says so.

    Args:
        language: a transformers causal language model whose layers hand on what they are given to attention (Qwen2,
            Llama, Mistral and others do).
        how: `RING`, for any number of heads; `ULYSSES`, see `parallel.ulysses` for which.

    Raises:
        ValueError: for another name, or a model with a sliding window.
    """
    ways = {RING: ring_attention}
    if how not in ways:
        raise ValueError(f"{how!r} is no way to attend together: {', '.join(ways)} are")
    window = getattr(language.config, "sliding_window", None)
    if window is not None and getattr(language.config, "use_sliding_window", True):
        raise ValueError(f"this model's layers see {window:,} positions back; ranks attend together to whole rows only")
    AttentionInterface.register(how, ways[how])
    language.set_attn_implementation(how)
    language.base_model.register_forward_pre_hook(_hand_on, with_kwargs=True)
    return language


@contextmanager
def reading(ranks: Ranks, length: int, documents_BL: torch.Tensor | None = None) -> Iterator[Row]:
    """Within: models of `attending_together` read a row that `ranks` share. Outside they attend causally, alone.

    Args:
        length: of the whole row, without padding.
        documents_BL: to which document each position of the whole row belongs, as in `row_of`; documents do not see one
            another. The same on every rank.
    """
    row = row_of(ranks, length, documents_BL)
    before = _ROW.set(row)
    try:
        yield row
    finally:
        _ROW.reset(before)


def _hand_on(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    row = _ROW.get()
    return given, named if row is None else {TOLD: row, **named}


def ring_attention(  # noqa: PLR0913  transformers says which
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls an attention function: each rank's share of the row, by keys that go round."""
    row = named.get(TOLD) or _ROW.get()
    if row is None:
        return attend(module, query, key, value, attention_mask, scaling=scaling)
    return ring(query, key, value, row, scaling).transpose(1, 2).contiguous(), None
