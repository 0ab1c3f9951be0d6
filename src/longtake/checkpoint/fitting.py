"""checkpoint/fitting: networks and a table of stored tensors in; which goes where, out. Reads no tensor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from longtake.checkpoint.files import refuse_any
from longtake.checkpoint.stored import StoredTensor


@dataclass(frozen=True)
class Slot:
    """One tensor of some networks, under all names that it has there (tied ones have several).

    Attributes:
        names: `MODULE.TENSOR`, the first one first.
        owners: the layer that has it, and how it is called there; one for each name.
        wanted: what is there now; its shape and kind are what fits.
    """

    names: tuple[str, ...]
    owners: tuple[tuple[nn.Module, str], ...]
    wanted: torch.Tensor

    def take(self, tensor: torch.Tensor) -> None:
        """Put `tensor` in every place of the slot; what was tied stays tied."""
        if isinstance(self.wanted, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=self.wanted.requires_grad)
        for owner, leaf in self.owners:
            setattr(owner, leaf, tensor)


def fitting(
    modules: Mapping[str, nn.Module],
    stored: Mapping[str, StoredTensor],
    *,
    renamed: Callable[[str], str | None],
    folder: Path,
    longer: Collection[str] = (),
) -> dict[str, Slot]:
    """The slot of every stored tensor that is not left out.

    Args:
        modules: by the prefix of their tensors' names.
        stored: what there is to fill them with.
        renamed: a stored name in; `MODULE.TENSOR`, or None for a tensor that is left out on purpose, out.
        folder: the checkpoint, as refusals name it.
        longer: names `MODULE.TENSOR` of what may be stored with more rows than are wanted (padded embeddings).

    Raises:
        LongtakeError: `model.bad_checkpoint`, telling all tensors that are missing, unexpected, unfit or come twice.
    """
    slots = slots_of(modules)
    slot_of = {name: slot for slot in slots for name in slot.names}
    sources: dict[str, list[str]] = {}
    for name in stored:
        target = renamed(name)
        if target is not None:
            sources.setdefault(target, []).append(name)
    fits = {name: slot_of[target] for target, names in sources.items() if target in slot_of for name in names}
    unfit = [
        f"{name} is {_form(stored[name].shape, stored[name].dtype)}, not {_form(slot.wanted.shape, slot.wanted.dtype)}"
        for name, slot in fits.items()
        if not _is_fit(stored[name], slot, longer)
    ]
    faults = {
        "missing": sorted(slot.names[0] for slot in slots if not sources.keys() & set(slot.names)),
        "unexpected": sorted(name for target, names in sources.items() if target not in slot_of for name in names),
        "unfit": unfit,
        "with several sources": [
            f"{target} ({', '.join(names)})" for target, names in sources.items() if len(names) > 1
        ],
    }
    refuse_any(folder, faults, "take the weights that belong to this config.json")
    return fits


def slots_of(modules: Mapping[str, nn.Module]) -> list[Slot]:
    """Everything that the modules would store, tied tensors once."""
    found: dict[int, tuple[torch.Tensor, list[str], list[tuple[nn.Module, str]]]] = {}
    for prefix, module in modules.items():
        for name, tensor in module.state_dict(keep_vars=True).items():
            path, _, leaf = name.rpartition(".")
            _, names, owners = found.setdefault(id(tensor), (tensor, [], []))
            names.append(f"{prefix}.{name}")
            owners.append((module.get_submodule(path), leaf))
    return [Slot(tuple(names), tuple(owners), tensor) for tensor, names, owners in found.values()]


def stored_tensors(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """What a checkpoint of these modules holds: every tensor named `MODULE.TENSOR`, tied ones once."""
    return {slot.names[0]: slot.wanted.detach().cpu().contiguous() for slot in slots_of(modules)}


def _is_fit(tensor: StoredTensor, slot: Slot, longer: Collection[str]) -> bool:
    wanted = slot.wanted
    if tensor.dtype.is_floating_point != wanted.is_floating_point():
        return False
    if not wanted.is_floating_point() and tensor.dtype != wanted.dtype:
        return False
    if tensor.shape == wanted.shape:
        return True
    may_be_longer = not set(longer).isdisjoint(slot.names)
    same_rows = len(tensor.shape) == wanted.dim() > 0 and tensor.shape[1:] == wanted.shape[1:]
    return may_be_longer and same_rows and tensor.shape[0] > wanted.shape[0]


def _form(shape: tuple[int, ...], dtype: torch.dtype) -> str:
    kind = "numbers with a fraction" if dtype.is_floating_point else str(dtype).removeprefix("torch.")
    return f"{list(shape)} of {kind}"
