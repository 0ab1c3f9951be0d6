"""engines: how keys and values are kept: in which numbers, in which memory. Knows nothing of models or attention."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from longtake.errors import writing


@dataclass(frozen=True)
class Keeping:
    """How the keys and values of a prefix are kept.

    Attributes:
        dtype: `auto`: as the model computes them; `int8`: eight bits, half of bfloat16.
        where: `device`: beside the model's layers; `memory`: in main memory; `disk`: in a file that has no name, in the
            folder for temporary files (TMPDIR), gone with the process however that ends. What is kept elsewhere than
            on the device is brought there layer by layer, some positions at a time, each time it is attended to.
    """

    dtype: Literal["auto", "int8"] = "auto"
    where: Literal["device", "memory", "disk"] = "device"

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "int8"):
            raise ValueError(f"keys and values in {self.dtype!r}; want auto or int8")
        if self.where not in ("device", "memory", "disk"):
            raise ValueError(f"keys and values on {self.where!r}; want device, memory or disk")

    def empty(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Room for so many numbers; `device` is that of the layer.

        Raises:
            LongtakeError: `disk.write` if the disk has no such room.
        """
        if self.where == "disk":
            return _mapped(shape, dtype)
        return torch.empty(shape, dtype=dtype, device=device if self.where == "device" else "cpu")

    def bytes_of(self, numbers: int, steps: int, itemsize: int, *, apart: bool) -> int:
        """What the keys and values of a position take of the device's memory.

        Args:
            numbers: in all of them.
            steps: of values, where they are in eight bits; those of keys are few.
            itemsize: bytes of a number as it is computed.
            apart: whether the device's memory is not the machine's.
        """
        if self.where == "disk" or (self.where == "memory" and apart):
            return 0
        return numbers * itemsize if self.dtype == "auto" else numbers + steps * itemsize

    def beside(self, device: torch.device) -> bool:
        """Whether what is kept lies, as it is computed, where a layer on `device` computes."""
        return self.dtype == "auto" and (self.where == "device" or (self.where == "memory" and device.type == "cpu"))


PLAIN = Keeping()


def _mapped(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor whose pages are a file's: the system writes them out and reads them in as memory allows."""
    size = max(1, math.prod(shape)) * dtype.itemsize
    folder = tempfile.gettempdir()
    with writing(f"keys and values in {folder}"), tempfile.TemporaryFile(prefix="longtake-", dir=folder) as file:
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            # Room is taken now: a disk that fills up under a mapped page would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
        pages = mmap.mmap(file.fileno(), size)
    return torch.frombuffer(pages, dtype=dtype)[: math.prod(shape)].view(*shape)
