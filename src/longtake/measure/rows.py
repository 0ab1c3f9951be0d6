"""measure.rows: headers and rows to and from a folder, so that a run that was stopped goes on. Knows no model.

run.json    what the run is, written before its first row     run-3of8.json    the same of one shard
rows.jsonl  a line for each question, written as it ends      rows-3of8.jsonl
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longtake.durable import Appended, alone, appending, write_whole
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.measure import Header, Row, Run

FORCE_NEW = "give another --out, or take --force-new to throw that run away"
_HEADER = re.compile(r"run(?:-(\d+)of(\d+))?\.json")


def header_file(shard: str | None) -> str:
    """`run.json`, or `run-3of8.json` for the shard `3/8`."""
    return f"run{_tail(shard)}.json"


def rows_file(shard: str | None) -> str:
    """`rows.jsonl`, or `rows-3of8.jsonl` for the shard `3/8`."""
    return f"rows{_tail(shard)}.jsonl"


@dataclass(frozen=True)
class Folder:
    """Where a run, or one shard of it, keeps its rows. Made by `begin`.

    Attributes:
        path: the folder.
        header: of what is written there.
        done: the rows that were there already.
        dropped: how many lines were torn or damaged, and are gone.
    """

    path: Path
    header: Header
    done: tuple[Row, ...] = ()
    dropped: int = 0

    @contextmanager
    def appending(self) -> Iterator[Appended[Row]]:
        """The file of rows, to write behind those that are there.

        Raises:
            LongtakeError: `usage.bad_option` where another process is at it; `disk.write`.
        """
        path = self.path / rows_file(self.header.shard)
        with alone_in(self.path, self.header.shard), appending(path, line_of) as file:
            yield file


def line_of(row: Row) -> str:
    """A row as a line of its file: one object of JSON, in ASCII."""
    return json.dumps(row.to_json(), allow_nan=False) + "\n"


def row_of(line: bytes) -> Row | None:
    """The row of a line; None where it is no whole row."""
    try:
        return Row.from_json(json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None


def begin(path: Path, header: Header, *, anew: bool = False, way_out: str = FORCE_NEW) -> Folder:
    """Take up a folder: a new one, or one in which the same run was stopped.

    Args:
        path: is made if need be.
        header: of the run, or of one shard of it.
        anew: throw away what this run, or this shard of it, has left there, and all of other runs.
        way_out: what to do where another run is there.

    Raises:
        LongtakeError: `usage.bad_option` where a run with another header was begun here, or another process writes
            here now; `disk.write`.
    """
    with writing(str(path)):
        path.mkdir(parents=True, exist_ok=True)
        with alone_in(path, header.shard):
            for name, differing in _others(path, header).items():
                if not anew:
                    reason = f"holds a run with other settings ({name}): {'; '.join(differing)}"
                    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, way_out)
                with nullcontext() if name == header_file(header.shard) else alone_in(path, _shard_of(name)):
                    _throw_away(path, name)
            if anew:
                _throw_away(path, header_file(header.shard))
            rows, dropped = _lines(path / rows_file(header.shard))
            if dropped:
                write_whole(path / rows_file(header.shard), "".join(map(line_of, rows)))
            if not (path / header_file(header.shard)).exists():
                write_whole(path / header_file(header.shard), json.dumps(header.to_json(), indent=2) + "\n")
            return Folder(path, header, tuple(rows), dropped)


def without(folder: Folder, failed: bool) -> Folder:
    """The folder with its failed rows thrown away, to be asked again.

    Raises:
        LongtakeError: as `begin`.
    """
    kept = tuple(row for row in folder.done if row.error is None or not failed)
    path = folder.path / rows_file(folder.header.shard)
    if len(kept) < len(folder.done):
        with writing(str(path)), alone_in(folder.path, folder.header.shard):
            write_whole(path, "".join(map(line_of, kept)))
    return replace(folder, done=kept)


def done_in(folder: Folder) -> int:
    """How many rows its file has now."""
    return len(_lines(folder.path / rows_file(folder.header.shard))[0])


def read_run(path: Path) -> Run:
    """All rows in a folder: of a run, or of the shards of one.

    Raises:
        LongtakeError: `usage.bad_option` where there is no run; `data.bad` for a header that cannot be read, headers
            that differ in more than the shard, or a question that has two different rows.
    """
    found = sorted(one.name for one in path.glob("run*.json") if _HEADER.fullmatch(one.name)) if path.is_dir() else []
    if not found:
        reason, advice = "holds no run: there is no run.json", "give the --out of a longtake eval"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, advice)
    headers = {name: read_header(path / name) for name in found}
    first = headers[found[0]]
    for name, header in headers.items():
        differing = differences(first, header)
        if differing:
            raise _bad(path / name, f"is of another run than {found[0]}: {', '.join(differing)}")
    rows: dict[str, Row] = {}
    dropped = 0
    for header in headers.values():
        own, lost = _lines(path / rows_file(header.shard))
        dropped += lost
        for row in own:
            before = rows.setdefault(row.id, row)
            if before is not row and before.lasting != row.lasting:
                raise _bad(path / rows_file(header.shard), f"the question {row.id} has two rows that differ")
    shards = tuple(header.shard for header in headers.values() if header.shard)
    ordered = sorted(rows.values(), key=lambda row: row.number)
    return Run(replace(first, shard=None), tuple(ordered), shards, dropped)


def read_header(path: Path) -> Header:
    """The header in a file.

    Raises:
        LongtakeError: `data.bad`.
    """
    try:
        return Header.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _bad(path, f"is no header of a run: {error}") from error


def differences(one: Header, other: Header) -> list[str]:
    """What two headers differ in, but for the shard: `parts.layout.name: 'grid' and 'slowfast'`."""
    flat = [dict(_flat(header.to_json())) for header in (one, other)]
    # Tuples become lists in a file, so both are brought to what a file would hold.
    first, second = (json.loads(json.dumps(values)) for values in flat)
    names = dict.fromkeys([*first, *second])
    told = ((name, first.get(name), second.get(name)) for name in names if name != "shard")
    return [f"{name}: {_short(before)} and {_short(after)}" for name, before, after in told if before != after]


@contextmanager
def alone_in(path: Path, shard: str | None) -> Iterator[None]:
    """Keeps other processes out of a run's files; the system lets go where this one dies.

    Raises:
        LongtakeError: `usage.bad_option` where another process is at it.
    """
    reason, advice = "another process is writing this run there", "wait until it ends, or give another --out"
    with alone(path / f".lock{_tail(shard)}", path, reason, advice):
        yield


def _shard_of(header: str) -> str | None:
    """`run-3of8.json` as `3/8`."""
    found = _HEADER.fullmatch(header)
    return f"{found[1]}/{found[2]}" if found and found[1] else None


def _tail(shard: str | None) -> str:
    return "" if shard is None else f"-{shard.replace('/', 'of')}"


def _lines(path: Path) -> tuple[list[Row], int]:
    """The whole rows of a file, each question once, and how many lines were no such."""
    if not path.is_file():
        return [], 0
    lines = path.read_bytes().splitlines(keepends=True)
    rows: dict[str, Row] = {}
    for row in map(row_of, lines):
        if row is not None:
            rows.setdefault(row.id, row)
    return list(rows.values()), len(lines) - len(rows)


def _others(path: Path, header: Header) -> dict[str, list[str]]:
    """What is there of other runs: the names of their headers, and what these differ in.

    Shards of two runs must not lie together, nor those of thirds and quarters, nor rows that nobody knows the run of.
    """
    found = {}
    for name in sorted(one.name for one in path.iterdir() if _HEADER.fullmatch(one.name)):
        there = read_header(path / name)
        differing = differences(there, header)
        if (there.shard or "").partition("/")[2] != (header.shard or "").partition("/")[2]:
            differing = [f"shard: {_short(there.shard)} and {_short(header.shard)}", *differing]
        if differing:
            found[name] = differing
    own = header_file(header.shard)
    if not (path / own).exists() and (path / rows_file(header.shard)).exists():
        found[own] = [f"{rows_file(header.shard)} without {own}"]
    return found


def _throw_away(path: Path, header: str) -> None:
    """The rows first: a header without rows is a run that has only begun."""
    (path / header.replace("run", "rows", 1).replace(".json", ".jsonl")).unlink(missing_ok=True)
    (path / header).unlink(missing_ok=True)


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of nested mappings by its whole name: `parts.layout.name`."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}", inner


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:57]}..."


def _bad(path: Path, reason: str) -> LongtakeError:
    return LongtakeError(ErrorCode.DATA_BAD, str(path), reason, "take the folder as longtake eval left it")
