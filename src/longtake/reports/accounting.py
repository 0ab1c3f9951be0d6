"""reports.accounting: a run's folder in; what it comes to, for each rule, scoring and judge, out. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.evals import Benchmark, Item
from longtake.evals.figures import RIGHT, Figure, Mark
from longtake.evals.judged import MATCH, OPEN, SCORE
from longtake.evals.released import differing
from longtake.measure import NOT_JUDGED, Row, Run, Scoring
from longtake.measure.rows import read_run
from longtake.reports import Account, Counts, Rule
from longtake.reports.judging import Judged, judged_row, judgements_in
from longtake.reports.marking import released_marks

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
    told = judgements_in(folder, judges)
    choice, judged = any(row.options for row in run.rows), any(_is_judged(row) for row in run.rows)
    ways: Sequence[Scoring | None] = (run.header.scoring or ("letter",)) if choice else (None,)
    names = list(told) if judged and told else [""]
    accounts = []
    for rule, way, name in product(rules, ways, names):
        # What the options' likelihoods are was never marked by a released script.
        if rule == "right" or way != "likelihood":
            accounts.append(_account(folder, run, rule=rule, way=way, judged=(name, told.get(name, {}))))
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


def row_marks(row: Row, *, rule: Rule, way: Scoring | None, judged: Judged | None) -> tuple[Mark, ...]:
    """What a question is worth, by a rule, a scoring and what a judge said."""
    if rule == "released":
        found = released_marks(row, None if judged is None else judged.reply)
        if found is not None:
            return found
    return judged_row(row, judged).marks(way or "letter")


def _account(
    folder: Path, run: Run, *, rule: Rule, way: Scoring | None, judged: tuple[str, Mapping[str, Judged]]
) -> Account:
    judge, said = judged
    marks = [row_marks(row, rule=rule, way=way, judged=said.get(row.id)) for row in run.rows]
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
        judge=judge,
        counts=_counts(run, marks),
        figures=figures,
        frames=_mean([row.frames for row in whole]),
        tokens=_mean([visual_tokens(row) for row in whole]),
        chances=chances,
        notes=tuple(_notes(run, rule=rule, way=way, said=said, judge=judge)),
    )


def visual_tokens(row: Row) -> int:
    """Of the tokens that were read for a question, those that stand for pictures."""
    return row.tokens.get("visual", 0)


def _counts(run: Run, marks: Sequence[Sequence[Mark]]) -> Counts:
    failed = sum(row.error is not None for row in run.rows)
    scored = sum(bool(some) and all(mark.value is not None for mark in some) for some in marks)
    unreadable = sum(any(mark.unreadable for mark in some) for some in marks)
    kept_back = sum(row.error is None and not row.item.answered for row in run.rows)
    unscored = len(run.rows) - scored - failed
    return Counts(run.header.items, len(run.rows), scored, failed, unscored, unreadable, min(kept_back, unscored))


def _notes(run: Run, *, rule: Rule, way: Scoring | None, said: Mapping[str, Judged], judge: str) -> list[str]:
    """What is to be known about an account besides its figures."""
    notes = []
    if rule == "released" and way == "letter":
        notes.append(_differing(run))
    if rule == "released" and judge:
        notes += _judged_otherwise(run, said)
    if any(_is_judged(row) for row in run.rows) and not judge:
        notes.append(f"{NOT_JUDGED}: see `longtake eval judge`")
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


def _judged_otherwise(run: Run, said: Mapping[str, Judged]) -> list[str]:
    """The same of a judge's replies."""
    rows = [row for row in run.rows if row.aspects == OPEN and row.error is None and row.id in said]
    strange = sum(_is_judged(row) and row.aspects != OPEN for row in run.rows)
    notes = []
    if rows:
        pairs = [
            [_by_aspect(row_marks(row, rule=rule, way=None, judged=said[row.id])) for rule in ("right", "released")]
            for row in rows
        ]
        counts = [sum(ours.get(aspect) != theirs.get(aspect) for ours, theirs in pairs) for aspect in (MATCH, SCORE)]
        notes.append(
            f"of {len(rows):,} replies {counts[0]:,} are taken for another match, {counts[1]:,} for another score"
        )
    if strange:
        notes.append(f"{counted(strange, 'item')} marked by longtake's rule: a released one reads other replies")
    return notes


def _by_aspect(marks: Sequence[Mark]) -> dict[str, float | None]:
    return {mark.aspect: mark.value for mark in marks}


def _is_judged(row: Row) -> bool:
    return bool(row.aspects) and not row.options


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


def marked(run: Run, *, rule: Rule, way: Scoring | None, said: Mapping[str, Judged]) -> list[Mark]:
    """All marks of a run; what `pairing` compares."""
    return [mark for row in run.rows for mark in row_marks(row, rule=rule, way=way, judged=said.get(row.id))]


def aspects_of(run: Run) -> tuple[str, ...]:
    """What is marked in a run: RIGHT where something is of choice, and what judges look at."""
    choice = (RIGHT,) if any(row.options for row in run.rows) else ()
    return (*choice, *dict.fromkeys(aspect for row in run.rows if _is_judged(row) for aspect in row.aspects))


def without_rows(run: Run, ids: frozenset[str]) -> Run:
    """The run with the rows of these questions only."""
    return replace(run, rows=tuple(row for row in run.rows if row.id in ids))
