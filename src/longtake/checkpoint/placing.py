"""checkpoint/placing: names of a device and a dtype in, where and in what numbers to compute out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from longtake.errors import ErrorCode, LongtakeError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where a model computes, and in what numbers."""

    device: torch.device
    dtype: torch.dtype


def placement(device: str, dtype: str) -> Placement:
    """Resolve a device and a dtype by name.

    Args:
        device: "auto" (CUDA if there is one, else the processor) or a device as torch writes it ("cpu", "cuda:1").
        dtype: "auto" (float32 on the processor, else bfloat16, which has the range of float32), or a key of DTYPES.

    Raises:
        LongtakeError: `usage.bad_option` if there is no such device or dtype.
    """
    if dtype not in ("auto", *DTYPES):
        advice = f"take auto, {', '.join(DTYPES)}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"dtype {dtype}", "there is no such dtype", advice)
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        found = torch.device(wanted)
        # Reading a number back tells a device that computes from torch's `meta`, which only pretends.
        torch.empty(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason, advice = "there is no such device here", "take auto, cpu, or what torch finds: cuda, cuda:1, mps"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"device {device}", reason, advice) from error
    own = torch.float32 if found.type == "cpu" else torch.bfloat16
    return Placement(found, own if dtype == "auto" else DTYPES[dtype])
