"""costs.rates: this machine in; what a little of each kind of work takes on it, measured once and kept, out."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch

FORM = 3
"""Of what is measured; another form is measured anew."""
DEADLINE_S = 600
KINDS = (
    "start",
    "process",
    "calls",
    "move",
    "fresh",
    "multiply float32",
    "attend float32",
    "stream float32",
    "load float32",
)
"""Some that every measurement has: what lacks one is damaged."""


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes:
        seconds: processor seconds of one operation, byte, number or call, by kind; `process` is in bytes.
        threads: that computed.
        note: what is worth saying of it; "" for nothing.
    """

    seconds: Mapping[str, float]
    threads: int
    note: str = ""

    @property
    def process_bytes(self) -> int:
        """What a run holds beside its model: Python, torch, decoder."""
        return int(self.seconds["process"])


class Unmeasured(Exception):
    """The measuring process failed; the message tells how."""


def kept_in() -> Path:
    """The file that measurements are kept in, one a machine, torch and number of threads."""
    return platformdirs.user_cache_path("longtake") / "calibration.json"


def rates(*, anew: bool = False, tell: Callable[[str], None] = lambda _: None) -> Rates:
    """What was measured before; else measured now, which takes some seconds, and kept.

    Args:
        anew: measure in any case.
        tell: hears that it is being measured.

    Raises:
        Unmeasured: it cannot be.
    """
    if not anew and (known := kept_rates()) is not None:
        return known
    path, key, threads = kept_in(), _key(), torch.get_num_threads()
    kept = _read(path)
    tell("measuring this machine, once: some seconds of computing")
    measured = _checked(_measured(threads))
    if measured is None:
        raise Unmeasured("what was measured are no numbers")
    try:
        _write(path, {**kept, key: dict(measured)})
    except OSError as error:
        return Rates(measured, threads, f"what was measured could not be kept in {path}: {error.strerror or error}")
    return Rates(measured, threads)


def kept_rates() -> Rates | None:
    """What was measured before; None where nothing was."""
    found = _checked(_read(kept_in()).get(_key()))
    return None if found is None else Rates(found, torch.get_num_threads())


def _key() -> str:
    parts = (platform.node(), platform.machine(), _processor(), torch.__version__, torch.get_num_threads(), FORM)
    return " | ".join(map(str, parts))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _read(path: Path) -> dict[str, object]:
    """What lies there; nothing where that is no JSON object, or cannot be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return dict(told) if isinstance(told, dict) else {}


def _checked(told: object) -> dict[str, float] | None:
    if not isinstance(told, dict) or any(kind not in told for kind in KINDS):
        return None
    numbers = {str(kind): value for kind, value in told.items() if isinstance(value, int | float)}
    sound = len(numbers) == len(told) and all(math.isfinite(value) and value >= 0 for value in numbers.values())
    return {kind: float(value) for kind, value in numbers.items()} if sound else None


def _write(path: Path, told: Mapping[str, object]) -> None:
    """Put in place at once, so that another process never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def _measured(threads: int) -> object:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "longtake.costs.measuring"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, env=environment, stdin=subprocess.DEVNULL
        )
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unmeasured(f"{type(error).__name__}: {error}") from error
