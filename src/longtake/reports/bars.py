"""reports.bars: accounts of runs in; every figure of each as bars, with intervals and what guessing gets, out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.errors import writing
from longtake.reports import Account
from longtake.reports.styling import (
    COLOURS,
    DPI,
    INK,
    QUIET_INK,
    WIDE_IN,
    legend,
    names_of,
    plain,
    reach_of,
    short,
    so_far,
    title_of,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_BARS = 6
"""More runs than these are not readable side by side."""
MOST_FIGURES = 22
"""Of one picture with bars."""


def draw_bars(accounts: Sequence[Account], path: Path) -> list[Path]:
    """Draw every figure of each run as bars, one below the other; the files: several where there are many figures.

    Raises:
        LongtakeError: `disk.write`.
    """
    shown = [one for one in accounts if any(figure.value is not None for figure in one.figures)]
    files = []
    for number, names in enumerate(pages_of(shown), 1):
        page = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        canvas = bar_canvas(shown, names)
        with writing(str(page)):
            canvas.savefig(page, facecolor="white")
        files.append(page)
    return files


def pages_of(accounts: Sequence[Account]) -> list[list[str]]:
    """The names of figures that have a value, as many on a page as are readable; those of one kind stay together."""
    names = dict.fromkeys(one.name for account in accounts for one in account.figures if one.value is not None)
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.rpartition(": ")[0], []).append(name)
    pages: list[list[str]] = []
    for some in kinds.values():
        if pages and len(pages[-1]) + len(some) <= MOST_FIGURES:
            pages[-1] += some
        else:
            pages += [some[at : at + MOST_FIGURES] for at in range(0, len(some), MOST_FIGURES)]
    return pages


def bar_canvas(shown: Sequence[Account], wanted: Sequence[str]) -> Canvas:
    """One picture of `draw_bars`: the figures of these names, of runs that have scores."""
    from matplotlib.figure import Figure as Canvas

    left_out = shown[MOST_BARS:]
    shown = shown[:MOST_BARS]
    figures = {figure.name: figure for one in shown for figure in one.figures if figure.name in wanted}
    panels = [
        [name for name, figure in figures.items() if figure.most == most]
        for most in dict.fromkeys(figure.most for figure in figures.values())
    ]
    heights = [len(panel) * (0.2 + 0.115 * len(shown)) + 0.55 for panel in panels]
    canvas = Canvas(figsize=(WIDE_IN, sum(heights) + 0.85 + 0.2 * len(shown)), dpi=DPI, layout="constrained")
    places = canvas.subplots(len(panels), 1, squeeze=False, height_ratios=heights).flatten()
    names = [name + so_far(one) for name, one in zip(names_of(shown), shown, strict=True)]
    for axes, panel in zip(places, panels, strict=True):
        _draw_panel(axes, shown, names, panel)
    places[0].set_title(title_of(shown), loc="left", fontsize=11, color=INK, fontweight="bold")
    legend(canvas, places[0])
    if left_out:
        places[-1].set_xlabel(f"{places[-1].get_xlabel()}; the first {MOST_BARS} runs of {MOST_BARS + len(left_out)}")
    return canvas


def _draw_panel(axes: Axes, accounts: Sequence[Account], names: Sequence[str], panel: Sequence[str]) -> None:
    """Bars of the figures that have one scale."""
    thick, most = 0.82 / len(accounts), 0.0
    counted: dict[str, set[int]] = {}
    for number, (account, name) in enumerate(zip(accounts, names, strict=True)):
        found = {figure.name: figure for figure in account.figures if figure.value is not None}
        rows = [place for place, one in enumerate(panel) if one in found]
        figures = [found[panel[place]] for place in rows]
        unit = unit_of(figures[0]) if figures else 1.0
        values = [unit * (figure.value or 0) for figure in figures]
        at = [place + (number - (len(accounts) - 1) / 2) * thick for place in rows]
        axes.barh(at, values, height=thick * 0.9, color=COLOURS[number % len(COLOURS)], label=name, zorder=2)
        reach = reach_of(figures, values, unit)
        axes.errorbar(values, at, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2, zorder=3)
        for figure in figures:
            most = max(most, unit * figure.most)
            counted.setdefault(figure.name, set()).add(figure.scored)
    _chance_marks(axes, accounts, panel)
    labels = [f"{short(name)}\nn {_counts(counted.get(name, set()))}" for name in panel]
    axes.set_yticks(range(len(panel)), labels, fontsize=8.5, color=INK, linespacing=1.05)
    axes.set_ylim(len(panel) - 0.45, -0.55)
    axes.set_xlim(0, 1.01 * most)
    axes.set_xlabel("right, per cent, with 95 % intervals" if most == 100 else "mean score, with 95 % intervals")
    axes.xaxis.label.set_color(QUIET_INK)
    plain(axes, along="x")


def _chance_marks(axes: Axes, accounts: Sequence[Account], panel: Sequence[str]) -> None:
    """A dashed stroke across the bars of each figure, where guessing would end."""
    told = False
    for place, name in enumerate(panel):
        known = [account.chances[name] for account in accounts if name in account.chances]
        if known:
            label = "_" if told else "guessing"
            axes.vlines(
                100 * known[0], place - 0.46, place + 0.46, color=INK, linewidth=1.3, linestyle=(0, (2.2, 1.2)),
                label=label, zorder=4,
            )  # fmt: skip
            told = True


def _counts(counts: set[int]) -> str:
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
