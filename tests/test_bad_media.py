"""Bad files end in one promised line, odd but good ones are read right: each through the real command line.

Every file has a process of its own (tests/media/trial.py), whose memory is measured and which is killed when a command
takes longer than the guard.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longtake.errors import ErrorCode
from media import bad, trial
from media.bad_case import FINE, Case, status_of
from running import ONE_LINE

MOST_BYTES = 500 << 20
ROWS = {f"M{row}" for row in range(1, 33)} - {"M30"}
"""M30 is about decoders that hang or crash: not a matter of files."""


@dataclass(frozen=True)
class Bench:
    """The corpus on disk and the process that tries it."""

    folder: Path
    server: subprocess.Popen[bytes]
    not_written: frozenset[str]

    def tried(self, path: str | Path, *commands: list[str]) -> list[dict[str, Any]]:
        """How each command ended, one after the other in one process."""
        assert self.server.stdin and self.server.stdout
        asked = {"file": str(path), "commands": [list(map(str, command)) for command in commands]}
        self.server.stdin.write(json.dumps(asked).encode() + b"\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "the process that forks is gone"
        ended: list[dict[str, Any]] = json.loads(answer)["ended"]
        assert not any("killed" in one for one in ended), f"{ended[-1]['err']} in {commands[len(ended) - 1]}"
        return ended


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("corpus")
    not_written = frozenset(case.name for case in bad.write([*bad.BAD, *bad.ODD], folder))
    with subprocess.Popen([sys.executable, trial.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        yield Bench(folder, server, not_written)
        assert server.stdin
        server.stdin.close()
        assert server.wait(timeout=10) == 0


def cases(all_cases: list[Case]) -> list[Any]:
    """One parameter a file."""
    names = [case.name.encode("unicode_escape", "backslashreplace").decode() for case in all_cases]
    return [pytest.param(case, id=name) for case, name in zip(all_cases, names, strict=True)]


def path_of(case: Case, bench: Bench) -> str:
    if case.name in bench.not_written:
        pytest.skip("this file system does not take the file")
    return str(bench.folder / case.name)


def code_of(ended: dict[str, Any], *, as_json: bool = False) -> str:
    """The code with which a command ended; checks that it said so in one line, or as an object, and nothing else."""
    assert "Traceback" not in ended["err"] + ended["out"]
    if ended["status"] == 0:
        return FINE
    if as_json:
        assert ended["err"] == ""
        refusal = json.loads(ended["out"])["error"]
        assert refusal["exit_status"] == ended["status"]
        return str(refusal["code"])
    assert ONE_LINE.fullmatch(ended["err"]), ended["err"]
    assert ended["out"] == ""
    return re.findall(r"error\[([a-z_.]+)\]", ended["err"])[0]


def ends_of(path: str, bench: Bench, *, good: bool = False) -> tuple[dict[str, str], dict[str, int], int]:
    """Codes and exit statuses of all commands on one file, and the most bytes that the first two of them held."""
    sheet = str(bench.folder / "sheet.jpg")
    # Of good files fewer pictures do: all their frames are read again below.
    drawn = ["frames", "-o", sheet, "--frames", "8" if good else "64"]
    info, frames, peak = bench.tried(path, ["info", "--", path], [*drawn, "--", path], ["@peak"])
    as_json, skip = bench.tried(path, ["info", "--json", "--", path], [*drawn, "--on-corrupt", "skip", "--", path])
    codes = {"info": code_of(info), "frames": code_of(frames), "skip": code_of(skip)}
    statuses = {"info": info["status"], "frames": frames["status"], "skip": skip["status"]}
    assert code_of(as_json, as_json=True) == codes["info"]
    return codes, statuses, int(peak["out"])


@pytest.mark.parametrize("case", cases(bad.BAD))
def test_bad_file_is_refused_as_promised(case: Case, bench: Bench) -> None:
    path = path_of(case, bench)
    codes, statuses, peak = ends_of(path, bench)
    promised = {"info": case.promise.info, "frames": case.promise.frames, "skip": case.promise.skip}
    assert codes == promised
    assert statuses == {command: status_of(code) for command, code in promised.items()}
    assert peak <= MOST_BYTES
    if case.promise.skip == FINE:
        check_what_is_left(case, bench.tried(path, ["@read", path, "skip"])[0])


def check_what_is_left(case: Case, ended: dict[str, Any]) -> None:
    """With `--on-corrupt skip` no frame is wrong, none shows at a wrong time, and none is lost that need not be."""
    assert ended["status"] == 0, ended["err"]
    truth, read = case.truth, json.loads(ended["out"])
    assert truth is not None and truth.numbers is not None
    shown = {number: read["times_s"][place] for place, number, _, _ in read["frames"]}
    off = {number: time_s for number, time_s in shown.items() if number not in truth.numbers}
    assert not off, f"shown at these times, but no number: {off}"
    slack_s = truth.tolerance_s
    late = {number: time_s for number, time_s in shown.items() if abs(truth.times_s[number] - time_s) > slack_s}
    assert not late, f"numbers shown at wrong times: {late}"
    assert set(truth.numbers) - set(shown) <= set(truth.lost)


@pytest.mark.parametrize("case", cases([case for case in bad.BAD if case.promise.info == FINE and case.truth]))
def test_a_frame_read_by_itself_is_right_or_refused(case: Case, bench: Bench) -> None:
    path = path_of(case, bench)
    ended = bench.tried(path, ["@alone", path])[0]
    assert ended["status"] == 0, ended["err"]
    assert case.truth is not None
    for time_s, number in json.loads(ended["out"]):
        assert number in range(len(case.truth.times_s)), (time_s, number)
        assert time_s == pytest.approx(case.truth.times_s[number], abs=case.truth.tolerance_s)


@pytest.mark.parametrize("case", cases(bad.ODD))
def test_odd_file_is_read_right(case: Case, bench: Bench) -> None:
    path = path_of(case, bench)
    codes, _, _ = ends_of(path, bench, good=True)
    assert set(codes.values()) == {FINE}
    info, ended = bench.tried(path, ["info", "--json", "--", path], ["@read", path, "error"])
    assert ended["status"] == 0, ended["err"]
    truth, read, told = case.truth, json.loads(ended["out"]), json.loads(info["out"])
    assert truth is not None
    assert len(read["times_s"]) == len(truth.times_s) == told["frames"]
    assert read["times_s"] == pytest.approx(list(truth.times_s), abs=truth.tolerance_s)
    assert [place for place, *_ in read["frames"]] == list(range(0, len(truth.times_s), read["step"]))
    if truth.numbers is not None:
        assert [number for _, number, _, _ in read["frames"]] == list(truth.numbers[:: read["step"]])
    sizes = {(width, height) for _, _, width, height in read["frames"]}
    assert sizes == {(truth.width_px, truth.height_px)} == {(told["width_px"], told["height_px"])}
    for words in truth.notes:
        assert any(words in note for note in told["notes"]), told["notes"]


def test_the_corpus_is_large_enough_and_covers_every_row() -> None:
    assert len(bad.BAD) >= 60 and len(bad.ODD) >= 40
    names = [case.name for case in (*bad.BAD, *bad.ODD)]
    assert len(set(names)) == len(names)
    assert {case.row for case in (*bad.BAD, *bad.ODD)} == ROWS


def test_promised_codes_are_codes() -> None:
    statuses = {code.value.code: code.value.exit_status for code in ErrorCode} | {FINE: 0}
    for case in (*bad.BAD, *bad.ODD):
        for code in (case.promise.info, case.promise.frames, case.promise.skip):
            assert statuses[code] == status_of(code)
    assert all(not case.good for case in bad.BAD) and all(case.good for case in bad.ODD)


def test_truth_is_written_for_people_and_programs(bench: Bench) -> None:
    told = json.loads((bench.folder / "truth.json").read_text())
    assert len(told) == len(bad.BAD) + len(bad.ODD) - len(bench.not_written)
    by_name = {row["file"]: row for row in told}
    assert by_name["m02_60.mkv"]["promise"]["info"] == {"code": "media.truncated", "exit_status": 3}
    assert len((bench.folder / "truth.md").read_text().splitlines()) == len(told) + 2


def test_the_generator_runs_by_itself_and_writes_the_same_bytes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    for folder in ("one", "two"):
        for name in ("m23_key.mp4", "m02_60.webm", "m28_hls_file.mp4"):
            command = [sys.executable, "-m", "tests.media.bad", "--only", name, str(tmp_path / folder)]
            subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)
            assert (tmp_path / folder / name).is_file()
    for name in ("m23_key.mp4", "m02_60.webm", "m28_hls_file.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    listed = subprocess.run(
        [sys.executable, "-m", "tests.media.bad", "--list"], cwd=root, check=True, capture_output=True, timeout=60
    )
    assert listed.stdout.count(b"\n") == len(bad.BAD) + len(bad.ODD) + 2


@pytest.mark.parametrize("name", ["m04_html.mp4", "m27_pipe.mp4", "m17_8192.mp4"])
def test_a_plain_process_ends_the_same(name: str, bench: Bench) -> None:
    case = next(case for case in bad.BAD if case.name == name)
    command = [sys.executable, "-m", "longtake", "info", str(bench.folder / name)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ONE_LINE.fullmatch(ended.stderr) and f"error[{case.promise.info}]" in ended.stderr
    assert ended.returncode == status_of(case.promise.info)


def test_without_permission(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    codes, _, _ = ends_of(str(path), bench)
    assert set(codes.values()) == {"media.not_found"}


def test_the_guard_kills_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SILENCE_S", 0.2)
    monkeypatch.setattr(trial, "_longtake", lambda command: time.sleep(60))
    assert trial.in_own_process([["info", "x"]])[-1]["killed"] == "SIGALRM"


def test_the_guard_kills_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WORK_S", 0.2)
    monkeypatch.setattr(trial, "_longtake", lambda command: sum(1 for _ in iter(int, 1)))
    assert trial.in_own_process([["info", "x"]])[-1]["killed"] == "SIGPROF"
