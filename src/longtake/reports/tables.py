"""reports.tables: accounts of runs and published rows in; the same tables for a terminal, as markdown and as CSV out.

A table is a value (`Table`), so that what a terminal shows and what a file holds cannot drift apart. CSV is one line
for each figure of each run, and holds all that is known of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longtake.errors import counted, printable
from longtake.evals.figures import Figure
from longtake.reports import Account
from longtake.reports.published import NOT_RUN, Published, otherwise, rows_of

MOST_COLUMNS = 3
"""So many runs stand side by side; more make further tables."""
CHIEF_KINDS, MOST_CHIEF = ("", "length", "category"), 12
"""Of figures named `kind: group`, what is told when a run has ended, and so many at most."""
COLUMNS = (
    "run", "folder", "benchmark", "split", "model", "sha256", "sampler", "layout", "rope", "method", "parts",
    "versions", "frames", "tokens", "prompt",
    "rule", "scoring", "judge", "items", "asked", "scored", "failed", "unreadable", "unscored", "coverage", "figure",
    "value", "low", "high", "figure_scored", "figure_unscored", "worst", "best", "most", "chance", "published",
    "source",
)  # fmt: skip
"""Of the CSV. A published row fills in what is known of it; `published` says so. `parts` (with all their options) and
`versions` are objects of JSON."""
MOST_ACROSS = 6
"""So many published figures stand side by side; more stand one below the other, a line each."""


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        head: of its columns; () where there are only notes.
        rows: each as long as `head`.
        notes: what stands below.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def lacking(accounts: Sequence[Account]) -> tuple[str, ...]:
    """What must be known before any figure: what was not asked, failed, or got no score; a line for each run."""
    return tuple(dict.fromkeys(line for account in accounts if (line := _lack(account))))


def tables_of(accounts: Sequence[Account], *, published: bool = False) -> tuple[Table, ...]:
    """The runs, then the figures of each benchmark, and what is published of it."""
    found = [_runs(accounts)]
    for benchmark in dict.fromkeys(account.header.benchmark for account in accounts):
        own = [(place, one) for place, one in enumerate(accounts, 1) if one.header.benchmark == benchmark]
        for start in range(0, len(own), MOST_COLUMNS):
            found.append(_figures(own[start : start + MOST_COLUMNS]))
        if published:
            found.append(_published([account for _, account in own]))
    return tuple(found)


def chief_of(accounts: Sequence[Account]) -> Table:
    """What is told of a run that has ended: its chief figure, and those by length and category; a column an account."""
    every = _figures(list(enumerate(accounts, 1)))
    rows = [row for row in every.rows if row[0].rpartition(": ")[0] in CHIEF_KINDS][:MOST_CHIEF]
    head = ("figure", *(account.way for account in accounts), *every.head[1 + len(accounts) :])
    unreadable = [(account.way, account.counts.unreadable) for account in accounts if account.counts.unreadable]
    notes = [f"{way}: {counted(count, 'answer')} named no option, or several" for way, count in unreadable]
    more = len(every.rows) - len(rows)
    notes += [f"{counted(more, 'further figure')}: longtake eval report {accounts[0].folder}"] if more else []
    return Table(every.title, head, tuple(rows), (*every.notes, *notes))


def value_of(figure: Figure, value: float | None) -> str:
    """A figure's value, or one of its bounds: shares in per cent."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if figure.most == 1 else f"{value:.2f}"


def markdown(accounts: Sequence[Account], *, published: bool = False) -> str:
    """All tables as a page."""
    parts = ["# Report\n", *(f"**{_escaped(line)}**\n" for line in lacking(accounts))]
    for table in tables_of(accounts, published=published):
        lines = [f"## {_escaped(table.title)}\n"]
        if table.head:
            lines += [f"| {' | '.join(map(_escaped, line))} |" for line in (table.head, *table.rows)]
            lines.insert(2, f"|{'---|' * len(table.head)}")
            lines += [""]
        lines += [f"- {_escaped(note)}" for note in table.notes]
        parts.append("\n".join(lines).rstrip() + "\n")
    parts.append("\n".join(["## What was run\n", *(f"- {_escaped(line)}" for line in made_of(accounts)), ""]))
    return "\n".join(parts)


def made_of(accounts: Sequence[Account]) -> tuple[str, ...]:
    """A line for each run: its model's SHA-256, its parts with all their options, and what it ran with."""
    places: dict[str, list[int]] = {}
    for place, account in enumerate(accounts, 1):
        places.setdefault(account.folder, []).append(place)
    lines = []
    for own in places.values():
        account = accounts[own[0] - 1]
        header = account.header
        told = [f"model {account.model}, SHA-256 {header.model.get('sha256', 'not told')}"]
        told += [f"{kind} {json.dumps(part)}" for kind, part in header.parts.items() if part]
        told += ["versions " + ", ".join(f"{name} {one}" for name, one in header.versions.items())]
        lines.append(f"{', '.join(f'#{place}' for place in own)} {account.name}: {'; '.join(told)}")
    return tuple(lines)


def as_csv(accounts: Sequence[Account], *, published: bool = False) -> str:
    """A line for each figure of each account, and with `published` for each published one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for place, account in enumerate(accounts, 1):
        writer.writerows({"run": place, **line} for line in _csv_lines(account))
    if published:
        for row in _all_published(accounts):
            writer.writerows(_csv_published(row))
    return text.getvalue()


def as_objects(accounts: Sequence[Account], *, published: bool = False) -> dict[str, object]:
    """What `--json` prints: runs with all their figures, what is lacking, and published rows apart from them."""
    told: dict[str, object] = {"lacking": list(lacking(accounts)), "runs": [_object(account) for account in accounts]}
    if published:
        told["published_not_run_here"] = [_published_object(row) for row in _all_published(accounts)]
    return told


def _lack(account: Account) -> str:
    counts, told = account.counts, []
    if counts.missing:
        told.append(f"{counts.asked:,} of {counts.items:,} asked, and the figures are of those alone")
    if counts.failed:
        told.append(f"{counts.failed:,} failed")
    if counts.unscored - counts.kept_back:
        told.append(f"{counts.unscored - counts.kept_back:,} unscored")
    by = f" ({account.way})" if counts.unscored else ""
    return f"{account.folder}{by}: {'; '.join(told)}" if told else ""


def _runs(accounts: Sequence[Account]) -> Table:
    head = ("", "run", "benchmark", "split", "model", "parts", "frames", "tokens", "marked by", "asked", "scored",
            "failed", "unreadable", "unscored", "coverage")  # fmt: skip
    rows = []
    for place, account in enumerate(accounts, 1):
        counts = account.counts
        asked = f"{counts.asked:,}" if not counts.missing else f"{counts.asked:,} of {counts.items:,}"
        numbers = (counts.scored, counts.failed, counts.unreadable, counts.unscored)
        seen = (_number(account.frames), _number(account.tokens))
        told = (account.name, account.header.benchmark, account.header.split, account.model, _laid_out(account))
        tail = (account.way, asked, *(f"{number:,}" for number in numbers), _share(counts.coverage))
        rows.append((f"#{place}", *told, *seen, *tail))
    notes = [f"#{place}: {note}" for place, account in enumerate(accounts, 1) for note in account.notes]
    notes += [
        f"#{place}: {account.counts.kept_back:,} have answers that their authors keep back"
        for place, account in enumerate(accounts, 1)
        if account.counts.kept_back
    ]
    notes.append(
        "parts: with the options that are not their defaults; frames and visual tokens are means over questions"
    )
    notes.append("figures have 95 % intervals")
    return Table("Runs", head, tuple(rows), tuple(notes))


def _laid_out(account: Account) -> str:
    told = [account.part("sampler", but=("frames",)), *(account.part(kind) for kind in ("layout", "method", "rope"))]
    return ", ".join(one for one in told if one)


def _figures(accounts: Sequence[tuple[int, Account]]) -> Table:
    names = dict.fromkeys(figure.name for _, account in accounts for figure in account.figures)
    by_name = [{figure.name: figure for figure in account.figures} for _, account in accounts]
    rows = [(name, *(_cell(figures.get(name)) for figures in by_name)) for name in names]
    chances = [account.chances for _, account in accounts]
    if any(chances):
        guessed = [next((some[name] for some in chances if name in some), None) for name in names]
        rows = [(*row, _share(chance)) for row, chance in zip(rows, guessed, strict=True)]
    head = ("figure", *(f"#{place} {account.name}" for place, account in accounts))
    first = accounts[0][1]
    notes: tuple[str, ...] = ()
    if any(figure.unscored for _, account in accounts for figure in account.figures):
        notes = ("between: what the figure would be if all that have no score were wrong, and if all were right",)
    return Table(f"{first.title}: figures", (*head, "chance") if any(chances) else head, tuple(rows), notes)


def _cell(figure: Figure | None) -> str:
    """`51.3 (48.0 to 54.6), n 300`, and with questions that have no score `, between 50.1 and 52.0`."""
    if figure is None:
        return ""
    told = "-"
    if figure.value is not None:
        low, high = value_of(figure, figure.low), value_of(figure, figure.high)
        told = f"{value_of(figure, figure.value)} ({low} to {high})"
    told += f", n {figure.scored:,}"
    if figure.unscored and figure.worst is not None:
        told += f"; between {value_of(figure, figure.worst)} and {value_of(figure, figure.best)}"
    return told


def _published(accounts: Sequence[Account]) -> Table:
    """What papers report of a benchmark, marked as not run here, and how it differs from these runs."""
    first = accounts[0]
    rows = rows_of(first.header.benchmark)
    title = f"{first.title}: {NOT_RUN}"
    if not rows:
        return Table(f"{first.title}: published", (), (), ("no published row: neither paper reports this benchmark",))
    own = [figure.name for figure in first.figures]
    names = [name for name in dict.fromkeys([*own, *(name for row in rows for name in row.values)])]
    names = [name for name in names if any(name in row.values for row in rows)]
    across = len(names) <= MOST_ACROSS
    lines = [
        (row.name, *given, row.measured.split, row.measured.judge)
        for row in rows
        for given in _givens(row, names, across=across)
    ]
    sources = dict.fromkeys(f"source: {row.source}" for row in rows)
    notes = (*sources, *otherwise(rows, accounts))
    head = tuple(names) if across else ("figure", "value")
    return Table(title, ("", *head, "frames", "split", "judge"), tuple(lines), notes)


def _givens(row: Published, names: Sequence[str], *, across: bool) -> list[tuple[str, ...]]:
    """A row's figures side by side, or each with its name as a line of its own; and the frames that were seen."""
    if across:
        return [(*(_given(row, name) for name in names), _number(row.frames))]
    return [(name, _given(row, name), _seen(row, name)) for name in names if name in row.values]


def _seen(row: Published, name: str) -> str:
    """The frames of one figure: of `length: 200 frames` they are 200."""
    length = name.removeprefix("length: ")
    return length.removesuffix(" frames") if length != name and name.endswith(" frames") else _number(row.frames)


def _given(row: Published, name: str) -> str:
    if name in row.percent:
        return f"{row.percent[name]:.1f}"
    value = row.scores.get(name)
    return "" if value is None else f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def _all_published(accounts: Sequence[Account]) -> list[Published]:
    names = dict.fromkeys(account.header.benchmark for account in accounts)
    return [row for name in names for row in rows_of(name)]


def _csv_lines(account: Account) -> Iterator[dict[str, object]]:
    counts, header = account.counts, account.header
    own = {
        "folder": account.folder,
        "benchmark": header.benchmark,
        "split": header.split,
        "model": account.model,
        "sha256": header.model.get("sha256"),
        **{kind: account.part_name(kind) for kind in ("sampler", "layout", "rope", "method")},
        "parts": json.dumps(header.parts),
        "versions": json.dumps(header.versions),
        "frames": account.frames,
        "tokens": account.tokens,
        "prompt": header.prompt,
        "rule": account.rule,
        "scoring": account.scoring,
        "judge": account.judge,
        **{name: getattr(counts, name) for name in ("items", "asked", "scored", "failed", "unreadable", "unscored")},
        "coverage": counts.coverage,
        "published": "no",
    }
    for figure in account.figures:
        yield {name: "" if value is None else value for name, value in {**own, **_figure(account, figure)}.items()}


def _figure(account: Account, figure: Figure) -> dict[str, object]:
    return {
        "figure": figure.name,
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "figure_scored": figure.scored,
        "figure_unscored": figure.unscored,
        "worst": figure.worst,
        "best": figure.best,
        "most": figure.most,
        "chance": account.chances.get(figure.name),
    }


def _csv_published(row: Published) -> Iterator[dict[str, object]]:
    own = {
        "benchmark": row.benchmark,
        "split": row.measured.split,
        "model": row.name,
        "sampler": row.setting.sampler,
        "layout": row.setting.layout,
        "frames": row.frames or "",
        "judge": row.measured.judge,
        "published": NOT_RUN,
        "source": row.source,
    }
    for name, value in row.values.items():
        yield {**own, "figure": name, "value": value}


def _object(account: Account) -> dict[str, object]:
    counts, header = account.counts, account.header
    return {
        "name": account.name,
        "folder": account.folder,
        "header": header.to_json(),
        "rule": account.rule,
        "scoring": account.scoring,
        "judge": account.judge or None,
        "frames": account.frames,
        "tokens": account.tokens,
        "counts": {
            **{name: getattr(counts, name) for name in ("items", "asked", "scored", "failed", "unscored")},
            "unreadable": counts.unreadable,
            "kept_back": counts.kept_back,
            "missing": counts.missing,
            "coverage": counts.coverage,
        },
        "figures": [_figure(account, figure) for figure in account.figures],
        "notes": list(account.notes),
    }


def _published_object(row: Published) -> dict[str, object]:
    return {
        "id": row.id,
        "benchmark": row.benchmark,
        "model": row.name,
        "figures": dict(row.values),
        "frames": row.frames,
        "split": row.measured.split or None,
        "judge": row.measured.judge or None,
        "source": row.source,
        "differs": list(row.differs),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _escaped(text: str) -> str:
    """As a cell of markdown."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
