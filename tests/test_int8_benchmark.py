"""The benchmark of eight bits runs and tells its figures; errors of small shapes are small, and what is kept too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "int8.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    figures = told["figures"]
    assert set(told) == {"figures", "targets", "ok"}
    assert figures["float32"]["features"] == figures["float32"]["logits"] == 0
    for kind in ("int8 in float32", "int8 in bfloat16"):
        assert 1e-4 < figures[kind]["features"] < 0.02
        assert 1e-4 < figures[kind]["logits"] < 0.02
        assert figures[kind]["weights"] < figures[kind.removeprefix("int8 in ")]["weights"]
