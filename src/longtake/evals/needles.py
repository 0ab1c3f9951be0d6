"""evals/needles: the rows that `longtake niah` wrote in; its questions, and what came of them, out. Knows no model.

V-NIAH and the needle in text are asked by `longtake niah`, which reads what many cells share only once. What it found
is a benchmark's run all the same: a question each cell, marked in two respects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, VideoName, bad_row
from longtake.evals.figures import Figure, Mark, by_category, by_length, share_of, shares
from longtake.evals.judged import FORCED, GENERATED, NEEDLE
from longtake.evals.records import MEND, Record, items_from, jsonl_records

Unit = Literal["frames", "tokens"]
"""What the length of a haystack is counted in."""
ROWS, SETTINGS = "rows.jsonl", "settings.json"
ASKED_BY: Mapping[Unit, str] = {"frames": "longtake niah", "tokens": "longtake niah --text"}


@dataclass(frozen=True)
class Outcome:
    """What came of one question.

    Attributes:
        said: what the model generated; None where the cell could not be read.
        marks: by aspect; {} where there are none.
        frames: that were shown; 0 where the haystack is text.
        tokens: that were read, the right answer's among them.
        error: `code: reason`; None where nothing failed.
    """

    item: Item
    said: str | None
    marks: Mapping[str, float]
    frames: int
    tokens: int
    error: str | None


def read_cells(files: Path, unit: Unit) -> Iterator[Item | LongtakeError]:
    """The cells that were asked, as questions; see `Benchmark.read`.

    Raises:
        LongtakeError: `media.not_found`; `usage.bad_option` for a haystack that is counted in something else.
    """
    path = _rows_file(files)
    _refuse_other(path, unit)
    yield from items_from(jsonl_records(path), lambda record: _item(record, unit))


def read_outcomes(files: Path, unit: Unit) -> Iterator[Outcome]:
    """What came of every cell.

    Raises:
        LongtakeError: as `read_cells`; `data.bad` for the first row that is not as it should be.
    """
    path = _rows_file(files)
    _refuse_other(path, unit)
    for record in jsonl_records(path):
        if isinstance(record, LongtakeError):
            raise record
        yield _outcome(record, unit)


def read_settings(files: Path) -> dict[str, Any]:
    """What the rows depend on, as `longtake niah` wrote it; {} if it is not there.

    Raises:
        LongtakeError: `data.bad`.
    """
    path = _rows_file(files).with_name(SETTINGS)
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad_row(str(path), f"cannot be read as JSON: {error}", MEND) from error
    if not isinstance(told, dict):
        raise bad_row(str(path), "is no object", MEND)
    return told


def needle_figures(marks: Sequence[Mark]) -> tuple[Figure, ...]:
    """Both shares; the forced one, which LongVA reports, also for each length and depth, in ascending order."""
    forced, generated = ([mark for mark in marks if mark.aspect == aspect] for aspect in (FORCED, GENERATED))
    return (
        share_of("forced", forced),
        share_of("generated", generated),
        *shares("length", _ascending(by_length(forced))),
        *shares("depth", _ascending(by_category(forced))),
    )


def _ascending(groups: Mapping[str, Sequence[Mark]]) -> dict[str, Sequence[Mark]]:
    """Groups whose names begin with a number; `longtake niah` asks the deepest and longest first."""
    return dict(sorted(groups.items(), key=lambda group: float(group[0].split()[0].replace(",", ""))))


def _rows_file(files: Path) -> Path:
    if not files.is_dir() or (files / ROWS).is_file():
        return files / ROWS if files.is_dir() else files
    reason, advice = f"holds no {ROWS}", "name the --output of a longtake niah"
    raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(files), reason, advice)


def _refuse_other(path: Path, unit: Unit) -> None:
    told = read_settings(path)
    found: Unit = "tokens" if "text" in told else "frames"
    if told and found != unit:
        name = {"frames": "vniah", "tokens": "textneedle"}[found]
        reason = f"was written by {ASKED_BY[found]}, whose haystacks are counted in {found}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, f"take {name}")


def _item(record: Record, unit: Unit) -> Item:
    length, depth, trial = record.whole("frames"), record.number("depth"), record.text("trial")
    return Item(
        id=f"{length}/{depth:g}/{trial}",
        # Cells of one needle stand or fall together, as questions about one video do.
        video=VideoName((trial,)),
        question=record.text("question"),
        reference=record.text("expected"),
        categories=(f"{depth:g}",),
        length_class=f"{length:,} {unit}",
        aspects=NEEDLE,
        place=record.place,
    )


def _outcome(record: Record, unit: Unit) -> Outcome:
    item = _item(record, unit)
    if record.has("error"):
        return Outcome(item, None, {}, 0, 0, record.text("error"))
    marks = {}
    for aspect in (FORCED, GENERATED):
        found = record.values.get(aspect)
        if not isinstance(found, bool):
            raise record.bad(f"{aspect!r} holds {found!r} where true or false should be")
        marks[aspect] = float(found)
    said = record.values.get("text")
    if not isinstance(said, str):
        raise record.bad(f"'text' holds {said!r} where words should be, or nothing")
    frames = record.whole("frames") if unit == "frames" else 0
    return Outcome(item, said, marks, frames, record.whole("tokens"), None)
