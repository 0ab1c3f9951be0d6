"""networks: torch networks in; where they read from, and where their numbers first fail, out. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from longtake.errors import ErrorCode, LongtakeError


def input_device(network: nn.Module) -> torch.device:
    """Where a network takes what it reads: beside its weights; on the processor, if these are brought when needed."""
    device = next(network.parameters()).device
    return torch.device("cpu") if device.type == "meta" else device


def networks_in(part: object) -> tuple[nn.Module, ...]:
    """The networks that a part of a model holds as its own attributes."""
    return tuple(value for value in vars(part).values() if isinstance(value, nn.Module))


def is_finite(numbers: torch.Tensor) -> bool:
    """Told by the extremes, which are not finite if anything is not; a mask of the whole would take memory."""
    if not numbers.is_floating_point() or not numbers.numel():
        return True
    lowest, highest = torch.aminmax(numbers)
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def nonfinite(networks: Mapping[str, nn.Module], again: Callable[[], object]) -> LongtakeError:
    """The refusal of what `networks` made, naming the layer where numbers that are not finite came first.

    Nothing watches a network while all goes well: only now it is run once more with every layer watched.

    Args:
        networks: by name.
        again: does what made the numbers once more.
    """
    dtype = next(p.dtype for network in networks.values() for p in network.parameters() if p.is_floating_point())
    where = _first(networks, again) or f"somewhere in {', '.join(networks)}, but not when it was run once more"
    advice = "try --dtype float32; if it stays, the checkpoint is damaged"
    if dtype == torch.float16:
        advice = "float16 ends at 65,504: take --dtype bfloat16 or float32"
    elif dtype == torch.float32:
        advice = "the checkpoint is damaged; copy it again"
    reason = f"its numbers, in {str(dtype).removeprefix('torch.')}, are not finite from here on: {where}"
    return LongtakeError(ErrorCode.MODEL_NONFINITE, "", reason, advice)


def _first(networks: Mapping[str, nn.Module], again: Callable[[], object]) -> str | None:
    """The first layer to hand on, or to be handed, what is not finite; layers inside others come before those."""
    found: list[str] = []

    def look(told: str, values: object) -> None:
        if not found and not all(is_finite(tensor) for tensor in _tensors(values)):
            found.append(told)

    # torch says that what a hook returns is put in place of what it saw, unless it is None.
    def before(told: str, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        # Masks say minus infinity on purpose.
        look(told, [args, {name: value for name, value in kwargs.items() if "mask" not in name}])

    def behind(told: str, module: nn.Module, args: Any, made: Any) -> None:
        look(told, made)

    handles = []
    for prefix, network in networks.items():
        for name, module in network.named_modules(prefix=prefix):
            handles.append(
                module.register_forward_pre_hook(partial(before, f"what goes into {name}"), with_kwargs=True)
            )
            handles.append(module.register_forward_hook(partial(behind, f"what comes out of {name}")))
    try:
        again()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _tensors(values: object) -> Iterator[torch.Tensor]:
    """All tensors in nested lists, tuples and mappings."""
    if isinstance(values, torch.Tensor):
        yield values
        return
    inside: Iterable[object] = values.values() if isinstance(values, Mapping) else ()
    if isinstance(values, list | tuple):
        inside = values
    for value in inside:
        yield from _tensors(value)
