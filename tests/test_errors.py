"""errors: one line for everything that can go wrong."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from longtake.errors import ErrorCode, LongtakeError, printable, writing

STATUSES = {
    "usage": 2,
    "media": 3,
    "data": 3,
    "manifest": 3,
    "model": 4,
    "limit": 5,
    "network": 6,
    "disk": 7,
    "environment": 7,
    "ranks": 7,
    "partial": 8,
    "verify": 8,
}
"""The contract of command line and server: the first word of a code decides the exit status."""


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.value.code)
def test_exit_status_follows_from_the_code(code: ErrorCode) -> None:
    kind = code.value
    family = kind.code.partition(".")[0]
    assert kind.exit_status == {**STATUSES, "internal": 70, "interrupted": 130}[family]
    assert code.name == kind.code.upper().replace(".", "_")
    assert kind.meaning.endswith(".")


def test_codes_are_distinct() -> None:
    assert len({code.value.code for code in ErrorCode}) == len(ErrorCode)


def test_line_has_code_subject_reason_and_advice() -> None:
    error = LongtakeError(ErrorCode.MEDIA_EMPTY, "film.mp4", "holds no bytes", "fetch it again")
    assert str(error) == "error[media.empty]: film.mp4: holds no bytes (fetch it again)"


def test_line_without_a_subject() -> None:
    error = LongtakeError(ErrorCode.INTERRUPTED, "", "stopped by Ctrl-C", "start again")
    assert str(error) == "error[interrupted]: stopped by Ctrl-C (start again)"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("caf\u00e9.mp4", "caf\u00e9.mp4"),
        (b"caf\xe9_\xff.mp4".decode("utf-8", "surrogateescape"), r"caf\udce9_\udcff.mp4"),
        ("two\nlines.mp4", r"two\nlines.mp4"),
        ("\x1b[31mred.mp4", r"\x1b[31mred.mp4"),
        ("gpj.\u202emp4", r"gpj.\u202emp4"),
    ],
)
def test_odd_names_stay_on_one_line(name: str, shown: str) -> None:
    assert printable(name) == shown
    line = str(LongtakeError(ErrorCode.MEDIA_NOT_FOUND, name, f"no {name}", f"not {name}"))
    assert line == f"error[media.not_found]: {shown}: no {shown} (not {shown})"
    line.encode("utf-8")
    assert len(line.splitlines()) == 1


def test_object_says_the_same() -> None:
    error = LongtakeError(ErrorCode.LIMIT_CONTEXT, "a\n", "b\n", "c\n")
    assert json.loads(json.dumps(error.as_dict())) == {
        "error": {"code": "limit.context", "exit_status": 5, "subject": r"a\n", "reason": r"b\n", "advice": r"c\n"}
    }


def test_refused_writing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no folder" / "sheet.png"
    with pytest.raises(LongtakeError, match=re.escape(f"error[disk.write]: {path}: No such file")), writing(str(path)):
        path.write_bytes(b"")


def test_full_disk_is_told() -> None:
    with (
        pytest.raises(LongtakeError, match="No space left on device"),
        writing("standard output"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")


def test_closed_pipe_is_no_refusal() -> None:
    with pytest.raises(BrokenPipeError), writing("standard output"):
        raise OSError(errno.EPIPE, "Broken pipe")
