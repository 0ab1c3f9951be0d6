"""niah.heatmap: rows in, a picture of how often needles are found out: lengths across, depths down. Knows no model.

In the style of LongVA's V-NIAH figure (arXiv 2406.16852, section 5): red is never found, green always, and below each
column stands its mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.niah import Row
from longtake.niah.scoring import SCORES, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#c8324b", "#e8784a", "#f6c85f", "#9fcf6d", "#2f9e6e")
"""From never to always."""
FAILED_COLOUR, INK, QUIET_INK = "#c9ccd1", "#1f2328", "#57606a"
MOST_WIDTH_IN, DPI = 10.0, 160
"""1,600 pixels across: sharp at twice the width of a README."""
LETTER_IN, MEAN_IN = 0.11, 3.4
"""Width of a bold letter of the title, and of the mean with its interval and the depths' labels."""
MOST_COLUMNS_IN_HALF = 6
"""So many columns are readable in half of that."""


@dataclass(frozen=True)
class Caption:
    """What stands around the picture.

    Attributes:
        title: above it.
        unit: of the columns: frames or tokens.
        trained: the last length that the model was trained to read; None draws no line.
        score: one of SCORES.
    """

    title: str
    unit: str = "frames"
    trained: int | None = None
    score: str = "forced"


def draw_heatmap(rows: Sequence[Row], path: Path, caption: Caption) -> None:
    """Write the picture as PNG; a cell without any score is grey and hatched.

    Raises:
        LongtakeError: `environment.missing` without matplotlib; `disk.write`.
    """
    draw_heatmaps([(rows, caption)], path)


def draw_heatmaps(panels: Sequence[tuple[Sequence[Row], Caption]], path: Path) -> None:
    """Write several of them as one PNG: one below the other where they have many columns, else two in a line.

    Raises:
        LongtakeError: `environment.missing` without matplotlib; `disk.write`.
    """
    lengths = max(len({row.frames for row in rows}) for rows, _ in panels)
    depths = max(len({row.depth for row in rows}) for rows, _ in panels)
    in_a_line = 1 if len(panels) == 1 or lengths > MOST_COLUMNS_IN_HALF else 2
    lines = -(-len(panels) // in_a_line)
    wide_in = MOST_WIDTH_IN if in_a_line == 2 else min(MOST_WIDTH_IN, 3.4 + 0.6 * max(4, lengths))
    size_in = wide_in, lines * (1.75 + 0.42 * max(3, depths))
    figure = _figure()(figsize=size_in, dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(hspace=0.06, wspace=0.04)
    places = figure.subplots(lines, in_a_line, squeeze=False).flatten()
    for axes, (rows, caption) in zip(places, panels, strict=False):
        _draw_panel(axes, rows, caption, wide_in=wide_in / in_a_line)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    with writing(str(path)):
        figure.savefig(path, facecolor="white")


def _draw_panel(axes: Axes, rows: Sequence[Row], caption: Caption, *, wide_in: float) -> None:
    frames = sorted({row.frames for row in rows})
    depths = sorted({row.depth for row in rows})
    _draw_cells(axes, _shares(rows, frames, depths, caption.score))
    _label(axes, frames, depths, caption.unit)
    _draw_means(axes, rows, frames, caption.score)
    _draw_trained(axes, frames, caption.trained, caption.unit)
    scored = share_of(rows, SCORES[caption.score])
    low, high = scored.interval
    mean = "nothing scored" if scored.share is None else f"mean {scored.share:.1%} ({low:.1%} to {high:.1%})"
    # A title that would run into the mean goes one line higher.
    pad = 20 if len(caption.title) * LETTER_IN + MEAN_IN < wide_in else 36
    axes.set_title(caption.title, loc="left", fontsize=12, color=INK, fontweight="bold", pad=pad)
    axes.annotate(
        mean,
        (1, 1),
        (0, 20),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=9.5,
        color=QUIET_INK,
    )


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        advice = 'pip install "longtake[plots]"'
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "matplotlib", "is needed to draw", advice) from error
    return Figure


def _shares(rows: Sequence[Row], frames: Sequence[int], depths: Sequence[float], score: str) -> NDArray[np.float64]:
    """(depths, frames) shares of right answers; NaN where nothing was scored."""
    shares = np.full((len(depths), len(frames)), np.nan)
    by_cell: dict[tuple[float, int], list[Row]] = {}
    for row in rows:
        by_cell.setdefault((row.depth, row.frames), []).append(row)
    for (depth, length), some in by_cell.items():
        share = share_of(some, SCORES[score]).share
        if share is not None:
            shares[depths.index(depth), frames.index(length)] = share
    return shares


def _draw_cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = LinearSegmentedColormap.from_list("found", COLOURS)
    axes.pcolormesh(np.ma.masked_invalid(shares), cmap=colours, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for depth, column in np.argwhere(np.isnan(shares)):
        axes.add_patch(
            Rectangle((column, depth), 1, 1, facecolor=FAILED_COLOUR, edgecolor="white", hatch="///", linewidth=1.5)
        )
    size = 8.5 if shares.shape[1] <= 16 else 6.5
    for depth, column in np.argwhere(np.nan_to_num(shares, nan=1.0) < 1):
        share = shares[depth, column]
        ink = "white" if share < 0.25 else INK
        axes.text(column + 0.5, depth + 0.5, f"{share:.0%}", ha="center", va="center", fontsize=size, color=ink)
    axes.invert_yaxis()


def _label(axes: Axes, frames: Sequence[int], depths: Sequence[float], unit: str) -> None:
    axes.set_xticks(np.arange(len(frames)) + 0.5, [f"{one:,}" for one in frames], fontsize=9, color=INK)
    axes.set_yticks(np.arange(len(depths)) + 0.5, [f"{one:.0%}" for one in depths], fontsize=9, color=INK)
    axes.set_xlabel(f"{unit} in the haystack, and the mean of each column", fontsize=9.5, color=QUIET_INK, labelpad=8)
    axes.set_ylabel("depth of the needle", fontsize=9.5, color=QUIET_INK, labelpad=8)
    axes.tick_params(length=0, pad=5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_means(axes: Axes, rows: Sequence[Row], frames: Sequence[int], score: str) -> None:
    """The mean of each column, as a second line of its label."""
    labels = []
    for one in frames:
        share = share_of([row for row in rows if row.frames == one], SCORES[score]).share
        labels.append(f"{one:,}\n" + ("-" if share is None else f"{100 * share:.1f}".removesuffix(".0") + "%"))
    axes.set_xticklabels(labels, linespacing=1.7)


def _draw_trained(axes: Axes, frames: Sequence[int], trained: int | None, unit: str) -> None:
    """A line left of the first column that is longer than what the model was trained to read."""
    if trained is None or trained >= frames[-1]:
        return
    at = sum(one <= trained for one in frames)
    axes.axvline(at, color=INK, linewidth=1.8, linestyle=(0, (4, 2.5)), clip_on=False)
    side: Any = "left" if at <= len(frames) / 2 else "right"
    axes.annotate(
        f"trained to read {trained:,} {unit}",
        (at, 0),
        (3 if side == "left" else -3, 5),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=8.5,
        color=INK,
        annotation_clip=False,
    )
