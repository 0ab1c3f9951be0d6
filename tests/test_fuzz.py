"""The fuzzer itself: it finds what is there to find, counts, keeps, goes on, and gives the same input again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fuzz import child as fuzz_child
from fuzz.edits import applied, mutation
from fuzz.fields import fields_of
from fuzz.running import Run, kinds
from fuzz.seeds import Seed, seeds
from longtake.errors import ErrorCode

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("h264_1s.mp4", "h264.ts", "vp8.webm", "mpeg4.avi", "drawn.gif")


@pytest.fixture(scope="module")
def corpus() -> list[Seed]:
    return seeds(NAMES, frames=12)


def test_edits_are_repeatable_and_can_be_left_out(corpus: list[Seed]) -> None:
    for number in range(200):
        seed = corpus[number % len(corpus)]
        edits = mutation(seed, corpus, random.Random(number))
        assert edits == mutation(seed, corpus, random.Random(number))
        ends = sorted((at, at + removed) for at, removed, _ in edits)
        assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:], strict=False))
    assert applied(b"abcdef", [(1, 2, b"X"), (4, 0, b"YZ")]) == b"aXdYZef"


def test_fields_lie_in_the_file_and_hit_what_a_container_believes(corpus: list[Seed]) -> None:
    by_name = {seed.name: seed for seed in corpus}
    for seed in corpus:
        found = fields_of(seed.data)
        assert all(0 <= at < at + size <= len(seed.data) for at, size in [*found.numbers, *found.names])
        assert all(0 <= start < end <= len(seed.data) for start, end in found.elements)
    mp4 = by_name["h264_1s.mp4"].data
    names = {mp4[at : at + size] for at, size in fields_of(mp4).names}
    assert {b"moov", b"trak", b"stts", b"stsz", b"mdat"} <= names
    webm = by_name["vp8.webm"].data
    assert {webm[at : at + size].hex() for at, size in fields_of(webm).names} >= {
        "1a45dfa3",
        "18538067",
        "1f43b675",
        "a3",
    }


def test_a_run_counts_and_goes_on(tmp_path: Path) -> None:
    def run(minutes: float) -> dict[str, object]:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--minutes",
            str(minutes),
            "--out",
            str(tmp_path),
            "--only",
            *NAMES,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode in (0, 1), done.stderr
        told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        assert told["crashes"] == told["hangs"] == told["bugs"] == 0, told["findings"]
        return told

    first, second = run(0.01), run(0.03)
    assert 0 < int(str(first["inputs"])) < int(str(second["inputs"]))
    codes = {kind.value.code for kind in ErrorCode} | {"ok"}
    assert {outcome.split()[1] for outcome in second["outcomes"]} <= codes  # type: ignore[attr-defined]
    assert second["frames"]["right"] > 100  # type: ignore[index]


def test_a_death_is_told_and_survived(tmp_path: Path, corpus: list[Seed]) -> None:
    # A child that is stopped, and then dies of a segmentation fault; the next input finds a new one.
    child = fuzz_child.Child()
    path = tmp_path / "a.mp4"
    path.write_bytes(corpus[0].data)
    try:
        pid = child._started().pid  # noqa: SLF001
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.3, lambda: [os.kill(pid, number) for number in (signal.SIGSEGV, signal.SIGCONT)]).start()
        ended = child(path, corpus[0])
        assert ended.death.startswith("crash SIGSEGV") and not ended.trial
        assert kinds(ended, corpus[0]) == [f"{ended.death} | {corpus[0].name}"]
        assert child(path, corpus[0]).trial["outcomes"] == {"error": "ok", "skip": "ok"}
    finally:
        child.close()


def test_what_is_kept_can_be_tried_again(tmp_path: Path, corpus: list[Seed]) -> None:
    run = Run(tmp_path, corpus, seed=1)
    edits = [(0, 4, b"\0\0\0\1"), (len(corpus[0].data) - 1, 1, b"")]
    ended = run._try(corpus[0], edits)  # noqa: SLF001
    run._keep("bug of the test", corpus[0], edits, ended)  # noqa: SLF001
    run._child.close()  # noqa: SLF001
    (kept,) = tmp_path.glob("bug_*.json")
    assert kept.with_suffix(".bin").read_bytes() == applied(corpus[0].data, edits)
    told = json.loads(kept.read_text())
    assert told["seed"] == corpus[0].name and len(told["edits"]) == 2
