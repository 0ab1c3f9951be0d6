"""reports.drawing: accounts of runs in; plots by frames, by visual tokens and by category out. Sums up nothing itself.

Every point and bar has its 95 % interval, guessing is a dashed line, and what is published and was not run here is
hollow and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.evals.figures import Figure
from longtake.reports import Account
from longtake.reports.published import NOT_RUN, Published, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
"""Told apart by those who see few colours too (Okabe and Ito 2008), then grey."""
MARKERS = "osD^vPX"
INK, QUIET_INK, PALE = "#1f2328", "#57606a", "#8c959f"
DPI, WIDE_IN = 160, 8.0
MOST_BARS = 6
"""More runs than these are not readable side by side."""
BESIDE = 0.006
"""How far lines stand beside each other, as a share of the axis."""
MOST_FIGURES = 22
"""Of one picture with bars."""
MOST_LETTERS = 34
"""Of a label; longer ones are cut in their middle."""


@dataclass(frozen=True)
class Axis:
    """What runs are drawn over."""

    name: str
    label: str
    of: Callable[[Account], float | None]


AXES = (
    Axis("frames", "frames that the model saw", lambda account: account.frames),
    Axis("tokens", "visual tokens that the model read", lambda account: account.tokens),
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
    unit = _unit(chief)
    series: dict[str, list[tuple[float, Account]]] = {}
    names = _names([account for _, account in placed], apart=axis.name)
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
    _legend(canvas, axes)
    return canvas


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
    names = [name + _so_far(one) for name, one in zip(_names(shown), shown, strict=True)]
    for axes, panel in zip(places, panels, strict=True):
        _draw_panel(axes, shown, names, panel)
    places[0].set_title(_title(shown), loc="left", fontsize=11, color=INK, fontweight="bold")
    _legend(canvas, places[0])
    if left_out:
        places[-1].set_xlabel(f"{places[-1].get_xlabel()}; the first {MOST_BARS} runs of {MOST_BARS + len(left_out)}")
    return canvas


def _so_far(account: Account) -> str:
    counts = account.counts
    return f" ({counts.asked:,} of {counts.items:,} asked)" if counts.missing else ""


def _draw_series(axes: Axes, points: Sequence[tuple[float, Account]], name: str, number: int, unit: float) -> None:
    figures = [account.figures[0] for _, account in points]
    values = [unit * (figure.value or 0) for figure in figures]
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.errorbar(
        [at for at, _ in points],
        values,
        yerr=_reach(figures, values, unit),
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


def _draw_panel(axes: Axes, accounts: Sequence[Account], names: Sequence[str], panel: Sequence[str]) -> None:
    """Bars of the figures that have one scale."""
    thick, most = 0.82 / len(accounts), 0.0
    counted: dict[str, set[int]] = {}
    for number, (account, name) in enumerate(zip(accounts, names, strict=True)):
        found = {figure.name: figure for figure in account.figures if figure.value is not None}
        rows = [place for place, one in enumerate(panel) if one in found]
        figures = [found[panel[place]] for place in rows]
        unit = _unit(figures[0]) if figures else 1.0
        values = [unit * (figure.value or 0) for figure in figures]
        at = [place + (number - (len(accounts) - 1) / 2) * thick for place in rows]
        axes.barh(at, values, height=thick * 0.9, color=COLOURS[number % len(COLOURS)], label=name, zorder=2)
        reach = _reach(figures, values, unit)
        axes.errorbar(values, at, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2, zorder=3)
        for figure in figures:
            most = max(most, unit * figure.most)
            counted.setdefault(figure.name, set()).add(figure.scored)
    _chance_marks(axes, accounts, panel)
    labels = [f"{_short(name)}\nn {_counts(counted.get(name, set()))}" for name in panel]
    axes.set_yticks(range(len(panel)), labels, fontsize=8.5, color=INK, linespacing=1.05)
    axes.set_ylim(len(panel) - 0.45, -0.55)
    axes.set_xlim(0, 1.01 * most)
    axes.set_xlabel("right, per cent, with 95 % intervals" if most == 100 else "mean score, with 95 % intervals")
    axes.xaxis.label.set_color(QUIET_INK)
    _plain(axes, along="x")


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


def _reach(figures: Sequence[Figure], values: Sequence[float], unit: float) -> Any:
    """How far intervals go below and above."""
    pairs = list(zip(figures, values, strict=True))
    below = [max(0.0, value - unit * _or(figure.low, figure.value)) for figure, value in pairs]
    above = [max(0.0, unit * _or(figure.high, figure.value) - value) for figure, value in pairs]
    return [below, above]


def _or(bound: float | None, value: float | None) -> float:
    return bound if bound is not None else value or 0.0


def _dress(axes: Axes, accounts: Sequence[Account], chief: Figure, unit: float) -> None:
    axes.set_title(_title(accounts), loc="left", fontsize=11, color=INK, fontweight="bold")
    told = "per cent" if unit == 100 else f"of {chief.most:g}"
    axes.set_ylabel(f"{chief.name}, {told}, with 95 % interval", color=QUIET_INK)
    low, high = axes.get_ylim()
    room = 0.06 * (high - low)
    axes.set_ylim(max(0.0, low - room), min(unit * chief.most * 1.02, high + room))
    _plain(axes, along="y")


def _title(accounts: Sequence[Account]) -> str:
    splits = dict.fromkeys(account.header.split for account in accounts)
    return f"{accounts[0].title} ({'; and '.join(splits)})"


def _plain(axes: Axes, *, along: Any) -> None:
    axes.grid(axis=along, alpha=0.3, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, length=2.5, color=PALE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


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


def _legend(canvas: Any, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > 40 else 2
    canvas.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK)


def _names(accounts: Sequence[Account], *, apart: str = "") -> list[str]:
    """What tells each from the others: model, layout and so on, but for what all have in common.

    Args:
        apart: what is drawn over, and so tells points of one line apart; "" if every account is to be told from all
            others, if need be by its run's name.
    """
    told = [
        {
            "model": one.model,
            "sampler": one.part("sampler"),
            "layout": one.part("layout"),
            "rope": one.part("rope"),
            "method": one.part("method"),
            "prompt": f"prompt {one.header.prompt}",
            "way": one.way,
            "frames": "" if apart or one.frames is None else f"{one.frames:,.4g} frames",
        }
        for one in accounts
    ]
    kept = [name for name in told[0] if name in ("model", "layout") or len({one[name] for one in told}) > 1]
    names = [", ".join(one[name] for name in kept if one[name]) for one in told]
    at = {"frames": [one.frames for one in accounts], "tokens": [one.tokens for one in accounts]}.get(apart)
    apart_already = names if at is None else list(zip(names, at, strict=True))
    if len(set(apart_already)) == len(names):
        return names
    return [f"{name}, {one.name}" for name, one in zip(names, accounts, strict=True)]


def _short(name: str) -> str:
    if len(name) <= MOST_LETTERS:
        return name
    half = MOST_LETTERS // 2 - 1
    return f"{name[:half]}...{name[-half:]}"


def _unit(figure: Figure) -> float:
    return 100.0 if figure.most == 1 else 1.0
