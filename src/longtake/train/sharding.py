"""train/sharding: a language model in; the same whose parameters ranks hold in parts out (FSDP2). Knows no stage.

A layer's parameters are whole on a rank while it computes with them; those of no layer (embeddings, last norm, head)
while anything does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from longtake.checkpoint import without_memory
from longtake.parallel.attending import attending_together
from longtake.train.spread import Spread

TURNS = "rotary_emb"
"""The one module of a transformers decoder that turns positions."""


class _Root(nn.Module):
    """Holds the language model, so that what is computed with its parts, in any order, is one forward pass to FSDP."""

    def __init__(self, language: nn.Module) -> None:
        super().__init__()
        self.language = language

    def forward(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        # FSDP hangs a hook on what comes out, which a view might lose.
        return work().clone()


def sharded(languages: Sequence[Any], spread: Spread, *, half: bool) -> Spread:
    """Let these models attend as a ring, where there is one, and their parameters be held as `spread` says.

    Args:
        languages: transformers causal language models of the same parameters that turn positions differently. They
            share all their modules but that from here on.
        half: gather and compute in bfloat16; on a processor autocast does the latter.

    Returns:
        The spread with what is to be computed `within`.
    """
    if spread.mesh is None:
        return spread
    first = languages[0]
    for other in languages[1:]:
        _share_modules(first, other)
    if spread.ring.size > 1:
        for language in languages:
            attending_together(language, spread.attending)
    if spread.hold == "whole":
        return spread
    pinned = spread.ranks.device.type != "cpu"
    how: dict[str, Any] = {
        "mesh": spread.mesh,
        "offload_policy": CPUOffloadPolicy(pin_memory=pinned) if spread.hold == "aside" else OffloadPolicy(),
        "mp_policy": MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half and pinned else MixedPrecisionPolicy(),
    }
    for layer in first.model.layers:
        fully_shard(layer, **how)
    return replace(spread, within=partial(_within, fully_shard(_Root(first), **how)))


def _within(root: FSDPModule, work: Callable[[], torch.Tensor]) -> torch.Tensor:
    found: torch.Tensor = cast(nn.Module, root)(work)
    if not found.requires_grad:
        # Else the backward pass gives the parameters of no layer back.
        root.reshard()
    return found


def whole_language(language: Any, spread: Spread) -> Any:
    """The model with whole parameters, on the processor of the leading rank; None on others. Every rank calls it."""
    if spread.hold == "whole":
        return language if spread.leads else None
    state = get_model_state_dict(language, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not spread.leads:
        return None
    with without_memory():
        whole = type(language)(language.config)
    whole.load_state_dict(state, strict=True, assign=True)
    whole.tie_weights()
    return whole


def clip(parameters: Iterable[nn.Parameter], most: float) -> float:
    """Make the gradients of all parameters, taken together, no longer than `most`; how long they were.

    Torch's own functions do not take parameters of which only some are held in parts. Every rank calls it.
    """
    learning = [parameter for parameter in parameters if parameter.grad is not None]
    in_parts = [parameter for parameter in learning if isinstance(parameter, DTensor)]
    whole = [parameter for parameter in learning if not isinstance(parameter, DTensor)]
    lengths = [_length(some) for some in (in_parts, whole) if some]
    norm = math.hypot(*lengths)
    for some in (in_parts, whole):
        nn.utils.clip_grads_with_norm_(some, most, torch.tensor(norm))
    return norm


def _length(parameters: Sequence[nn.Parameter]) -> float:
    """Of their gradients, taken together."""
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def like(tensor: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """`tensor`, which every rank has whole, held as `model` is: in parts, or as it came."""
    if not isinstance(model, DTensor) or tensor.shape != model.shape:
        return tensor
    mesh = model.device_mesh
    # Every rank has it, so none has to send it.
    parts = distribute_tensor(tensor.to(mesh.device_type), mesh, model.placements, src_data_rank=None)
    return parts.to(model.device)


def _share_modules(first: Any, other: Any) -> None:
    """Let `other` compute by the very modules of `first`, but for how it turns positions."""
    for name, module in first.model.named_children():
        if name != TURNS:
            other.model.add_module(name, module)
    other.add_module("lm_head", first.lm_head)
