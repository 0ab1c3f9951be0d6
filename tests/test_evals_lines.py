"""evals: a row that cannot be read is told by the line that it begins on, wherever it stands in a long table."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals.records import Record, csv_columns, csv_records, jsonl_records

MARK = b"\xef\xbb\xbf"
ENDS = [b"\n", b"\r\n", b"\r"]


def table(path: Path, line: int, row: bytes, end: bytes = b"\n", mark: bytes = b"") -> Path:
    """A table of 4,000 lines, `row` on `line` of it; the others hold letters of several bytes."""
    lines = [b"name,question"] + [f"v{number},où est-il n° {number} ?".encode() for number in range(2, 4001)]
    lines[line - 1] = row
    path.write_bytes(mark + end.join([*lines, b""]))
    return path


def refused(path: Path) -> tuple[str, str, int]:
    """The subject and reason of the first refusal, raised or given, and how many records came before it."""
    good = 0
    try:
        for one in csv_records(path, ("name", "question")):
            if isinstance(one, LongtakeError):
                raise one
            good += 1
    except LongtakeError as error:
        assert error.code is ErrorCode.DATA_BAD
        return error.subject, error.reason, good
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    ("end", "mark"), [(end, mark) for end in ENDS for mark in (b"", MARK)], ids=lambda value: value.hex() or "plain"
)
@pytest.mark.parametrize("line", [2, 3, 21, 301, 3001, 4000])
@pytest.mark.parametrize(
    "row",
    [
        (b'v,"what"ever', "cannot be read as a table: "),
        (b"v,caf\xe9", "byte 0xe9 on line {line} is not UTF-8"),
        (b"v,\xed\xb3\xbf", "byte 0xed on line {line} is not UTF-8"),
        (b"v,wh\x00at", "holds a NUL byte"),
        (b"v,a,b", "has 3 fields; the header has 2"),
    ],
    ids=["quote", "latin-1", "surrogate", "nul", "fields"],
)
def test_the_line_of_a_bad_row_is_told(
    row: tuple[bytes, str], line: int, end: bytes, mark: bytes, tmp_path: Path
) -> None:
    path = table(tmp_path / "x.csv", line, row[0], end, mark)
    subject, reason, good = refused(path)
    assert (subject, good) == (f"{path}:{line}", line - 2)
    assert row[1].format(line=line) in reason


@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("line", [2, 301, 3001])
def test_quoted_lines_are_counted_and_a_row_stands_where_it_begins(line: int, end: bytes, tmp_path: Path) -> None:
    long = b'v,"one' + end + b"two" + end + b'three"'
    path = table(tmp_path / "x.csv", line, long + end + b'v,"what"ever', end)
    subject, _, good = refused(path)
    assert (subject, good) == (f"{path}:{line + 3}", line - 1)
    spoiled = table(tmp_path / "y.csv", line, long.replace(b"two", b"tw\xf6"), end)
    assert refused(spoiled)[:2] == (
        f"{spoiled}:{line}",
        f"cannot be read as a table: byte 0xf6 on line {line + 1} is not UTF-8",
    )
    nul = table(tmp_path / "z.csv", line, long.replace(b"two", b"t\x00"), end)
    assert refused(nul)[:2] == (f"{nul}:{line}", "holds a NUL byte")


@pytest.mark.parametrize("line", [2, 301, 3999])
def test_a_quote_that_is_never_closed_is_told_where_it_opens(line: int, tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", line, b'v,"what')
    assert refused(path)[0] == f"{path}:{line}"


def test_rows_behind_one_with_a_nul_byte_are_read(tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", 21, b"v,\x00")
    found = list(csv_records(path, ("name", "question")))
    assert [type(one) for one in found].count(LongtakeError) == 1
    assert sum(isinstance(one, Record) for one in found) == 3998


def test_a_header_that_is_no_utf_8_is_told_as_the_first_line(tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", 1, b"name,question\xe9")
    assert refused(path)[0] == f"{path}:1"
    with pytest.raises(LongtakeError, match=r"x\.csv:1: cannot be read as a table: byte 0xe9 on line 1"):
        csv_columns(path)


@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "marked"])
@pytest.mark.parametrize("line", [1, 301, 3001])
def test_the_line_of_json_lines_that_is_no_utf_8_is_told(line: int, mark: bytes, tmp_path: Path) -> None:
    rows = ['{"a": "é"}'.encode()] * 4000
    rows[line - 1] = b'{"a": "\xe9"}'
    path = tmp_path / "x.jsonl"
    path.write_bytes(mark + b"\r\n".join(rows))
    with pytest.raises(LongtakeError) as caught:
        list(jsonl_records(path))
    assert caught.value.subject == f"{path}:{line}"


@pytest.mark.parametrize("line", [21, 301])
def test_a_real_table_with_one_bad_line_is_told_by_it(line: int, shared: Path, tmp_path: Path) -> None:
    rows = (shared / "qa" / "EgoSchema.csv").read_bytes().split(b"\n")
    for bad in (b'v,"what"ever', b"\xff"):
        path = tmp_path / "EgoSchema.csv"
        path.write_bytes(b"\n".join([*rows[: line - 1], bad, *rows[line:]]))
        with pytest.raises(LongtakeError) as caught:
            list(csv_records(path, ()))
        assert caught.value.subject == f"{path}:{line}"
