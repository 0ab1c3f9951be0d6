"""costs.machine: nothing in; how much memory this process may use out. Knows nothing of models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Room:
    """How much memory may be used.

    Attributes:
        bytes: so much.
        told: who says so, for a sentence that begins with "this machine has".
    """

    bytes: int
    told: str


def memory_room() -> Room:
    """The least of what the machine has, what its control group allows and what the process is limited to."""
    rooms = [Room(psutil.virtual_memory().total, "")]
    group = _cgroup_bytes(OWN_CGROUP, CGROUPS)
    if group is not None:
        rooms.append(Room(group, " (its control group's limit)"))
    limit = _process_bytes()
    if limit is not None:
        rooms.append(Room(limit, " (this process's limit: ulimit -v)"))
    return min(rooms, key=lambda room: room.bytes)


def free_bytes() -> int:
    """What nobody uses right now."""
    return int(psutil.virtual_memory().available)


def _cgroup_bytes(own: Path, groups: Path) -> int | None:
    """The least limit of the process's control group and of those that it is in; None where none is told.

    Version 2 tells it in memory.max of each group, version 1 in memory.limit_in_bytes under `memory`.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    found = []
    for _, controllers, name in (line for line in lines if len(line) == 3):
        if controllers and "memory" not in controllers.split(","):
            continue
        top = groups / "memory" if controllers else groups
        file = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = top / name.lstrip("/")
        for place in (folder, *folder.parents):
            found += _number(place / file)
            if place == top:
                break
    return min(found, default=None)


def _number(path: Path) -> list[int]:
    try:
        return [int(path.read_text())]
    except (OSError, ValueError):  # there is none, or it says max
        return []


def _process_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
