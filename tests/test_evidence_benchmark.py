"""The benchmark of evidence runs and tells its figures; removal alone finds what attention and removal find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "evidence.py"


def test_smoke() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"} and told["ok"]
    figures = told["figures"]
    for kind in ("film", "half symbols"):
        right = figures[kind]["right"]
        assert right > 0
        for way in ("attention", "removal", "both"):
            assert figures[kind][way]["needle_in_first_span"]["right"] == right
    shares = figures["look again"]
    assert shares["plain, all"]["of"] == shares["look again, all"]["of"] == 5
