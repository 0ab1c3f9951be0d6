"""reports.pairing: two runs' folders in; question by question, which is better and whether that is chance, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.evals.comparing import Paired, compare
from longtake.evals.figures import Mark
from longtake.evals.judged import RANGES
from longtake.measure import Run, Scoring
from longtake.measure.rows import read_run
from longtake.reports import Rule
from longtake.reports.accounting import aspects_of, marked, without_rows
from longtake.reports.judging import NOBODY, Said, judgements_of


@dataclass(frozen=True)
class Terms:
    """How two runs are compared.

    Attributes:
        common: leave out what not both were asked; else that is refused.
        scoring: of multiple choice; None: what the first run goes by.
        judge: whose marks; "" where there is only one.
        seed: of the bootstrap.
    """

    common: bool = False
    rule: Rule = "right"
    scoring: Scoring | None = None
    judge: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Compared:
    """Two runs in one respect.

    Attributes:
        aspect: `evals.figures.RIGHT`, or what a judge looks at.
        most: the most that a mark can be.
        both: how many questions both have right; None where marks are not right and wrong.
    """

    aspect: str
    most: float
    paired: Paired
    both: int | None
    neither: int | None


@dataclass(frozen=True)
class Comparison:
    """Two runs in every respect that both were marked in.

    Attributes:
        asked: how many questions are compared, scored or not.
        left_out: how many only one of them was asked (with `common`).
        lacking: what else is to be known first: what of either run is not asked, failed or unscored.
    """

    asked: int
    left_out: int
    judge: str
    scoring: Scoring
    found: tuple[Compared, ...]
    lacking: tuple[str, ...]


def compare_runs(first: Path, second: Path, terms: Terms) -> Comparison:
    """Two runs over the same questions.

    Raises:
        LongtakeError: `usage.bad_option` for different benchmarks, for different questions without `common`, for none
            in common, or where several judges marked them and none is named; else as `read_run`.
    """
    runs = [read_run(first), read_run(second)]
    names = [run.header.benchmark for run in runs]
    if names[0] != names[1]:
        reason = f"is a run of {names[1]}, and {first} one of {names[0]}"
        raise _refused(str(second), reason, "compare runs of one benchmark")
    ids = [frozenset(row.id for row in run.rows) for run in runs]
    shared, left_out = ids[0] & ids[1], len(ids[0] ^ ids[1])
    if left_out and not terms.common:
        only = f"{len(ids[0] - ids[1]):,} questions stand in {first} alone, {len(ids[1] - ids[0]):,} in {second} alone"
        raise _refused(f"{first}, {second}", only, "take --common to compare what both were asked")
    _same_answers(runs, shared, second)
    wanted = [terms.judge] if terms.judge else ()
    folders = (first, second)
    said = _judge([judgements_of(run, folder, wanted) for run, folder in zip(runs, folders, strict=True)])
    scoring = terms.scoring or _scoring(runs)
    marks = [
        marked(without_rows(run, shared), rule=terms.rule, way=scoring, said=one)
        for run, one in zip(runs, said, strict=True)
    ]
    found = tuple(_compared(marks[0], marks[1], aspect, terms.seed) for aspect in _shared_aspects(runs, marks))
    if not found:
        raise _none_in_both(folders, runs, scoring)
    lack = tuple(_lack(folder, run, some) for folder, run, some in zip((first, second), runs, marks, strict=True))
    return Comparison(len(shared), left_out, said[0].name, scoring, found, tuple(one for one in lack if one))


def _scoring(runs: Sequence[Run]) -> Scoring:
    """The first run's first that the other has too; the first run's first, where they have none in common."""
    first, second = (run.header.scoring or ("letter",) for run in runs)
    return next((one for one in first if one in second), first[0])


def _none_in_both(folders: Sequence[Path], runs: Sequence[Run], scoring: Scoring) -> LongtakeError:
    """Why nothing can be compared: other scorings of multiple choice, or no score yet."""
    subject = ", ".join(map(str, folders))
    lacking = [
        f"{folder} by {' and '.join(run.header.scoring) or 'none'}"
        for folder, run in zip(folders, runs, strict=True)
        if scoring not in run.header.scoring and any(row.options for row in run.rows)
    ]
    if lacking:
        reason = f"not both were scored by {scoring}: {'; '.join(lacking)}"
        return _refused(subject, reason, "run that one again with --scoring both, into another --out")
    return _refused(subject, "no question has a score in both", "judge them, or run them to their end")


def _compared(first: Sequence[Mark], second: Sequence[Mark], aspect: str, seed: int) -> Compared:
    paired = compare(first, second, aspect=aspect, seed=seed)
    most = float(RANGES[aspect][1]) if aspect in RANGES else 1.0
    if paired.p is None:
        return Compared(aspect, most, paired, None, None)
    both = round(paired.first * paired.pairs) - paired.worse
    return Compared(aspect, most, paired, both, paired.pairs - both - paired.better - paired.worse)


def _shared_aspects(runs: Sequence[Run], marks: Sequence[Sequence[Mark]]) -> list[str]:
    """Those in which some question has a score in both."""
    scored = [
        {
            aspect: {mark.item.id for mark in some if mark.aspect == aspect and mark.value is not None}
            for aspect in names
        }
        for some, names in zip(marks, map(aspects_of, runs), strict=True)
    ]
    return [aspect for aspect in scored[0] if scored[0][aspect] & scored[1].get(aspect, set())]


def _same_answers(runs: Sequence[Run], ids: frozenset[str], second: Path) -> None:
    """Refuse questions that have one id and different right answers: they are not the same.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    told = [{row.id: (row.options, row.right_option, row.reference) for row in run.rows} for run in runs]
    strange = [name for name in told[0] if name in ids and told[0][name] != told[1][name]]
    if strange:
        reason = f"{counted(len(strange), 'question')} of the same id are others there, {strange[0]} first"
        raise _refused(str(second), reason, "compare runs over the same files")


def _judge(told: Sequence[Sequence[Said]]) -> list[Said]:
    """What the one judge that both runs have said of each; nobody, if there is none.

    Raises:
        LongtakeError: `usage.bad_option` if there are several.
    """
    second = {one.name: one for one in told[1]}
    both = [one for one in told[0] if one.name in second]
    if len(both) > 1:
        reason = f"both runs were marked by {', '.join(one.name for one in both)}"
        raise _refused("--judge", reason, "name one of them")
    return [both[0], second[both[0].name]] if both else [NOBODY, NOBODY]


def _lack(folder: Path, run: Run, marks: Sequence[Mark]) -> str:
    told = [f"{len(run.rows):,} of {run.header.items:,} asked"] if run.missing else []
    told += [f"{len(run.failed):,} failed"] if run.failed else []
    failed = {row.id for row in run.failed}
    unscored = len({mark.item.id for mark in marks if mark.value is None} - failed)
    told += [f"{unscored:,} unscored"] if unscored else []
    return f"{folder}: {'; '.join(told)}" if told else ""


def _refused(subject: str, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, advice)
