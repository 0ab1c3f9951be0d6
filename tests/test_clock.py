"""What a run is told to have taken."""

from __future__ import annotations

import subprocess
import sys

import pytest

TOLD = "from longtake.clock import peak_memory_bytes; print(peak_memory_bytes())"


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")
def test_a_small_process_of_a_large_parent_is_small() -> None:
    held = b"x" * (300 << 20)
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=True)
    assert 2**20 < int(done.stdout) < len(held) // 2
