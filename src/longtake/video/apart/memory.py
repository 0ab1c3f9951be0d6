"""video/apart/memory: a number of bytes in, this process held to it; and whether an error may come of that out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

_PROC_STATUS = Path("/proc/self/status")

_SLACK_BYTES = 64 << 20
"""So near to the limit an allocation may have been refused. Threads take 8 MiB of address space each, allocators fetch
64 MiB at once."""
_PIXEL_BYTES = 8
"""Of the largest pictures that decoders make: four channels of 16 bits."""


@dataclass(frozen=True)
class MemoryLimit:
    """What this process may take of address space; `limit_bytes` is None where the system holds it to nothing.

    Decoders tell a refused allocation in many ways: as an error of their own, as damage in the file, as a thread that
    cannot be started. So what an error means is judged by how near to the limit the process ever was.
    """

    limit_bytes: int | None

    def is_near(self, picture_pixels: int = 0) -> bool:
        """Whether the process was ever so near its limit that one more picture may not have fitted."""
        peak_bytes = _status_bytes("VmPeak")
        if self.limit_bytes is None or peak_bytes is None:
            return False
        return self.limit_bytes - peak_bytes < _SLACK_BYTES + _PIXEL_BYTES * picture_pixels


def limit_memory(more_bytes: int) -> MemoryLimit:
    """Allow this process `more_bytes` of address space over what it has now, and no core dumps.

    Linux holds a process to that; macOS takes the number and does not; Windows has no such call. There the deadline is
    all that ends a decoder that takes more and more.
    """
    if sys.platform == "win32":
        return MemoryLimit(None)
    import resource

    limit_bytes = more_bytes + (_status_bytes("VmSize") or 0)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    except (ValueError, OSError, OverflowError):
        return MemoryLimit(None)
    return MemoryLimit(limit_bytes)


def _status_bytes(name: str) -> int | None:
    """A line of Linux's /proc/self/status, which is in KiB; None on other systems."""
    try:
        lines = _PROC_STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), None)
