"""reports.judging: a run's folder in; what judges said of its answers out. Asks nobody and knows no benchmark.

A judge's file is `judge-NAME.jsonl`: a line for each question that was judged, the last one of a question counting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.measure import Row

_FILE = re.compile(r"judge-(.+)\.jsonl")


@dataclass(frozen=True)
class Judged:
    """What a judge said of one answer.

    Attributes:
        marks: by aspect; None where the reply is no score.
        why: there are none.
        reply: as it came; None if none did.
    """

    marks: Mapping[str, float] | None
    why: str = ""
    reply: str | None = None


def judgements_in(folder: Path, judges: Sequence[str] = ()) -> dict[str, dict[str, Judged]]:
    """What each judge said of each question, by the question's id.

    Args:
        judges: whose; () for all.

    Raises:
        LongtakeError: `usage.bad_option` for a judge that is not there; `data.bad` for a line that is no
            judge's.
    """
    files = {found.group(1): folder / found.group(0) for found in _matches(folder)}
    lacking = [name for name in judges if name not in files]
    if lacking:
        there = f"there {'are' if len(files) > 1 else 'is'} {', '.join(files)}" if files else "nobody has judged it"
        reason = f"holds nothing of the judge {lacking[0]}: {there}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(folder), reason, "see `longtake eval judge`")
    return {name: _read(path) for name, path in files.items() if not judges or name in judges}


def judged_row(row: Row, judged: Judged | None) -> Row:
    """The row with what a judge gave."""
    if judged is None:
        return row
    return replace(row, scored={"marks": judged.marks} if judged.marks is not None else {"why": judged.why})


def _matches(folder: Path) -> list[re.Match[str]]:
    names = sorted(path.name for path in folder.glob("judge-*.jsonl"))
    return [found for found in map(_FILE.fullmatch, names) if found]


def _read(path: Path) -> dict[str, Judged]:
    lines = path.read_bytes().splitlines(keepends=True)
    found: dict[str, Judged] = {}
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not line.endswith(b"\n"):
            continue  # a judge that was stopped: torn, and asked again by the next one
        try:
            written = json.loads(line)
            marks = written["marks"]
            judged = Judged(marks and dict(marks), str(written.get("reason") or ""), written.get("reply"))
            found[str(written["id"])] = judged
        except (ValueError, KeyError, TypeError) as error:
            reason, advice = f"is no line of a judge's: {error!r}", "take the file as longtake eval judge left it"
            raise LongtakeError(ErrorCode.DATA_BAD, f"{path}:{number}", reason, advice) from error
    return found
