"""The benchmark of reading frames runs from end to end and ends in its line of figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "frames.py"


def test_smoke(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--smoke", "--workdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"figures", "targets", "ok"}
    figures = last["figures"]
    assert figures["frames"] == 16 and figures["longtake_cpu_s"] > 0 and figures["memory_many_over_few"] > 0
    if last["ok"] is None:
        assert "pip install decord" in done.stdout
    else:
        assert figures["cpu_over_decord"] > 0
        assert figures["pixel_mean_difference"] < 2, "the same frames, to rounding"
