"""The benchmark of the start runs and tells its figures; whether they are good is its own business, not a test's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "start.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"}
    assert set(told["figures"]) == {"import_s", "help_s", "info_s"}
    assert told["targets"] == {"import_s": 0.3}
    assert told["ok"] is (told["figures"]["import_s"] < told["targets"]["import_s"])
    assert all(seconds > 0 for seconds in told["figures"].values())
