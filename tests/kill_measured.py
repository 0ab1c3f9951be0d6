"""Kills a run at random moments and goes on with it, until it was killed so often. Not a test: test_measure starts it.

    python tests/kill_measured.py DATA MODEL OUT KILLS SEED

All is imported once, and each run is a fork, so that most of its time is the run's own. First one is left alone, in
OUT/whole. Then each is killed at a random moment of the time that took, and the next goes on in its folder; where one
ends before that, another begins: OUT/killed-0, OUT/killed-1 and so on, of which the last may go on to its end. Prints
how many rows there were at each kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import torch

from longtake.cli import main


class Runs:
    """Forks that measure the same into one folder after another."""

    def __init__(self, data: str, model: str) -> None:
        options = ["--frames", "4", "--max-new-tokens", "2", "--no-store", "--quiet"]
        self._command = ["eval", "next_qa", "--data", data, "--model", model, *options]

    def begin(self, out: Path) -> int:
        """A fork that runs; the same command each time."""
        child = os.fork()
        if child:
            return child
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main([*self._command, "--out", str(out)]))

    def warm(self, out: Path) -> None:
        """One question in this process, so that no fork has anything to import."""
        with redirect_stdout(sys.stderr):
            assert main([*self._command, "--out", str(out), "--limit-items", "1"]) == 0

    def killed(self, out: Path, within_s: float) -> bool:
        """Run for so long, and be killed; False if it ended before."""
        child, deadline_s = self.begin(out), time.monotonic() + within_s
        status: int | None = None
        while status is None and time.monotonic() < deadline_s:
            found, told = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(told) if found else None
            time.sleep(0.001)
        if status is None:
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, -signal.SIGKILL):
            raise SystemExit(f"a run ended with {status}")
        return bool(status)


def kill_often(runs: Runs, out: Path, kills: int, seed: int) -> list[int]:
    """How many rows there were at each kill."""
    rng = random.Random(seed)
    begun_s = time.monotonic()
    assert not runs.killed(out / "whole", 300.0)
    took_s, rows, folder = time.monotonic() - begun_s, list[int](), 0
    while len(rows) < kills:
        now = out / f"killed-{folder}"
        if runs.killed(now, rng.uniform(0.0, took_s)):
            file = now / "rows.jsonl"
            rows.append(file.read_bytes().count(b"\n") if file.exists() else 0)
        else:
            folder += 1
    runs.killed(out / f"killed-{folder}", 300.0)
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, model, out, kills, seed = sys.argv[1:]
    runs = Runs(data, model)
    runs.warm(Path(out) / "warm")
    sys.stdout.write(json.dumps(kill_often(runs, Path(out), int(kills), int(seed))))
