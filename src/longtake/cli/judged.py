"""cli/judged: a run and a judge's lines in, the run with the judge's marks in its rows out. Knows no judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.judges import Answered, Judged
    from longtake.measure import Row, Run

OTHER_ANSWER = "the judge has marked another answer; have it judged again"


def answered_in(run: Run) -> list[Answered]:
    """What of a run a judge can mark: answers to open questions whose reference is known."""
    return [_answered(row) for row in judgeable(run) if not why_not(row)]


def judgeable(run: Run) -> list[Row]:
    """The rows that only a judge can mark."""
    return [row for row in run.rows if row.aspects and not row.options]


def why_not(row: Row) -> str:
    """Why no judge is asked about such a row; "" if one is."""
    from longtake.measure import KEPT_BACK

    if row.error is not None:
        return row.error
    if row.answer is None or (row.twin and row.twin_answer is None):
        return "there is no answer"
    return KEPT_BACK if row.reference is None else ""


def with_marks(run: Run, lines: Iterable[Judged]) -> Run:
    """The run as this judge marks it; a mark for another answer than the row's is left out, and the row says so."""
    from longtake.judges.kept import latest_of, scored_of

    answers = {row.id: _answered(row).sha256 for row in judgeable(run) if not why_not(row)}
    known = [line for line in latest_of(lines) if line.id in answers]
    fitting = [line for line in known if line.answer_sha256 == answers[line.id]]
    stale = {line.id: {"marks": {}, "why": OTHER_ANSWER} for line in known}
    scored = stale | scored_of(fitting)
    return replace(run, rows=tuple(replace(row, scored=scored.get(row.id, row.scored)) for row in run.rows))


def judged_by(run: Run, folder: Path, name: str) -> Run:
    """The run as the judge `name` marks it, whose file lies in `folder`.

    Raises:
        LongtakeError: `media.not_found`.
    """
    from longtake.judges.kept import path_of, read_judged

    return with_marks(run, read_judged(path_of(folder, name))[0])


def _answered(row: Row) -> Answered:
    from longtake.judges import Answered

    return Answered(row.item, row.answer or "", row.twin_answer or "")
