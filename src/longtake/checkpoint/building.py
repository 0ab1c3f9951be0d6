"""checkpoint/building: makes room for checkpoints: networks are built without memory for what will be filled anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

UNBUILT = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, StrictDataclassError)
"""What torch and transformers raise when they are told to build networks of no size, of words, or of other nonsense."""


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built inside have parameters of a shape but without numbers; `fill` gives them theirs.

    Buffers are real and right: those that no checkpoint stores (rotary frequencies, numbers of positions) are computed
    when a network is built. The caller's random numbers stay as they were.

    torch lets one look at every parameter that any module takes, so the memory that a layer reserved for it is given
    back before anything is written there. The look is torch's own, and global: another thread that builds a
    network at the same time builds it without memory too.
    """

    def emptied(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta:
            return None
        return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)

    handle = register_module_parameter_registration_hook(emptied)  # type: ignore[arg-type]  # documented to return one
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        handle.remove()
