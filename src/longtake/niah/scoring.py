"""niah.scoring: answers in; right or wrong, shares and intervals out. Knows nothing of models.

Two scores stand in each row. *Forced* is LongVA's: each token of the right answer is the likeliest, given the right
ones before it. *Generated*: what the model says by itself, greedily, is the right answer by the rule of `is_right`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from longtake.niah import Row
from longtake.shares import Share as Share

_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
_BARE = re.compile(r"[A-Z]")


def is_right(text: str, expected: str) -> bool:
    """Whether a generated answer is the right one.

    Word for word after case folding, white space and a full stop at the end left out. Where the right answer is or ends
    in a letter of a choice, the letter alone counts: `(B)` is looked for in brackets, anywhere, the last one; a bare
    `B` as the answer's first word (`B`, `B.`, `B) San Diego`).
    """
    bracketed = _IN_BRACKETS.findall(expected)
    if bracketed and expected.endswith(")"):
        return _IN_BRACKETS.findall(text)[-1:] == bracketed[-1:]
    if _BARE.fullmatch(expected):
        first = text.split()[:1]
        return bool(first) and first[0].strip("().:,") == expected
    return _folded(text) == _folded(expected)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")


Score = Callable[[Row], bool | None]

SCORES: dict[str, Score] = {"forced": lambda row: row.forced, "generated": lambda row: row.generated}
"""Each score by name; None where the row has none."""


def share_of(rows: Iterable[Row], score: Score) -> Share:
    """How many of the rows that have a score have it true."""
    scored = [scored for scored in map(score, rows) if scored is not None]
    return Share(sum(scored), len(scored))


def summary_of(rows: Sequence[Row]) -> dict[str, object]:
    """Per column (frames), per row (depth), and of all: both scores, what failed, and where the context is passed."""
    frames = sorted({row.frames for row in rows})
    depths = sorted({row.depth for row in rows})
    beyond = [row.frames for row in rows if row.beyond_trained_context]
    return {
        "asked": len(rows),
        "failed": sum(row.error is not None for row in rows),
        "trials": len({row.trial for row in rows}),
        "chance": _chance(rows),
        "mean": _scores(rows),
        "frames": [{"frames": one, **_scores([row for row in rows if row.frames == one])} for one in frames],
        "depths": [{"depth": one, **_scores([row for row in rows if row.depth == one])} for one in depths],
        "worst_column": _worst(rows, frames),
        "beyond_trained_context_from_frames": min(beyond) if beyond else None,
    }


def _chance(rows: Sequence[Row]) -> float | None:
    """What guessing gets on average; None where some row's is not known."""
    known = [row.chance for row in rows if row.chance is not None]
    return round(sum(known) / len(known), 4) if known and len(known) == len(rows) else None


def _scores(rows: Sequence[Row]) -> dict[str, object]:
    return {name: share_of(rows, score).as_dict() for name, score in SCORES.items()}


def _worst(rows: Sequence[Row], frames: Sequence[int]) -> dict[str, object]:
    """The smallest share of a column, by score; None where no column has one."""
    worst = {}
    for name, score in SCORES.items():
        shares = [share_of([row for row in rows if row.frames == one], score).share for one in frames]
        worst[name] = min((round(share, 4) for share in shares if share is not None), default=None)
    return dict(worst)
