"""reports.drawing: accounts of runs in; plots by frames, by visual tokens and by category out. Sums up nothing itself.

Every point and bar has its 95 % interval, guessing is a dashed line, and what is published and was not run here is
hollow and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.evals.figures import Figure
from longtake.reports import Account
from longtake.reports.bars import draw_bars
from longtake.reports.published import NOT_RUN, Published, rows_of
from longtake.reports.styling import (
    COLOURS,
    DPI,
    INK,
    MARKERS,
    PALE,
    QUIET_INK,
    WIDE_IN,
    legend,
    names_of,
    plain,
    reach_of,
    title_of,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

BESIDE = 0.006
"""How far lines stand beside each other, as a share of the axis."""


@dataclass(frozen=True)
class Axis:
    """What runs are drawn over."""

    name: str
    label: str
    of: Callable[[Account], float | None]


AXES = (
    Axis("frames", "frames that the model saw, on average", lambda account: account.frames),
    Axis("tokens", "visual tokens that the model read, on average", lambda account: account.tokens),
)


def require_plots() -> None:
    """See that pictures can be drawn.

    Raises:
        LongtakeError: `environment.missing` without matplotlib.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        advice = 'pip install "longtake[plots]"'
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "matplotlib", "is needed to draw", advice) from error


def draw_report(
    accounts: Sequence[Account], folder: Path, *, published: bool = False
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Draw the plots of all benchmarks into a folder; the files, and what was left out and why.

    Raises:
        LongtakeError: `environment.missing` without matplotlib; `disk.write`.
    """
    require_plots()
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    files, left_out = [], []
    for benchmark in dict.fromkeys(account.header.benchmark for account in accounts):
        own = [one for one in accounts if one.header.benchmark == benchmark]
        beside = rows_of(benchmark) if published else ()
        name = re.sub(r"\W+", "_", benchmark)
        for axis in AXES:
            path = folder / f"{name}-by-{axis.name}.png"
            why = draw_line(own, axis, path, beside=beside)
            left_out.append(f"{path.name}: {why}") if why else files.append(path)
        path = folder / f"{name}-by-category.png"
        drawn = draw_bars(own, path)
        files += drawn
        left_out += [] if drawn else [f"{path.name}: nothing has a score"]
    return tuple(files), tuple(left_out)


def draw_line(accounts: Sequence[Account], axis: Axis, path: Path, *, beside: Sequence[Published] = ()) -> str:
    """Draw the chief figure over frames or tokens; says why not, where there is nothing to draw.

    Raises:
        LongtakeError: `disk.write`.
    """
    scored = [one for one in accounts if axis.of(one) and one.figures and one.figures[0].value is not None]
    if len({axis.of(one) for one in scored}) < 2:
        return f"fewer than two runs of the benchmark have a score and differ in {axis.name}"
    canvas = line_canvas(scored, axis, beside=beside)
    with writing(str(path)):
        canvas.savefig(path, facecolor="white")
    return ""


def line_canvas(accounts: Sequence[Account], axis: Axis, *, beside: Sequence[Published] = ()) -> Canvas:
    """The picture of `draw_line`, of runs that all have a place on the axis and a chief figure."""
    from matplotlib.figure import Figure as Canvas

    placed = [(float(axis.of(one) or 0), one) for one in accounts]
    chief = placed[0][1].figures[0]
    unit = unit_of(chief)
    series: dict[str, list[tuple[float, Account]]] = {}
    names = names_of([account for _, account in placed], apart=axis.name)
    for (at, account), name in zip(placed, names, strict=True):
        series.setdefault(name, []).append((at, account))
    canvas = Canvas(figsize=(WIDE_IN, 4.6), dpi=DPI, layout="constrained")
    axes = canvas.add_subplot()
    span = max(at for at, _ in placed) / min(at for at, _ in placed)
    for number, (name, points) in enumerate(series.items()):
        # Points of several lines at one place stand side by side, so that their intervals can be told apart.
        aside = span ** (BESIDE * (number - (len(series) - 1) / 2))
        drawn = [(at * aside, account) for at, account in sorted(points, key=lambda point: point[0])]
        _draw_series(axes, drawn, name, number, unit)
    told = [row for row in beside if row.frames and chief.name in row.values] if axis.name == "frames" else []
    _draw_published(axes, told, chief.name, unit)
    _draw_chance(axes, [one for _, one in placed], chief.name, unit)
    _dress(axes, accounts, chief, unit)
    _ticks(axes, sorted({at for at, _ in placed} | {float(row.frames or 0) for row in told}))
    halves = "; white inside: not all was asked" if any(one.counts.missing for _, one in placed) else ""
    axes.set_xlabel(f"{axis.label}{halves}", color=QUIET_INK)
    legend(canvas, axes)
    return canvas


def _draw_series(axes: Axes, points: Sequence[tuple[float, Account]], name: str, number: int, unit: float) -> None:
    figures = [account.figures[0] for _, account in points]
    values = [unit * (figure.value or 0) for figure in figures]
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.errorbar(
        [at for at, _ in points],
        values,
        yerr=reach_of(figures, values, unit),
        color=colour,
        marker=marker,
        markersize=5.5,
        linewidth=1.6,
        elinewidth=1.1,
        capsize=3,
        label=name,
        zorder=3,
    )
    for (at, account), value in zip(points, values, strict=True):
        if account.counts.missing:
            axes.plot([at], [value], marker=marker, markersize=5.5, color=colour, markerfacecolor="white", zorder=4)


def _draw_published(axes: Axes, rows: Sequence[Published], chief: str, unit: float) -> None:
    """Hollow points, joined where a paper has several of one model."""
    by_model: dict[str, list[Published]] = {}
    for row in rows:
        by_model.setdefault(row.setting.model, []).append(row)
    for number, (model, some) in enumerate(by_model.items()):
        some = sorted(some, key=lambda row: row.frames or 0)
        axes.plot(
            [row.frames or 0 for row in some],
            [unit * row.values[chief] for row in some],
            linestyle=(0, (1, 2)),
            linewidth=1.1,
            marker=MARKERS[number % len(MARKERS)],
            markersize=5.5,
            color=PALE,
            markerfacecolor="white",
            label=f"{model} ({some[0].paper.short}): {NOT_RUN}",
            zorder=2,
        )


def _draw_chance(axes: Axes, accounts: Sequence[Account], chief: str, unit: float) -> None:
    known = sorted({round(one.chances[chief], 4) for one in accounts if chief in one.chances})
    for chance in known[:1]:
        axes.axhline(unit * chance, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate(
            f"guessing, {unit * chance:.1f} %",
            (1, unit * chance),
            (-4, 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=INK,
        )


def _dress(axes: Axes, accounts: Sequence[Account], chief: Figure, unit: float) -> None:
    axes.set_title(title_of(accounts), loc="left", fontsize=11, color=INK, fontweight="bold")
    told = "per cent" if unit == 100 else f"of {chief.most:g}"
    axes.set_ylabel(f"{chief.name}, {told}, with 95 % interval", color=QUIET_INK)
    low, high = axes.get_ylim()
    room = 0.06 * (high - low)
    axes.set_ylim(max(0.0, low - room), min(unit * chief.most * 1.02, high + room))
    plain(axes, along="y")


def _ticks(axes: Axes, at: Sequence[float]) -> None:
    """A logarithmic axis with a tick at each place that is drawn, as far as their labels do not touch."""
    axes.set_xscale("log", base=2)
    span = max(at) / min(at)
    least = span ** (1 / 14)
    kept: list[float] = []
    for one in at:
        if not kept or one / kept[-1] >= least:
            kept.append(one)
    axes.set_xticks(kept, [f"{one:,.0f}" for one in kept], rotation=0 if len(kept) <= 9 else 30)
    axes.set_xticks([], minor=True)
    axes.set_xlim(min(at) / span**0.05 / 1.02, max(at) * span**0.05 * 1.02)
