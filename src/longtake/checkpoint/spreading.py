"""checkpoint/spreading: networks and devices in; which block goes where, and there it is brought to compute, out.

A model that fits into the first device is put there. Else the package accelerate says which block goes to which device
and hooks each, so that what it reads is brought to it; weights that the processor's memory keeps are brought to the
first device each time they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from longtake.checkpoint.eight_bits import shrunk_layers
from longtake.checkpoint.fitting import slots_of
from longtake.checkpoint.placing import Placement, Share
from longtake.errors import ErrorCode, LongtakeError

NO_LIMIT = 2**60
GIB = 2**30
ASIDE = "cpu"
"""accelerate's word for the processor's memory beside other devices."""


@dataclass(frozen=True)
class BlockPlaces:
    """Where each block of some networks goes.

    Attributes:
        main: the first device.
        places: device by the name of a block, for all blocks; empty where everything is on the first.
        aside: those of the blocks that are only kept there, and brought to the first device to be computed.
    """

    main: torch.device
    places: Mapping[str, torch.device] = field(default_factory=dict)
    aside: frozenset[str] = frozenset()

    def device_of(self, name: str) -> torch.device:
        """Where a tensor of that name (`MODULE.TENSOR`) is kept."""
        while name and name not in self.places:
            name = name.rpartition(".")[0]
        return self.places.get(name, self.main)

    def settle(self, modules: Mapping[str, nn.Module]) -> None:
        """Bring to its device whatever is not there yet, and have every block brought what it reads."""
        for module in modules.values():
            if not self.places or not _is_called(module):
                module.to(self.main)
        if not self.places:
            return
        together = _together(modules)
        kept = {
            name: tensor
            for name, tensor in together.state_dict().items()
            if any(name.startswith(f"{block}.") for block in self.aside)
        }
        _accelerate().hooks.attach_align_device_hook_on_blocks(
            together,
            execution_device={
                "": self.main,
                **{name: self.main if name in self.aside else device for name, device in self.places.items()},
            },
            offload={"": False, **{name: name in self.aside for name in self.places}},
            weights_map=kept,
            offload_buffers=True,
        )


def weights_bytes(modules: Mapping[str, nn.Module], dtype: torch.dtype, *, int8: bool = False) -> int:
    """What the weights of networks take in memory, in bytes: of the networks alone, whatever they are told to read.

    Args:
        modules: may be built without memory.
        dtype: of numbers with a fraction.
        int8: matrices of repeated layers take one byte a number, and four for the scale of each row.
    """
    shrunk = shrunk_layers(modules) if int8 else {}
    total = 0
    for slot in slots_of(modules):
        wanted = slot.wanted
        if id(wanted) in shrunk:
            total += wanted.numel() + 4 * len(wanted)
        else:
            total += wanted.numel() * (dtype.itemsize if wanted.is_floating_point() else wanted.dtype.itemsize)
    return total


def spread(modules: Mapping[str, nn.Module], where: Placement) -> BlockPlaces:
    """Say which block goes where, before any weight is read. Devices are filled in their order.

    Raises:
        LongtakeError: `limit.memory` if all devices together may not be given so much; `environment.missing` if it
            takes several and accelerate is not installed.
    """
    total = weights_bytes(modules, where.dtype, int8=where.int8)
    if not where.shares or total <= _limit(where.shares[0]):
        return BlockPlaces(where.device)
    if total > sum(map(_limit, where.shares)):
        raise _too_little(total, where.shares)
    # accelerate numbers devices; which device has a number is ours to say. What has none is the processor's memory.
    shares = list(enumerate(where.shares))
    keys = [ASIDE if number and str(share.device) == "cpu" else number for number, share in shares]
    together = _together(modules)
    found = _accelerate().infer_auto_device_map(
        together,
        max_memory={key: _limit(share) for key, share in zip(keys, where.shares, strict=True)},
        no_split_module_classes=_whole(modules),
        dtype=where.dtype,
        special_dtypes=_eight_bit_names(modules) if where.int8 else None,
        offload_buffers=True,
    )
    if "disk" in found.values():
        raise _too_little(total, where.shares)
    if "" in found:
        # All in one place (nothing fits beside the room that the largest block needs): told of a block without a name.
        found = dict.fromkeys(together, found[""])
    devices = {key: share.device for key, share in zip(keys, where.shares, strict=True)}
    aside = frozenset(name for name, key in found.items() if key == ASIDE)
    return BlockPlaces(where.device, {name: devices[key] for name, key in found.items()}, aside)


def _limit(share: Share) -> int:
    return NO_LIMIT if share.limit_bytes is None else share.limit_bytes


def _is_called(module: nn.Module) -> bool:
    """A network that is one tensor is read, not called: nothing could bring it when it is needed."""
    return next(module.children(), None) is not None


def _together(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """All networks as one, the smallest first: they lie on the first device."""
    called = {name: module for name, module in modules.items() if _is_called(module)}
    sizes = {name: sum(parameter.numel() for parameter in module.parameters()) for name, module in called.items()}
    return nn.ModuleDict({name: called[name] for name in sorted(called, key=lambda name: sizes[name])})


def _whole(modules: Mapping[str, nn.Module]) -> list[str]:
    """Classes of layers that are computed on one device: those that are repeated, and those that have both layers and
    tensors of their own, which are read with no call that could bring them.
    """
    found = set()
    for layer in (one for module in modules.values() for one in module.modules()):
        if isinstance(layer, nn.ModuleList):
            found |= {type(inner).__name__ for inner in layer}
        elif _is_called(layer) and next(layer.parameters(recurse=False), None) is not None:
            found.add(type(layer).__name__)
    return sorted(found)


def _eight_bit_names(modules: Mapping[str, nn.Module]) -> dict[str, torch.dtype]:
    shrunk = shrunk_layers(modules)
    return {name: torch.int8 for slot in slots_of(modules) for name in slot.names if id(slot.wanted) in shrunk}


def _too_little(total: int, shares: Sequence[Share]) -> LongtakeError:
    told = ", ".join(
        str(share.device) if share.limit_bytes is None else f"{share.device} {share.limit_bytes / GIB:.3g} GiB"
        for share in shares
    )
    reason = f"its weights take {total / GIB:.3g} GiB; what may be given to them is {told}"
    return LongtakeError(ErrorCode.LIMIT_MEMORY, "", reason, "take --dtype int8, more devices, or cpu as the last one")


def _accelerate() -> Any:
    try:
        import accelerate
    except ImportError as error:
        reason, advice = "is not installed; it spreads a model over several devices", "pip install 'longtake[devices]'"
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "accelerate", reason, advice) from error
    return accelerate
