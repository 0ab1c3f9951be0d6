"""reports.marking: a row and a judge's reply in; its marks as the papers' released scripts give them out."""

from __future__ import annotations

import json

from longtake.evals.figures import Mark
from longtake.evals.judged import MATCH, OPEN, SCORE
from longtake.evals.released import LETTERS, released_option, released_reply, released_said
from longtake.measure import KEPT_BACK, NOT_JUDGED, Row

NOT_KEPT = "the released script keeps no such reply"


def released_marks(row: Row, reply: str | None) -> tuple[Mark, ...] | None:
    """What a released script makes of an answer, or of a judge's reply to it; None where none is about such questions.

    An empty answer, which ends the script of multiple choice, is wrong. Figures of these marks are what the scripts
    print: a reply that is kept counts as a score, of 0 where none is found in it.
    """
    if row.options:
        return (_chosen(row),)
    return _judged(row, reply) if row.aspects == OPEN else None


def _chosen(row: Row) -> Mark:
    item = row.item
    if row.error is not None or row.answer is None or item.right is None:
        return Mark(item, None, why=row.error or ("no answer was generated" if item.right is not None else KEPT_BACK))
    said = released_option(row.answer) if row.answer else "none"
    return Mark(item, float(said == LETTERS[item.right : item.right + 1]), unreadable=said == "none")


def _judged(row: Row, reply: str | None) -> tuple[Mark, ...]:
    item = row.item
    stored = released_reply(reply)
    if row.error is not None or reply is None or not stored.written:
        why = row.error or (NOT_JUDGED if reply is None else NOT_KEPT)
        return tuple(Mark(item, None, aspect, why=why) for aspect in OPEN)
    try:
        value = stored.value
    except json.JSONDecodeError:
        return tuple(Mark(item, None, aspect, why="the released script ends at this reply") for aspect in OPEN)
    score, match = released_said(value)
    matched = Mark(item, None, MATCH, why="neither yes nor no") if match is None else Mark(item, float(match), MATCH)
    return (matched, Mark(item, float(score), SCORE))
