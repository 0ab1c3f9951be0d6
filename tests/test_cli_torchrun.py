"""Refusals of processes that torchrun started: what all have met is told once, what one has met alone is told too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
TRAIN = f"{sys.executable} -m longtake train text --data data.jsonl --output run --device cpu"


def run(script: str, folder: Path, ranks: int = 2) -> tuple[str, list[str]]:
    """Standard output, and the lines of errors, of as many shells that each run `script`, as torchrun places them."""
    command = [*TORCHRUN, str(ranks), "--no-python", "bash", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    return done.stdout, [line for line in done.stderr.splitlines() if "error[" in line]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder with data that nobody can train on."""
    (tmp_path / "data.jsonl").write_text('{"text": "a star"}\n{"text": \n')
    return tmp_path


@pytest.mark.parametrize("first", ["leader", "other"])
def test_what_all_have_met_is_told_once_by_the_leading_rank_whoever_meets_it_first(damaged: Path, first: str) -> None:
    """Torchrun ends the other as soon as one has ended, so who comes first has to wait."""
    late = {"leader": 1, "other": 0}[first]
    out, errors = run(f"[ $RANK = {late} ] && sleep 4; exec {TRAIN} --json", damaged)
    assert errors == []
    assert json.loads(out)["error"]["code"] == "data.bad"


def test_what_some_have_met_without_the_leading_rank_one_of_them_tells(damaged: Path) -> None:
    """The leading rank waits to join the others. Its standard output stays its own."""
    (damaged / "data.jsonl").write_text('{"text": "a star"}\n')
    out, errors = run(f"[ $RANK = 0 ] || more='--recipe none.toml'; exec {TRAIN} --json $more", damaged, ranks=3)
    assert out == ""
    assert len(errors) == 1
    assert errors[0].startswith(("rank 1: error[usage.bad_option]", "rank 2: error[usage.bad_option]"))
    assert "none.toml" in errors[0]


def test_one_that_torchrun_started_alone_speaks_as_ever(damaged: Path) -> None:
    _, errors = run(f"exec {TRAIN}", damaged, ranks=1)
    assert len(errors) == 1 and errors[0].startswith("error[data.bad]")
