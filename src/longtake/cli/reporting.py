"""cli/reporting: folders of runs in; tables on the terminal, files and plots out. Sums up nothing itself."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.partial import end_partial
from longtake.errors import writing

if TYPE_CHECKING:
    from longtake.reports import Account, Rule
    from longtake.reports.tables import Table

WIDE = 200
"""Columns of a table that goes to a file or a pipe."""


@dataclass(frozen=True)
class Wanted:
    """Which runs are summed up, how, and what is written, as the user put it."""

    folders: tuple[str, ...]
    scoring: Literal["right", "released", "both"]
    judges: tuple[str, ...]
    published: bool
    markdown: str | None
    csv: str | None
    plots: str | None

    @property
    def rules(self) -> Sequence[Rule]:
        """The same, one by one."""
        return ("right", "released") if self.scoring == "both" else (self.scoring,)


def report_runs(wanted: Wanted, *, show: Show) -> None:
    """`longtake eval report`: what is lacking first, then tables; files beside.

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`, `environment.missing`, `disk.write`; `partial.failed`, after all
            is told, where a question of some run is not asked, failed or has no score.
    """
    from longtake.reports.accounting import accounts_of
    from longtake.reports.tables import as_csv, as_objects, lacking, markdown, tables_of

    if wanted.plots:
        from longtake.reports.drawing import require_plots

        require_plots()
    accounts: list[Account] = []
    for folder in dict.fromkeys(wanted.folders):
        accounts += accounts_of(Path(folder), rules=wanted.rules, judges=wanted.judges)
    lack = lacking(accounts)
    if show.as_json:
        say_json(as_objects(accounts, published=wanted.published))
    else:
        for line in lack:
            say(line)
        for table in tables_of(accounts, published=wanted.published):
            say(drawn(table))
    _write(wanted.markdown, markdown(accounts, published=wanted.published))
    _write(wanted.csv, as_csv(accounts, published=wanted.published))
    if wanted.plots:
        _plot(accounts, wanted, show)
    end_lacking([one.folder for one in accounts if lacking([one])], show=show)


def end_lacking(folders: Sequence[str], *, show: Show) -> None:
    """Ends with `partial.failed` for runs in which anything is lacking.

    Raises:
        LongtakeError: `partial.failed`.
    """
    if folders:
        reason = "not every question was asked, read and scored"
        advice = "go on with longtake eval or longtake eval judge; they count neither as right nor as wrong"
        end_partial(", ".join(dict.fromkeys(folders)), reason, advice, show=show)


def drawn(table: Table) -> str:
    """A table as text, as wide as the terminal, or as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    if not table.head:
        return "\n".join((table.title, *table.notes)) + "\n"
    fancy = "utf" in (sys.stdout.encoding or "utf-8").lower()
    made = RichTable(box=box.SIMPLE_HEAD if fancy else box.ASCII2, title=None, pad_edge=False)
    numbers = [all(not row[place] or row[place][0] in "-0123456789" for row in table.rows) for place in _places(table)]
    for name, right in zip(table.head, numbers, strict=True):
        made.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*map(Text, row))
    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    text = io.StringIO()
    Console(file=text, width=wide, color_system=None, legacy_windows=False).print(made)
    lines = [table.title, *(line.rstrip() for line in text.getvalue().splitlines()), *table.notes]
    return "\n".join(line for line in lines if line) + "\n"


def _places(table: Table) -> range:
    return range(len(table.head))


def _write(name: str | None, text: str) -> None:
    if name:
        with writing(name):
            Path(name).write_text(text, encoding="utf-8")


def _plot(accounts: Sequence[Account], wanted: Wanted, show: Show) -> None:
    from longtake.reports.drawing import draw_report

    drawn_files, left_out = draw_report(accounts, Path(str(wanted.plots)), published=wanted.published)
    if show.talks:
        for path in drawn_files:
            remark(f"drawn: {path}")
        for why in left_out:
            remark(f"not drawn: {why}")
