"""evals/records: CSV, JSON, JSON lines and parquet in; records that know their place out. Knows no benchmark."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, Place, bad_row

MEND = "mend that row, or take the file as its authors published it"
_SPACE = " \t\r\n"
_STRAY = re.compile("[\udc80-\udcff]")
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class Record:
    """Named values, and where they stand. Every getter raises `data.bad` with that place."""

    values: Mapping[str, Any]
    place: Place

    def text(self, name: str) -> str:
        """Words, without white space around them. A whole number is spelled out (some files have ids as numbers)."""
        found = self._get(name)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        if not isinstance(found, str) or not found.strip():
            raise self.bad(f"{name!r} holds {found!r} where words should be")
        return found.strip()

    def texts(self, name: str, *, blanks: bool = False) -> tuple[str, ...]:
        """A list of words, at least one; with `blanks` some may be empty."""
        found = self._get(name)
        good = isinstance(found, list) and all(isinstance(one, str) and (blanks or one.strip()) for one in found)
        if not good or not any(one.strip() for one in found):
            raise self.bad(f"{name!r} holds {found!r} where a list of words should be")
        return tuple(one.strip() for one in found)

    def whole(self, name: str, below: int | None = None) -> int:
        """A whole number, not negative, and `below` where that is given."""
        found = self._get(name)
        try:
            number = int(found) if isinstance(found, str) else found
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < (below or math.inf):
            fits = f"0 to {below - 1}" if below else "a whole number"
            raise self.bad(f"{name!r} holds {found!r} where {fits} should be")
        return number

    def number(self, name: str) -> float:
        """A finite number."""
        found = self._get(name)
        if not isinstance(found, int | float) or isinstance(found, bool) or not math.isfinite(found):
            raise self.bad(f"{name!r} holds {found!r} where a number should be")
        return float(found)

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """One of the words that are `known`."""
        found = self.text(name)
        if found not in known:
            raise self.bad(f"{name!r} holds {found!r}, which is none of {', '.join(known)}")
        return found

    def has(self, name: str) -> bool:
        """Whether there is something under that name."""
        return self.values.get(name) not in (None, "")

    def among(self, name: str, options: Sequence[str]) -> int:
        """The place among the options of the words under `name`; the first of equals."""
        words = self.text(name)
        if words not in options:
            raise self.bad(f"{name!r} holds {words!r}, which is none of the options {', '.join(map(repr, options))}")
        return options.index(words)

    def letter(self, name: str, options: int) -> int:
        """The place that a letter under `name` names."""
        found = self.text(name)
        place = ord(found.upper()) - ord("A") if len(found) == 1 else -1
        if not 0 <= place < options:
            raise self.bad(f"{name!r} holds {found!r} where one of the first {options} letters should be")
        return place

    def inner(self, name: str) -> Iterator[Record | LongtakeError]:
        """The records of a list under `name`, each numbered as an entry on this one's line."""
        found = self._get(name)
        if not isinstance(found, list):
            raise self.bad(f"{name!r} holds {type(found).__name__} where a list should be")
        for number, value in enumerate(found, start=1):
            yield _record(value, Place(self.place.file, self.place.line, number))

    def bad(self, reason: str) -> LongtakeError:
        """A refusal of this record."""
        return bad_row(self.place, reason, MEND)

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise self.bad(f"has nothing under {name!r}; it has {', '.join(map(repr, self.values))}")
        return self.values[name]


Records = Iterator[Record | LongtakeError]


def items_from(
    records: Iterable[Record | LongtakeError], make: Callable[[Record], Item]
) -> Iterator[Item | LongtakeError]:
    """An item of each record; in place of one that cannot be made, what is wrong."""
    for record in records:
        if isinstance(record, LongtakeError):
            yield record
            continue
        try:
            yield make(record)
        except LongtakeError as error:
            yield error


def indexed(records: Records, name: str) -> tuple[dict[str, Record], list[LongtakeError]]:
    """Records by the words under `name`, and what is wrong with the others."""
    found: dict[str, Record] = {}
    wrong: list[LongtakeError] = []
    for record in records:
        if isinstance(record, LongtakeError):
            wrong.append(record)
            continue
        try:
            found[record.text(name)] = record
        except LongtakeError as error:
            wrong.append(error)
    return found, wrong


def csv_records(path: Path, columns: Sequence[str], delimiter: str = ",") -> Records:
    """The rows of a table in text (RFC 4180, UTF-8 with or without a byte order mark, any line ends).

    Raises:
        LongtakeError: `data.bad` if it has not these columns, or is no such table; `media.not_found`.
    """
    with _opened(path) as file:
        rows = csv.reader(_lines(file), delimiter=delimiter, strict=True)
        header = _row(rows, path)
        lacking = [name for name in columns if name not in (header or ())]
        if header is None or lacking:
            found = ", ".join(map(repr, header or ())) or "none"
            reason = f"has no column {' and no '.join(map(repr, lacking))}; its columns are {found}"
            raise bad_row(str(path), reason, "name the file that docs/evals.md names for this benchmark")
        while True:
            # A quoted field may run over several lines: the row stands where it begins.
            line = rows.line_num + 1
            row = _row(rows, path)
            if row is None:
                return
            place = Place(str(path), line)
            if not row:
                continue
            if any("\0" in cell for cell in row):
                yield bad_row(place, "holds a NUL byte", MEND)
            elif len(row) != len(header):
                yield bad_row(place, f"has {len(row)} fields; the header has {len(header)}", MEND)
            else:
                yield Record(dict(zip(header, row, strict=True)), place)


def csv_columns(path: Path, delimiter: str = ",") -> tuple[str, ...]:
    """The names in the first row of a table in text.

    Raises:
        LongtakeError: `data.bad` if it cannot be read; `media.not_found`.
    """
    with _opened(path) as file:
        return tuple(_row(csv.reader(_lines(file), delimiter=delimiter, strict=True), path) or ())


def json_records(path: Path) -> Records:
    """The objects of a list in JSON.

    Raises:
        LongtakeError: `data.bad` if it is no list in JSON; `media.not_found`.
    """
    text = _text(path)
    for number, (line, value) in enumerate(_elements(text, str(path)), start=1):
        yield _record(value, Place(str(path), line, number))


def json_members(path: Path) -> Iterator[tuple[str, int, Any]]:
    """The members of an object in JSON: name, the line that its value begins on, and its value.

    Raises:
        LongtakeError: `data.bad` if it is no object in JSON; `media.not_found`.
    """
    text = _text(path)
    with _telling_json(str(path)):
        at, line, name = _open(text, "{", str(path)), 1, ""
        counted = 0
        while text[at : at + 1] != "}":
            name, at = _decoder.raw_decode(text, at)
            at = _skip(text, _expect(text, _skip(text, at), ":"))
            line, counted = line + text.count("\n", counted, at), at
            value, at = _decoder.raw_decode(text, at)
            yield name, line, value
            at = _next(text, at, "}")


def jsonl_records(path: Path) -> Records:
    """The objects of JSON lines.

    Raises:
        LongtakeError: `media.not_found`; `data.bad` if it is not text.
    """
    # Not splitlines: other ends of lines, such as U+2028, may stand inside a JSON text.
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        place = Place(str(path), line)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield bad_row(place, f"is not JSON: {error}", MEND)
            continue
        yield _record(value, place)


def parquet_records(path: Path, columns: Sequence[str]) -> Records:
    """The rows of a parquet file.

    Raises:
        LongtakeError: `environment.missing` without pyarrow; `data.bad`; `media.not_found`.
    """
    refuse_missing(path)
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        reason, advice = "reading parquet needs pyarrow", "pip install 'longtake[data]'"
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, str(path), reason, advice) from error
    try:
        table = parquet.ParquetFile(path)
        lacking = [name for name in columns if name not in table.schema_arrow.names]
        if lacking:
            reason = f"has no column {' and no '.join(map(repr, lacking))}"
            raise bad_row(str(path), f"{reason}; its columns are {', '.join(table.schema_arrow.names)}", MEND)
        rows = [row for batch in table.iter_batches() for row in batch.to_pylist()]
    except (ArrowException, OSError) as error:
        raise bad_row(
            str(path), f"cannot be read as parquet: {' '.join(str(error).split())}", "fetch it again"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield _record(row, Place(str(path), None, number))


def _record(value: Any, place: Place) -> Record | LongtakeError:
    if not isinstance(value, dict):
        return bad_row(place, f"is no object but {type(value).__name__}", MEND)
    return Record(value, place)


def _opened(path: Path) -> Any:
    refuse_missing(path)
    # Bytes that are not UTF-8 become lone surrogates, which _lines refuses: text is decoded in blocks, far ahead of the
    # lines, and an error of the decoder's own would be told of a line long before it.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(file: Iterable[str]) -> Iterator[str]:
    """The lines of an opened table, with their ends; ValueError at the first that is not UTF-8."""
    for number, line in enumerate(file, start=1):
        found = _STRAY.search(line)
        if found:
            raise ValueError(f"byte 0x{ord(found.group()) - 0xDC00:02x} on line {number} is not UTF-8")
        yield line


def _row(rows: Any, path: Path) -> list[str] | None:
    """The next row. An error is told of the line that the row begins on: an open quote is only missed far below."""
    line = rows.line_num + 1
    try:
        row: list[str] | None = next(rows, None)
    except (csv.Error, ValueError) as error:
        raise bad_row(f"{path}:{line}", f"cannot be read as a table: {error}", MEND) from error
    return row


def _text(path: Path) -> str:
    refuse_missing(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise bad_row(f"{path}:{line}", f"cannot be read as text: byte 0x{byte:02x} is not UTF-8", MEND) from error
    except OSError as error:
        raise bad_row(str(path), f"cannot be read as text: {error}", "fetch it again") from error


def refuse_missing(path: Path) -> None:
    """Refuse to read a file that is not there.

    Raises:
        LongtakeError: `media.not_found`.
    """
    if not path.is_file():
        advice = "docs/evals.md says which files are wanted and where they come from"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path), "there is no such file", advice)


def _elements(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """The values of a JSON list, each with the line that it begins on."""
    with _telling_json(name):
        at, line, counted = _open(text, "[", name), 1, 0
        while text[at : at + 1] != "]":
            line, counted = line + text.count("\n", counted, at), at
            value, at = _decoder.raw_decode(text, at)
            yield line, value
            at = _next(text, at, "]")


def _open(text: str, bracket: str, name: str) -> int:
    at = _skip(text, 0)
    if text[at : at + 1] not in ("[", "{"):
        raise json.JSONDecodeError("neither a list nor an object", text, at)
    if text[at] != bracket:
        kinds = {"[": "a list", "{": "an object"}
        raise bad_row(name, f"holds {kinds[text[at]]} where {kinds[bracket]} should be", "name the file as published")
    return _skip(text, at + 1)


def _next(text: str, at: int, end: str) -> int:
    """Where the next element begins, or the bracket that ends them all."""
    at = _skip(text, at)
    if text[at : at + 1] == end:
        return at
    at = _skip(text, _expect(text, at, ","))
    if text[at : at + 1] == end:
        raise json.JSONDecodeError("nothing after the comma", text, at)
    return at


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise json.JSONDecodeError(f"no {mark!r}", text, at)
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


class _telling_json:
    """Tells what is wrong with a JSON file as `data.bad`, with its line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, json.JSONDecodeError):
            raise bad_row(f"{self._name}:{error.lineno}", f"is not JSON: {error.msg}", "fetch it again") from error
        if isinstance(error, RecursionError):
            raise bad_row(self._name, "is nested too deeply", "fetch it again") from error
