"""The benchmark of the store runs and tells its figures; a prefix from disk gives the tokens of a fresh one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "store.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    figures = told["figures"]
    assert set(told) == {"figures", "targets", "ok"}
    assert figures["same tokens"] is True and 0 < figures["share"] < 1
    hour = figures["hour"]
    assert hour["afresh"]["answer"] == hour["keys and values"]["answer"]
    assert "read" in hour["afresh"]["stages_wall_s"]
    assert set(hour["keys and values"]["stages_wall_s"]) == {"store", "generate", "evidence"}
