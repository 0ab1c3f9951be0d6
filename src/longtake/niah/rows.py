"""niah.rows: rows to and from a folder, so that a run that was stopped goes on. Knows nothing of models or pictures.

settings.json   what the run is: another one may not write here
rows.jsonl      a line for each cell, written as it ends
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from longtake.durable import alone, write_whole
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.niah import Row

SETTINGS, ROWS, LOCK = "settings.json", "rows.jsonl", ".lock"
_FIELDS = {field.name for field in dataclasses.fields(Row)}


def line_of(row: Row) -> str:
    """A row as a line of rows.jsonl."""
    return json.dumps(dataclasses.asdict(row)) + "\n"


def row_of(line: str) -> Row | None:
    """The row of a line; None where it is no whole row."""
    try:
        written = json.loads(line)
    except ValueError:
        return None
    if not (line.endswith("\n") and isinstance(written, dict) and set(written) == _FIELDS):
        return None
    return Row(**{**written, "places": tuple(written["places"])})


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where a run keeps its rows. Made by `begin`.

    Attributes:
        path: the folder.
        done: the rows that were there already; those that failed are asked again.
        dropped: how many lines were torn or had failed.
        settings: all that the rows depend on.
    """

    path: Path
    done: tuple[Row, ...]
    dropped: int
    settings: Mapping[str, object]

    @contextmanager
    def appending(self) -> Iterator[IO[str]]:
        """rows.jsonl, to write lines behind the rows that are there; each line is handed to the system at once.

        Raises:
            LongtakeError: `usage.bad_option` where another process is at it; `disk.write`.
        """
        with (
            writing(str(self.path / ROWS)),
            _alone_in(self.path),
            open(self.path / ROWS, "a", encoding="utf-8", buffering=1) as file,
        ):
            yield file


def begin(path: Path, settings: Mapping[str, object], keys: Collection[tuple[int, float, str]]) -> Folder:
    """Take up a folder: a new one, or one in which the same run was stopped.

    Args:
        path: is made if need be.
        settings: all that the rows depend on; JSON values.
        keys: of all cells of the run.

    Raises:
        LongtakeError: `usage.bad_option` where a run with other settings was begun here, or another process writes
            here now; `disk.write`.
    """
    with writing(str(path)):
        path.mkdir(parents=True, exist_ok=True)
        with _alone_in(path):
            return _taken_up(path, settings, keys)


def _taken_up(path: Path, settings: Mapping[str, object], keys: Collection[tuple[int, float, str]]) -> Folder:
    _refuse_other(path, json.loads(json.dumps(settings)))
    lines = (path / ROWS).read_text("utf-8", "replace").splitlines(keepends=True) if (path / ROWS).exists() else []
    rows = [row for row in map(row_of, lines) if row is not None and row.error is None and row.key in keys]
    if len(rows) < len(lines):
        write_whole(path / ROWS, "".join(map(line_of, rows)))
    write_whole(path / SETTINGS, json.dumps(settings, indent=2) + "\n")
    return Folder(path, tuple(rows), len(lines) - len(rows), settings)


def read_rows(path: Path) -> list[Row]:
    """The whole rows of a run's folder, failed ones too, as they were written.

    Raises:
        LongtakeError: `usage.bad_option` if there are none.
    """
    file = path / ROWS
    lines = file.read_text("utf-8", "replace").splitlines(keepends=True) if file.is_file() else []
    rows = [row for row in map(row_of, lines) if row is not None]
    if not rows:
        reason, advice = f"holds no rows of a run ({ROWS})", "give the --output of a longtake niah"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, advice)
    return rows


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Keeps other processes out of the folder; the system lets go where this one dies."""
    with alone(path / LOCK, path, "another run is writing there", "wait until it ends, or give another --output"):
        yield


def _refuse_other(path: Path, settings: Mapping[str, object]) -> None:
    try:
        written = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = {} if (path / ROWS).exists() else settings
    except ValueError:
        written = None
    written = written if isinstance(written, dict) else {}
    differing = sorted(name for name in {*settings, *written} if settings.get(name, ...) != written.get(name, ...))
    if differing:
        reason = f"holds a run with other settings: {', '.join(differing)}"
        advice = f"give another --output, or remove {SETTINGS} and {ROWS} there"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, advice)
