"""checkpoint/filling: stored tensors in, networks filled with them out, one tensor at a time. Knows no names of layers.

Files are read, not mapped: pages of a mapped file count as memory of the process for as long as it is open, so a
checkpoint that is converted while it is read would take its size twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from longtake.checkpoint.eight_bits import in_eight_bits, shrunk_layers
from longtake.checkpoint.files import bad_checkpoint, refuse_any
from longtake.checkpoint.fitting import Slot, fitting, slots_of
from longtake.checkpoint.hollow import Hollow, hollow
from longtake.checkpoint.placing import Placement
from longtake.checkpoint.spreading import spread, weights_bytes
from longtake.checkpoint.stored import COPY_AGAIN, StoredTensor
from longtake.checkpoint.sums import refuse_changed
from longtake.errors import ErrorCode
from longtake.networks import is_finite

CHUNK_BYTES = 2**24
"""So much of a tensor is read and converted at a time: little beside a network, much beside a page of disk."""
ROUNDED_NUMBERS = 2**20
"""Of a matrix that is kept in eight bits, so many are rounded at a time: four MiB before they are narrow."""


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

    Under `without_weights` they get tensors without numbers, and nothing is read.

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
        LongtakeError: `model.bad_checkpoint`, telling all missing, unexpected and unfit tensors before any is read, or
            all files that are not those whose SHA-256 is told; `model.nonfinite`, telling all that are not finite: the
            networks are of no use then; `limit.memory` if they do not fit into the memory that they may be given;
            `environment.missing`, see `spread`.
    """
    rehearsed = hollow()
    if rehearsed is not None:
        _fill_hollow(rehearsed, modules, where)
        return
    slots = fitting(modules, stored, renamed=renamed, folder=folder, longer=longer)
    refuse_changed(sorted({tensor.path.parent for tensor in stored.values()}))
    spread_out = spread(modules, where)
    shrunk = shrunk_layers(modules) if where.int8 else {}
    filled: dict[int, torch.Tensor] = {}
    in_eight: list[Callable[[], None]] = []
    faults = _Faults([], [], [])
    reader = _Reader(where.dtype, bytearray(CHUNK_BYTES), torch.empty(ROUNDED_NUMBERS if where.int8 else 0))
    for name in sorted(slots, key=lambda name: (stored[name].path, stored[name].first_byte)):
        slot, device = slots[name], spread_out.device_of(slots[name].names[0])
        if id(slot) in filled:
            faults.torn.extend([] if reader.says(stored[name], filled[id(slot)]) else [name])
        elif id(slot.wanted) in shrunk:
            matrix_OI, scale_O, finite = reader.read_eight_bits(stored[name], slot, device)
            faults.broken.extend([] if finite else [name])
            # Its bias may come later; only then the layer itself can be replaced.
            in_eight.append(partial(shrunk[id(slot.wanted)].take, matrix_OI, scale_O))
        else:
            tensor = filled[id(slot)] = reader.read(stored[name], slot, device)
            if not is_finite(tensor):
                (faults.broken if reader.is_broken(stored[name], slot) else faults.narrowed).append(name)
            slot.take(tensor)
    faults.refuse(folder, where.dtype)
    for replace_layer in in_eight:
        replace_layer()
    spread_out.settle(modules)


def _fill_hollow(made: Hollow, modules: Mapping[str, nn.Module], where: Placement) -> None:
    """Fill networks that were built without memory with tensors without numbers, all on the processor."""
    made.weights_bytes.append(weights_bytes(modules, where.dtype, int8=where.int8))
    shrunk = shrunk_layers(modules) if where.int8 else {}
    slots = slots_of(modules)
    made.weights.append(sum(slot.wanted.numel() for slot in slots))
    in_eight = [shrunk[id(slot.wanted)] for slot in slots if id(slot.wanted) in shrunk]
    for slot in slots:
        wanted = slot.wanted
        slot.take(made.tensor(wanted.shape, where.dtype if wanted.is_floating_point() else wanted.dtype))
    for one in in_eight:
        outputs, inputs = one.linear.weight.shape
        one.take(made.tensor((outputs, inputs), torch.int8), made.tensor((outputs,), torch.float32))


@dataclass(frozen=True)
class _Faults:
    """Stored names: not finite; not finite in the dtype that is wanted; unlike what they are tied to."""

    broken: list[str]
    narrowed: list[str]
    torn: list[str]

    def refuse(self, folder: Path, dtype: torch.dtype) -> None:
        """Refuse the checkpoint if there are any."""
        kinds = {
            "not finite": self.broken,
            f"too large for {str(dtype).removeprefix('torch.')}": self.narrowed,
            "unlike what they are tied to": self.torn,
        }
        no_numbers = bool(self.broken or self.narrowed)
        advice = "copy it again" if self.broken or self.torn else "take --dtype bfloat16 or float32"
        code = ErrorCode.MODEL_NONFINITE if no_numbers else ErrorCode.MODEL_BAD_CHECKPOINT
        refuse_any(folder, kinds, advice, code=code)


@dataclass(frozen=True)
class _Reader:
    """Reads tensors as numbers of `dtype`, through one buffer; `rounded` is another, for eight bits.

    Memory that is taken anew for each tensor would be left behind in pieces between the tensors that stay.
    """

    dtype: torch.dtype
    buffer: bytearray
    rounded: torch.Tensor

    def read(self, stored: StoredTensor, slot: Slot, device: torch.device) -> torch.Tensor:
        """A tensor of the slot's shape; rows beyond the slot's are left in the file."""
        dtype = self.dtype if stored.dtype.is_floating_point else stored.dtype
        tensor = torch.empty(slot.wanted.shape, dtype=dtype, device=device)
        for place, numbers in _chunks(stored, tensor.numel(), self.buffer):
            tensor.view(-1)[place].copy_(numbers)
        return tensor

    def read_eight_bits(
        self, stored: StoredTensor, slot: Slot, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """The slot's matrix in eight bits, the scales of its rows, and whether all of it is finite."""
        rows, columns = slot.wanted.shape
        matrix_OI = torch.empty(rows, columns, dtype=torch.int8, device=device)
        scale_O = torch.empty(rows, dtype=torch.float32, device=device)
        finite, step = True, max(1, len(self.rounded) // columns) * columns
        for place, numbers in _chunks(stored, rows * columns, self.buffer, step=step):
            some = slice(place.start // columns, place.stop // columns)
            finite = finite and is_finite(numbers)
            rows_RI = self.rounded[: len(numbers)].copy_(numbers).view(-1, columns)
            scale_O[some] = in_eight_bits(rows_RI, matrix_OI[some]).to(device)
        return matrix_OI, scale_O, finite

    def is_broken(self, stored: StoredTensor, slot: Slot) -> bool:
        """Whether the numbers are not finite as they are stored."""
        return not all(is_finite(numbers) for _, numbers in _chunks(stored, slot.wanted.numel(), self.buffer))

    def says(self, stored: StoredTensor, tensor: torch.Tensor) -> bool:
        """Whether the file holds the numbers of `tensor`."""
        flat = tensor.view(-1)
        chunks = _chunks(stored, flat.numel(), self.buffer)
        return all(torch.equal(flat[place], numbers.to(flat.device, flat.dtype)) for place, numbers in chunks)


def _chunks(
    stored: StoredTensor, count: int, buffer: bytearray, *, step: int = 0
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The first `count` numbers as they are stored, `step` (or as many as fit) at a time; each overwrites the last."""
    size = stored.dtype.itemsize
    step = step or len(buffer) // size
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
