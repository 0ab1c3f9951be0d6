"""reports.marking: a row and a judge's replies in; its marks as the papers' released scripts give them out.

Question by question; what a script prints of all of them, if it does not die of one, is `judges.as_released`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from longtake.evals.figures import Mark
from longtake.evals.judged import MATCH, OPEN, SCORE
from longtake.evals.released import LETTERS, released_option, released_said
from longtake.judges.as_released import SCRIPTED
from longtake.measure import KEPT_BACK, NOT_JUDGED, Row

NOT_KEPT, ENDS = "the released script keeps no such reply", "the released script ends at this reply"


def released_marks(row: Row, replies: Mapping[str, str | None]) -> tuple[Mark, ...] | None:
    """What a released script makes of an answer, or of a judge's replies to it; None where it marks no such.

    An empty answer, which ends the script of multiple choice, is wrong. Figures of these marks are what the scripts
    print: a reply that is kept counts as a score, of 0 where none is found in it.

    Args:
        replies: by what was asked (`judges.prompts.KINDS`).
    """
    if row.options:
        return (_chosen(row),)
    if row.aspects == OPEN:
        return _open(row, replies.get("open"))
    if row.aspects and all(SCRIPTED.get(aspect) == (aspect,) for aspect in row.aspects):
        return tuple(_alone(row, aspect, replies.get(aspect)) for aspect in row.aspects)
    return None


def _chosen(row: Row) -> Mark:
    item = row.item
    if row.error is not None or row.answer is None or item.right is None:
        return Mark(item, None, why=row.error or ("no answer was generated" if item.right is not None else KEPT_BACK))
    said = released_option(row.answer) if row.answer else "none"
    return Mark(item, float(said == LETTERS[item.right : item.right + 1]), unreadable=said == "none")


def _open(row: Row, reply: str | None) -> tuple[Mark, ...]:
    found, why = _found(row, reply)
    if found is None:
        return tuple(Mark(row.item, None, aspect, why=why) for aspect in OPEN)
    score, match = found
    matched = Mark(row.item, None if match is None else float(match), MATCH, why="" if match is not None else "no pred")
    return (matched, Mark(row.item, float(score), SCORE))


def _alone(row: Row, aspect: str, reply: str | None) -> Mark:
    found, why = _found(row, reply)
    return Mark(row.item, None, aspect, why=why) if found is None else Mark(row.item, float(found[0]), aspect)


def _found(row: Row, reply: str | None) -> tuple[tuple[int, bool | None] | None, str]:
    """The score and the yes or no in a reply; None and why where the script has none."""
    if row.error is not None or reply is None:
        return None, row.error or NOT_JUDGED
    try:
        found = released_said(reply)
    except json.JSONDecodeError:
        return None, ENDS
    return found, NOT_KEPT if found is None else ""
