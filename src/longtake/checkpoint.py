"""checkpoint: a folder in, checked tensors in their modules out. Knows no family of models.

Whatever is wrong with a checkpoint is found before it is used and told at once: files that are missing, a weights file
that is cut off, tensors that are too many, too few, of another shape or not finite. Pickles are never opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from longtake.errors import ErrorCode, LongtakeError

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
NAMED_AT_MOST = 5
"""Of each kind of fault so many tensors are named; the rest are counted."""

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


def bad_checkpoint(path: Path, reason: str, advice: str) -> LongtakeError:
    """The refusal of a checkpoint."""
    return LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(path), reason, advice)


def require_files(folder: Path, names: Iterable[str]) -> None:
    """Check that all of `names` are files of `folder`.

    Raises:
        LongtakeError: `model.bad_checkpoint`, naming all that are missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    advice = "copy the whole checkpoint"
    if WEIGHTS in missing and any(next(folder.glob(pattern), None) for pattern in PICKLES):
        advice += "; pickled weights are never opened, convert them to safetensors"
    raise bad_checkpoint(folder, f"has no {', '.join(missing)}", advice)


def read_config(folder: Path) -> dict[str, Any]:
    """The object of config.json.

    Raises:
        LongtakeError: `model.bad_checkpoint` if it cannot be read or is no JSON object.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config.items())
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = f"is not a JSON object: {error}"
        raise bad_checkpoint(path, reason, "copy config.json from where the checkpoint came from") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, by name, as they are stored.

    The library checks the header and every tensor's place against the file's size before it makes a tensor.

    Raises:
        LongtakeError: `model.bad_checkpoint` if the file is cut off, too long or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as weights:
            return {name: weights.get_tensor(name) for name in weights.keys()}
    except (SafetensorError, OSError) as error:
        reason = f"is cut off, damaged or not safetensors: {error}"
        raise bad_checkpoint(path, reason, "copy it again and compare its sha256") from error


def load_strictly(
    modules: Mapping[str, nn.Module], weights: Mapping[str, torch.Tensor], where: Placement, *, path: Path
) -> None:
    """Fill modules with weights named `MODULE.TENSOR`, and move them to their place.

    Every tensor that a module has and no other must be there; of tied tensors the first name stands for all.
    Buffers that are not stored (rotary frequencies) keep their own dtype: rounded they would turn positions.

    Raises:
        LongtakeError: `model.bad_checkpoint`, telling all missing, unexpected and unfit tensors, or all not finite.
    """
    own = {f"{prefix}.{name}": tensor for prefix, module in modules.items() for name, tensor in _stored(module).items()}
    unfit = [
        f"{name} is {_form(weights[name])}, not {_form(tensor)}"
        for name, tensor in own.items()
        if name in weights and _form(weights[name]) != _form(tensor)
    ]
    _refuse_any(
        path,
        {"missing": sorted(own.keys() - weights.keys()), "unexpected": sorted(weights.keys() - own.keys())}
        | {"unfit": unfit},
        "take the weights that belong to this config.json",
    )
    placed = {name: _placed(weights[name], where) for name in own}
    broken = [name for name, tensor in placed.items() if not bool(torch.isfinite(tensor).all())]
    kind = f"not finite in {str(where.dtype).removeprefix('torch.')}"
    _refuse_any(path, {kind: broken}, "copy it again; a narrower dtype than the weights' own may overflow")
    for prefix, module in modules.items():
        _assign(module, {name: placed[f"{prefix}.{name}"] for name in _stored(module)})
        module.to(where.device)


def stored_tensors(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """What `load_strictly` wants: every module's tensors named `MODULE.TENSOR`, tied ones once."""
    return {
        f"{prefix}.{name}": tensor.detach().cpu().contiguous()
        for prefix, module in modules.items()
        for name, tensor in _stored(module).items()
    }


def _stored(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's state by name; a tensor with several names goes by the first."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    for name, tensor in state.items():
        first.setdefault(id(tensor), name)
    return {name: state[name] for name in first.values()}


def _assign(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    state = module.state_dict(keep_vars=True)
    names = {id(tensor): name for name, tensor in reversed(state.items())}
    tied = {name: names[id(tensor)] for name, tensor in state.items() if names[id(tensor)] != name}
    module.load_state_dict({name: tensors[tied.get(name, name)] for name in state}, strict=True, assign=True)
    for name, first in tied.items():
        owner, _, leaf = name.rpartition(".")
        module.get_submodule(owner).register_parameter(leaf, module.get_parameter(first))


def _form(tensor: torch.Tensor) -> str:
    kind = "numbers with a fraction" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return f"{list(tensor.shape)} of {kind}"


def _placed(tensor: torch.Tensor, where: Placement) -> torch.Tensor:
    return tensor.to(where.device, where.dtype if tensor.is_floating_point() else None)


def _refuse_any(path: Path, faults: Mapping[str, list[str]], advice: str) -> None:
    told = []
    for kind, names in faults.items():
        more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
        if names:
            told.append(f"{len(names):,} {kind}: {', '.join(names[:NAMED_AT_MOST])}{more}")
    if told:
        raise bad_checkpoint(path, "tensors do not fit: " + "; ".join(told), advice)
