"""The benchmark of ranks runs and tells its figures; those that no size changes are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "ranks.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"}
    assert told["ok"] is True and set(told["targets"]) == {"bytes", "logprobs"}, "time is nothing in the smoke"
    figures = told["figures"]
    assert figures["same_tokens"] is True and figures["kinds_of_tokens"] > 10
    assert figures["logprob_difference"] < 1e-4
    assert all(0.5 <= share < 0.51 for share in figures["bytes_shares"])
    assert all(len(figures[part]["ranks_s"]) == 2 for part in ("prefill_s", "generate_s", "forced_s"))
