"""reports.judging: a run's folder in; what a judge can mark of it, and what each has said, out. Asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.evals.judged import NEEDLE
from longtake.judges import Answered, Judged
from longtake.judges.kept import judges_in, latest_of, path_of, read_judged, scored_of
from longtake.measure import KEPT_BACK, Row, Run

OTHER_ANSWER = "the judge has marked another answer; have it judged again"


@dataclass(frozen=True)
class Said:
    """What one judge said of a run's answers.

    Attributes:
        name: of the judge; "" for nobody.
        model: that was asked, as it calls itself where it does.
        lines: by the item's id and what was asked about it; only those about the answers that the run has.
        stale: ids of items whose marks are for other answers.
        dropped: how many lines of its file were torn or damaged.
    """

    name: str = ""
    model: str = ""
    lines: Mapping[str, Mapping[str, Judged]] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    dropped: int = 0

    def marked(self, run: Run) -> Run:
        """The run as the judge marks it."""
        return replace(run, rows=tuple(map(self.row, run.rows)))

    def row(self, row: Row) -> Row:
        """The row with what the judge gave; a mark for another answer is left out, and the row says so."""
        if row.id in self.lines:
            return replace(row, scored=scored_of(self.lines[row.id].values())[row.id])
        return replace(row, scored={"marks": {}, "why": OTHER_ANSWER}) if row.id in self.stale else row

    def replies(self, row: Row) -> Mapping[str, str | None]:
        """What was said of a row word for word, by what was asked; None where no reply came."""
        return {prompt: line.reply for prompt, line in self.lines.get(row.id, {}).items()}

    @property
    def notes(self) -> list[str]:
        """What is to be known about its file."""
        notes = []
        if self.stale:
            notes.append(f"{counted(len(self.stale), 'mark')} of {self.name} for other answers: {OTHER_ANSWER}")
        if self.dropped:
            notes.append(f"{counted(self.dropped, 'line')} of {self.name} torn or damaged, and left out")
        return notes


NOBODY = Said()


def needs_judge(row: Row) -> bool:
    """Whether only a judge can mark it. `longtake niah` marks its needles itself."""
    return bool(row.aspects) and not row.options and row.aspects != NEEDLE


def why_not(row: Row) -> str:
    """Why no judge is asked about a row that needs one; "" if one is."""
    if row.error is not None:
        return row.error
    if row.answer is None or (row.twin and row.twin_answer is None):
        return "there is no answer"
    return KEPT_BACK if row.reference is None else ""


def answered_in(run: Run) -> list[Answered]:
    """What of a run a judge can mark: answers to open questions whose reference is known."""
    rows = (row for row in run.rows if needs_judge(row) and not why_not(row))
    return [Answered(row.item, row.answer or "", row.twin_answer or "") for row in rows]


def judgements_of(run: Run, folder: Path, judges: Sequence[str] = ()) -> list[Said]:
    """What each judge said whose file lies in a run's folder, by name.

    Args:
        judges: whose; () for all.

    Raises:
        LongtakeError: `usage.bad_option` for a judge that is not there.
    """
    there = judges_in(folder)
    lacking = [name for name in judges if name not in there]
    if lacking:
        told = f"it was judged by {', '.join(there)}" if there else "nobody has judged it"
        reason = f"holds nothing of the judge {lacking[0]}: {told}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(folder), reason, "see `longtake eval judge`")
    return [_said(run, path_of(folder, name), name) for name in there if not judges or name in judges]


def _said(run: Run, path: Path, name: str) -> Said:
    lines, dropped = read_judged(path)
    answers = {answered.item.id: answered.sha256 for answered in answered_in(run)}
    known = [line for line in latest_of(lines) if line.id in answers]
    found: dict[str, dict[str, Judged]] = {}
    for line in known:
        if line.answer_sha256 == answers[line.id]:
            found.setdefault(line.id, {})[line.prompt] = line
    stale = frozenset(line.id for line in known) - frozenset(found)
    # Lines come as replies did, in no order; and what got no reply knows only the name that was asked for.
    models = {line.by for line in known if line.by} or {str(line.judge.get("model", "")) for line in known}
    return Said(name, ", ".join(sorted(one for one in models if one)), found, stale, dropped)
