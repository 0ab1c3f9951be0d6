"""The benchmark of reading frames runs from end to end, goes on where it stopped and ends in its line of figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "frames.py"


def run(workdir: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What a run said, and its last line."""
    command = [sys.executable, str(BENCHMARK), "--smoke", "--workdir", str(workdir), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"figures", "targets", "ok"}
    return done, last


def test_smoke(tmp_path: Path) -> None:
    first, last = run(tmp_path, "--only", "b_frames_8")
    assert "b_frames_8, round 1" in first.stderr and "no_b_frames_8, round 1" not in first.stderr
    figures = last["figures"]
    assert figures["b_frames_8_longtake_cpu_s"] > 0 and figures["b_frames_8_longtake_peak_mb"] > 0
    for other in ("decord", "torchcodec"):
        if f"{other} is not installed" in first.stdout:
            assert f"b_frames_8_over_{other}" not in figures
        else:
            assert figures[f"b_frames_8_over_{other}"] > 0
            assert figures[f"b_frames_8_{other}_other_frames"] == 0, "the same pixels"
    assert last["ok"] is None, "cells are missing"
    assert "b_frames_2000_over_decord" in last["targets"]

    second, last = run(tmp_path, "--only", "b_frames_8", "--only", "hours_read", "--only", "hours_ask")
    assert "b_frames_8, round 1" not in second.stderr, "it was kept"
    assert last["figures"].items() >= figures.items()
    assert last["figures"]["hours_read_memory"] > 0 and last["figures"]["hours_ask_memory"] > 0
