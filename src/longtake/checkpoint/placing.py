"""checkpoint/placing: names of devices and of a dtype in, where and in what numbers to compute out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from longtake.checkpoint.hollow import hollow
from longtake.errors import ErrorCode, LongtakeError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
INT8 = "int8"
"""Among dtypes: the matrices of repeated layers are kept in eight bits, and computed with as `auto` would."""

WEIGHTS_SHARE = 0.8
"""Of a graphics card's free memory so much is for weights; keys, values and what is computed take the rest."""
_SHARE = re.compile(r"(?P<device>[^=]+)(?:=(?P<count>\d{1,18}(?:\.\d{1,6})?)(?:(?P<unit>[KMGT])i?B?)?)?", re.ASCII)


@dataclass(frozen=True)
class Share:
    """A device, and how many bytes of weights it may be given; None: as many as there are."""

    device: torch.device
    limit_bytes: int | None = None


@dataclass(frozen=True)
class Placement:
    """Where a model computes, and in what numbers.

    Attributes:
        device: the first one, where everything is that fits.
        dtype: of all numbers with a fraction.
        int8: keep the matrices of repeated layers in eight bits.
        shares: devices in the order in which they are filled, the processor last; none: `device`, without a limit.
    """

    device: torch.device
    dtype: torch.dtype
    int8: bool = False
    shares: tuple[Share, ...] = ()

    def __post_init__(self) -> None:
        if self.int8 and self.dtype == torch.float16:
            raise ValueError("int8 wants float32 or bfloat16 beside it: sums of steps overflow float16")
        if self.shares and self.shares[0].device != self.device:
            raise ValueError(f"device is {self.device}; the first share's is {self.shares[0].device}")


def placement(device: str, dtype: str, *, exact: bool = False) -> Placement:
    """Resolve devices and a dtype by name.

    Args:
        device: "auto": CUDA if there is one (what does not fit into the first card goes to the next ones and then to
            the processor's memory), else the processor; or devices as torch writes them, each perhaps with a limit for
            weights: "cpu", "cuda:1", "cuda:0=20GiB,cuda:1,cpu".
        dtype: a key of DTYPES; "int8"; or "auto": bfloat16 where every device computes in it, else float32. float16,
            whose range is narrower than that of bfloat16 and float32, is never chosen, only taken.
        exact: auto means float32 everywhere, for models so small that nothing is gained by less.

    Raises:
        LongtakeError: `usage.bad_option` if there is no such device or dtype.
    """
    if dtype not in ("auto", INT8, *DTYPES):
        advice = f"take auto, {', '.join(DTYPES)}, {INT8}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"dtype {dtype}", "there is no such dtype", advice)
    shares = _automatic() if device == "auto" else _named(device)
    own = torch.float32 if exact or not all(computes_bfloat16(share.device) for share in shares) else torch.bfloat16
    without_limit = len(shares) == 1 and shares[0].limit_bytes is None
    return Placement(shares[0].device, DTYPES.get(dtype, own), dtype == INT8, () if without_limit else shares)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; what lacks them emulates, slower than float32."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return True  # only planned for; cards of the last years do
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Older torch does not tell; then float32 is right, if slower.
        told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(told.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
    try:
        torch.ones(1, dtype=torch.bfloat16, device=device).add_(1).item()
    except (RuntimeError, TypeError):
        return False
    return True


def _automatic() -> tuple[Share, ...]:
    if not torch.cuda.is_available():
        return (Share(torch.device("cpu")),)
    cards = tuple(_with_limit(torch.device("cuda", number)) for number in range(torch.cuda.device_count()))
    return (*cards, Share(torch.device("cpu")))


def _named(devices: str) -> tuple[Share, ...]:
    shares = [_share(text.strip()) for text in devices.split(",")]
    if len({share.device for share in shares}) < len(shares):
        raise _no_device(devices, "names a device twice")
    several = len(shares) > 1
    shares = [_with_limit(share.device) if several and share.limit_bytes is None else share for share in shares]
    # Weights that the processor's memory keeps are brought to the first device when they are needed: it comes last.
    return tuple(sorted(shares, key=lambda share: str(share.device) == "cpu"))


def _share(text: str) -> Share:
    found = _SHARE.fullmatch(text)
    if found is None:
        raise _no_device(text, "is no device, or no limit like cuda:0=20GiB")
    device = torch.device("cpu")
    try:
        device = torch.device(found["device"])
        device = torch.device("cpu") if device.type == "cpu" else device
        # Reading a number back tells a device that computes from torch's `meta`, which only pretends.
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # A model without weights may be planned for a card that is not there.
        if hollow() is not None and device.type == "cuda":
            return Share(device)
        raise _no_device(found["device"], "there is no such device here") from error
    if found["count"] is None:
        return Share(device)
    return Share(device, int(float(found["count"]) * 1024 ** " KMGT".index(found["unit"] or " ")))


def _with_limit(device: torch.device) -> Share:
    if device.type != "cuda":
        return Share(device)
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return Share(device, int(free_bytes * WEIGHTS_SHARE))


def _no_device(device: str, reason: str) -> LongtakeError:
    advice = "take auto, cpu, what torch finds (cuda, cuda:1, mps), or several: cuda:0=20GiB,cuda:1,cpu"
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"device {device}", reason, advice)
