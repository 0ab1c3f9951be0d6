"""checkpoint/filling: stored tensors in, networks filled with them out, one tensor at a time. Knows no names of layers.

Files are read, not mapped: pages of a mapped file count as memory of the process for as long as it is open, so a
checkpoint that is converted while it is read would take its size twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from longtake.checkpoint.files import bad_checkpoint, refuse_any
from longtake.checkpoint.fitting import Slot, fitting
from longtake.checkpoint.placing import Placement
from longtake.checkpoint.stored import COPY_AGAIN, StoredTensor
from longtake.checkpoint.sums import refuse_changed

CHUNK_BYTES = 2**24
"""So much of a tensor is read, converted and checked at a time: little beside a network, much beside a page of disk."""


def fill(  # noqa: PLR0913  two tables, where to, and four things that only the family knows
    modules: Mapping[str, nn.Module],
    stored: Mapping[str, StoredTensor],
    where: Placement,
    *,
    renamed: Callable[[str], str | None],
    folder: Path,
    longer: Collection[str] = (),
) -> None:
    """Fill networks with a checkpoint's tensors, and move them to their place.

    Every tensor that a network has and no other must be there. Of tied tensors one name is enough; if several are
    stored they must say the same. Buffers that are not stored keep their own dtype: rotary frequencies rounded to
    bfloat16 would turn positions. Networks built under `without_memory` cost no memory before.

    Args:
        modules: by the prefix of their tensors' names.
        stored: as `stored_in` gives it.
        where: the device, and the dtype of all numbers with a fraction.
        renamed: a stored name in; `MODULE.TENSOR`, or None for a tensor that is left out on purpose, out.
        folder: the checkpoint, as refusals name it.
        longer: names `MODULE.TENSOR` of what may be stored with more rows than are wanted; the first are taken.

    Raises:
        LongtakeError: `model.bad_checkpoint`, telling all missing, unexpected and unfit tensors before any is read; all
            files that are not those whose SHA-256 is told; or all tensors that are not finite: the networks are of no
            use then.
    """
    slots = fitting(modules, stored, renamed=renamed, folder=folder, longer=longer)
    refuse_changed(sorted({tensor.path.parent for tensor in stored.values()}))
    filled: dict[int, torch.Tensor] = {}
    broken, torn = [], []
    buffer = bytearray(CHUNK_BYTES)
    for name in sorted(slots, key=lambda name: (stored[name].path, stored[name].first_byte)):
        slot = slots[name]
        if id(slot) in filled:
            torn += [] if _says(stored[name], filled[id(slot)], buffer) else [name]
            continue
        tensor, finite = _read(stored[name], slot, where, buffer)
        filled[id(slot)] = tensor
        broken += [] if finite else [name]
        slot.take(tensor)
    faults = {f"not finite in {str(where.dtype).removeprefix('torch.')}": broken, "unlike what they are tied to": torn}
    refuse_any(folder, faults, "copy it again; a narrower dtype than the weights' own may overflow")
    for module in modules.values():
        module.to(where.device)


def _read(stored: StoredTensor, slot: Slot, where: Placement, buffer: bytearray) -> tuple[torch.Tensor, bool]:
    """A tensor of the slot's shape, and whether all of it is finite; rows beyond the slot's are left in the file."""
    dtype = where.dtype if stored.dtype.is_floating_point else stored.dtype
    tensor = torch.empty(slot.wanted.shape, dtype=dtype, device=where.device)
    finite = True
    for place, numbers in _chunks(stored, tensor.numel(), buffer):
        piece = tensor.view(-1)[place].copy_(numbers)
        finite = finite and (not dtype.is_floating_point or _is_finite(piece))
    return tensor, finite


def _is_finite(piece: torch.Tensor) -> bool:
    """Told by the extremes, which are not numbers if anything is not; a mask of the whole would take memory."""
    lowest, highest = torch.aminmax(piece)
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def _says(stored: StoredTensor, tensor: torch.Tensor, buffer: bytearray) -> bool:
    """Whether the file holds the numbers of `tensor`."""
    flat = tensor.view(-1)
    chunks = _chunks(stored, flat.numel(), buffer)
    return all(torch.equal(flat[place], numbers.to(flat.device, flat.dtype)) for place, numbers in chunks)


def _chunks(stored: StoredTensor, count: int, buffer: bytearray) -> Iterator[tuple[slice, torch.Tensor]]:
    """The first `count` numbers as they are stored, some at a time; each chunk overwrites the one before."""
    size = stored.dtype.itemsize
    step = len(buffer) // size
    try:
        with stored.path.open("rb", buffering=0) as file:
            file.seek(stored.first_byte)
            for start in range(0, count, step):
                stop = min(start + step, count)
                _read_whole(file.readinto, memoryview(buffer)[: (stop - start) * size])
                yield slice(start, stop), torch.frombuffer(buffer, dtype=stored.dtype, count=stop - start)
    except (OSError, EOFError) as error:
        raise bad_checkpoint(stored.path, f"could not be read to its end: {error}", COPY_AGAIN) from error


def _read_whole(read_into: Callable[[memoryview], int | None], target: memoryview) -> None:
    """One read may give less than is asked; an unbuffered file's call says how much."""
    at = 0
    while at < len(target):
        got = read_into(target[at:])
        if not got:
            raise EOFError("it became shorter while it was read")
        at += got
