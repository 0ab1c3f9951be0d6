"""clock: what is done in; how long each stage of it took, and the memory of it all, out. Knows not what is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

STATUS = Path("/proc/self/status")

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Clock:
    """Wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, spent_s: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent_s

    @contextmanager
    def stage(self, name: str, *, without: str = "") -> Iterator[None]:
        """Time what is inside, but for what the stage `without` takes of it."""
        started_s, other_s = time.perf_counter(), self.seconds.get(without, 0.0)
        yield
        self.add(name, time.perf_counter() - started_s - (self.seconds.get(without, 0.0) - other_s))

    def each(self, stage: str, things: Iterable[Thing]) -> Iterator[Thing]:
        """The same things; what waiting for them takes goes to `stage`."""
        waiting = iter(things)
        while True:
            started_s = time.perf_counter()
            thing = next(waiting, None)
            self.add(stage, time.perf_counter() - started_s)
            if thing is None:
                return
            yield thing


def peak_memory_bytes() -> int | None:
    """The most that this process has held so far; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    if STATUS.exists():
        # Not ru_maxrss: on Linux that of a child begins with what its parent has held.
        told = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        if "VmHWM" in told:
            return int(told["VmHWM"].removesuffix("kB")) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
