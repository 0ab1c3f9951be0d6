"""The benchmark of the engine runs and tells its figures; those that no size changes are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "engine.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"}
    figures = told["figures"]
    assert set(figures) == {"decode", "prefill", "second", "many", "eight"}
    for length in ("512", "1024"):
        assert figures["decode"][length]["difference"] < 0.02, "both sides compute the same"
    assert figures["second"]["same_tokens"] is True
    assert 0.5 < figures["eight"]["random"]["bytes_share"] < 0.7
    nano = figures["eight"]["nano"]
    assert nano["same_answers"] == nano["same_first_tokens"] == 1
    assert 0 < nano["logits_error"] < 0.01
    assert nano["keys_a_step_a_channel"] < nano["keys_a_step_a_position"], "why keys are counted so"


def test_one_part() -> None:
    command = [sys.executable, str(BENCHMARK), "--smoke", "--part", "second"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.splitlines()[-1])["figures"]) == {"second"}
