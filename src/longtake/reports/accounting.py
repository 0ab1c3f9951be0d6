"""reports.accounting: a run's folder in; what it comes to, for each rule, scoring and judge, out. Draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.evals import Benchmark, Item
from longtake.evals.figures import RIGHT, Figure, Mark
from longtake.evals.released import differing
from longtake.measure import NOT_JUDGED, Row, Run, Scoring
from longtake.measure.rows import read_run
from longtake.reports import Account, Counts, Rule
from longtake.reports.judging import NOBODY, Said, judgements_of, needs_judge
from longtake.reports.marking import released_marks

READ = "read"
"""All tokens that were read, with question and answer: what `longtake niah` tells of a cell."""
CHIEF_OF_ALL = ("accuracy",)
"""Chief figures that are shares of all questions; other chief ones are means over categories."""


def accounts_of(folder: Path, *, rules: Sequence[Rule] = ("right",), judges: Sequence[str] = ()) -> list[Account]:
    """What a run comes to.

    Args:
        folder: the `--out` of `longtake eval`.
        rules: in which order.
        judges: whose marks; () for those of all that lie in the folder.

    Raises:
        LongtakeError: `usage.bad_option` where there is no run, or no such judge or benchmark; `data.bad`.
    """
    run = read_run(folder)
    told = judgements_of(run, folder, judges)
    choice, judged = any(row.options for row in run.rows), any(map(needs_judge, run.rows))
    ways: Sequence[Scoring | None] = (run.header.scoring or ("letter",)) if choice else (None,)
    accounts = []
    for rule, way, said in product(rules, ways, told if judged and told else [NOBODY]):
        # What the options' likelihoods are was never marked by a released script.
        if rule == "right" or way != "likelihood":
            accounts.append(_account(folder, run, rule=rule, way=way, said=said))
    return accounts


def benchmark_of(run: Run, folder: Path) -> Benchmark:
    """The benchmark that a run's header names.

    Raises:
        LongtakeError: `usage.bad_option` if there is none; `data.bad` if its options do not fit.
    """
    header = run.header
    try:
        made: Benchmark = parts.find("evals.benchmarks", header.benchmark)(**header.benchmark_options)
    except TypeError as error:
        reason = f"{header.benchmark} takes no such options: {error}"
        raise LongtakeError(
            ErrorCode.DATA_BAD, str(folder), reason, "read it with the longtake that wrote it"
        ) from error
    return made


def row_marks(row: Row, *, rule: Rule, way: Scoring | None, said: Said) -> tuple[Mark, ...]:
    """What a question is worth, by a rule, a scoring and what a judge said."""
    found = released_marks(row, said.replies(row)) if rule == "released" else None
    return said.row(row).marks(way or "letter") if found is None else found


def _account(folder: Path, run: Run, *, rule: Rule, way: Scoring | None, said: Said) -> Account:
    marks = [row_marks(row, rule=rule, way=way, said=said) for row in run.rows]
    benchmark = benchmark_of(run, folder)
    figures = benchmark.figures([mark for some in marks for mark in some])
    whole = [row for row in run.rows if row.error is None]
    chances = _chances(figures, [row.item for row in run.rows if row.options]) if way else {}
    return Account(
        name=folder.resolve().name,
        folder=str(folder),
        header=run.header,
        title=benchmark.card.title,
        rule=rule,
        scoring=way,
        judge=said.name,
        counts=_counts(run, marks),
        figures=figures,
        frames=_mean([row.frames for row in whole if row.frames or READ not in row.tokens]),
        tokens=_mean([tokens_of(row) for row in whole]),
        own_marks=any(row.scored is not None for row in run.rows),
        chances=chances,
        notes=tuple(_notes(run, rule=rule, way=way, said=said)),
    )


def tokens_of(row: Row) -> int:
    """Of the tokens that were read for a question, those that stand for pictures; all, where only that was told."""
    return row.tokens.get("visual", row.tokens.get(READ, 0))


def _counts(run: Run, marks: Sequence[Sequence[Mark]]) -> Counts:
    failed = sum(row.error is not None for row in run.rows)
    scored = sum(bool(some) and all(mark.value is not None for mark in some) for some in marks)
    unreadable = sum(any(mark.unreadable for mark in some) for some in marks)
    kept_back = sum(row.error is None and not row.item.answered for row in run.rows)
    unscored = len(run.rows) - scored - failed
    return Counts(run.header.items, len(run.rows), scored, failed, unscored, unreadable, min(kept_back, unscored))


def _notes(run: Run, *, rule: Rule, way: Scoring | None, said: Said) -> list[str]:
    """What is to be known about an account besides its figures."""
    notes = [f"the judge {said.name} is {said.model}"] if said.model and said.model != said.name else []
    notes += said.notes
    if rule == "released" and way == "letter":
        notes.append(_differing(run))
    if rule == "released" and said.name:
        notes += _judged_otherwise(run, said)
    if not said.name and any(needs_judge(row) and row.scored is None and row.error is None for row in run.rows):
        notes.append(f"{NOT_JUDGED}: see `longtake eval judge`")
    if any(READ in row.tokens for row in run.rows):
        notes.append("its tokens are all that were read, question and answer among them")
    degraded = sum(row.degraded for row in run.rows)
    if degraded:
        notes.append(f"of {counted(degraded, 'question')} some of the video could not be seen")
    if run.dropped:
        notes.append(f"{counted(run.dropped, 'line')} of its files torn or damaged, and left out")
    return notes


def _differing(run: Run) -> str:
    """How many answers the released rule and longtake's mark otherwise."""
    answered = [row for row in run.rows if row.options and row.error is None and row.answer is not None]
    found = differing([row.item for row in answered], {row.id: str(row.answer) for row in answered})
    told = (
        f"{counted(len(found.ids), 'item')} of {found.asked:,} marked otherwise: {found.right:,} right by longtake's "
        f"rule, {found.released_right:,} by the released one"
    )
    if found.dying:
        told += f"; the released script ends at {counted(len(found.dying), 'empty answer')}, counted as wrong here"
    return told


def _judged_otherwise(run: Run, said: Said) -> list[str]:
    """How many marks a released script takes a judge's replies for otherwise than longtake's rule."""
    rows = [row for row in run.rows if row.id in said.lines and row.error is None]
    counts: dict[str, list[int]] = {}
    strange = 0
    for row in rows:
        theirs = released_marks(row, said.replies(row))
        if theirs is None:
            strange += 1
            continue
        ours = {mark.aspect: mark.value for mark in row_marks(row, rule="right", way=None, said=said)}
        for mark in theirs:
            counted_so_far = counts.setdefault(mark.aspect, [0, 0])
            counted_so_far[0] += 1
            counted_so_far[1] += mark.value != ours.get(mark.aspect)
    notes = [f"{aspect}: {other:,} of {total:,} replies marked otherwise" for aspect, (total, other) in counts.items()]
    if strange:
        notes.append(f"{counted(strange, 'item')} marked by longtake's rule: no released script reads such replies")
    return notes


def _chances(figures: Sequence[Figure], items: Sequence[Item]) -> dict[str, float]:
    """What guessing gets, of each figure that is a share of right answers.

    A figure named `length: short`, `category: X` or `X` is about the items of that length class, category or facet.
    """
    every = {name: _mean(some) for name, some in _guesses(items).items()}
    found: dict[str, float | None] = {}
    for place, figure in enumerate(figures):
        kind, _, group = figure.name.rpartition(": ")
        if figure.most != 1:
            continue
        if place == 0 and not kind:
            categories = [every[name] for name in {name for item in items for name in item.categories}]
            over_all = figure.name in CHIEF_OF_ALL or not categories
            found[figure.name] = every.get("") if over_all else _mean([one for one in categories if one is not None])
        else:
            found[figure.name] = every.get(group)
    return {name: chance for name, chance in found.items() if chance is not None}


def _guesses(items: Sequence[Item]) -> dict[str, list[float]]:
    """1 / options of the items in each group that a figure can be named by; "" for all."""
    groups: dict[str, list[float]] = {}
    for item in items:
        names = {"", *item.categories, item.length_class, *(value for _, value in item.facets)}
        for name in names:
            groups.setdefault(name, []).append(1 / len(item.options))
    return groups


def _mean(values: Sequence[Any]) -> float | None:
    return sum(values) / len(values) if values else None


def marked(run: Run, *, rule: Rule, way: Scoring | None, said: Said) -> list[Mark]:
    """All marks of a run; what `pairing` compares."""
    return [mark for row in run.rows for mark in row_marks(row, rule=rule, way=way, said=said)]


def aspects_of(run: Run) -> tuple[str, ...]:
    """What is marked in a run: RIGHT where something is of choice, and what judges look at."""
    choice = (RIGHT,) if any(row.options for row in run.rows) else ()
    return (*choice, *dict.fromkeys(aspect for row in run.rows if not row.options for aspect in row.aspects))


def without_rows(run: Run, ids: frozenset[str]) -> Run:
    """The run with the rows of these questions only."""
    return replace(run, rows=tuple(row for row in run.rows if row.id in ids))
