"""fuzz/child: an input in, how it ended out, also where the process that tried it died of it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .seeds import Seed

ROOT = Path(__file__).resolve().parents[2]
CPU_DEADLINE_S = 20.0
WALL_DEADLINE_S = 90.0
"""Of an input that waits for ever without using the processor."""

MOST_INPUTS = 3000


@dataclass
class Ended:
    """How one input ended: the target's own report, or the death of the child.

    Attributes:
        death: "" or "crash SIGSEGV", "hang: ...", with the Python places that the child was in.
        trial: the target's report, empty if it died.
        cpu_s: user and system time that the input took.
    """

    death: str = ""
    trial: dict[str, Any] = field(default_factory=dict)
    cpu_s: float = 0.0


class Child:
    """A warm process that tries one input after the other; put down after many, or by an input."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._inputs, self._known_cpu_s = 0, 0.0
        self._errors = tempfile.TemporaryFile()

    def __call__(self, path: Path, seed: Seed) -> Ended:
        """Try the file at `path`, made from `seed`."""
        process = self._started()
        assert process.stdin and process.stdout
        asked = {"path": str(path), "shown": seed.shown, "turns": seed.turns, "cpu_s": CPU_DEADLINE_S}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        line = self._answer(process)
        self._inputs += 1
        if line:
            trial = json.loads(line)
            self._known_cpu_s += trial["cpu_s"]
            return Ended(trial=trial, cpu_s=trial["cpu_s"])
        return self._dead(process)

    def close(self) -> None:
        """End the process, if there is one, and try nothing more."""
        self._stop()
        self._errors.close()

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process and self._inputs >= MOST_INPUTS:
            self._stop()
        if not self._process:
            self._errors.seek(0)
            self._errors.truncate()
            self._inputs, self._known_cpu_s = 0, 0.0
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.target"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes]) -> bytes:
        """The line that the child writes; nothing if it dies first, or says nothing for too long."""
        assert process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if selector.select(WALL_DEADLINE_S):
                return process.stdout.readline()
        process.send_signal(signal.SIGABRT)
        return b""

    def _dead(self, process: subprocess.Popen[bytes]) -> Ended:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.communicate()
        self._process = None
        self._errors.seek(0)
        places = self._errors.read()[-6000:].decode(errors="replace")
        cpu_s = used.ru_utime + used.ru_stime - self._known_cpu_s
        code = process.returncode
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        lines = [line.strip() for line in places.splitlines() if line.strip()]
        told = " < ".join([line for line in lines if "longtake" in line] or lines[-3:])[:400]
        kind = {"SIGXCPU": f"hang: {CPU_DEADLINE_S:.0f} s of processor", "SIGABRT": "hang or abort"}.get(name)
        return Ended(death=f"{kind or 'crash ' + name} | {told}", cpu_s=max(0.0, cpu_s))
