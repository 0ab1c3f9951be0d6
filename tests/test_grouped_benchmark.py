"""The benchmark of grouped questions runs and tells its figures; both ways give the same rows, and right answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "grouped.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    figures = told["figures"]
    assert set(told) == {"figures", "targets", "ok"}
    assert figures["same_rows"] is True and figures["questions"] == 4
    assert figures["right"] == 4, "nano reads its own world"
