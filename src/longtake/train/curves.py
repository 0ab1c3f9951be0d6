"""train/curves: logs of stages, or losses by position, in; a picture of them out. Knows nothing of what was learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtake.errors import writing
from longtake.reports.drawing import require_plots

INK, QUIET_INK = "#1f2328", "#57606a"


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a stage's log, one for each step: where a training was stopped and went on, the newer one.

    The last line of a process that was killed may be half a line; it is left out, its step is taken again.
    """
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # half a line, and behind it what the next start wrote
            continue
        rows = {step: kept for step, kept in rows.items() if step < row["step"]} | {row["step"]: row}
    return list(rows.values())


def draw_curves(folder: Path, names: Sequence[str], path: Path) -> bool:
    """Draw the loss over the tokens of each stage into a PNG; false where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    began = 0
    for number, name in enumerate(names):
        rows = read_log(folder / f"{name}.jsonl")
        colour = f"C{number}"
        tokens = _ends(rows, began)
        axes.plot(tokens, [row["loss"] for row in rows], color=colour, label=f"{name}, training")
        marked = [(end, row["held_out_loss"]) for end, row in zip(tokens, rows, strict=True) if "held_out_loss" in row]
        if marked:
            xs, ys = zip(*marked, strict=True)
            axes.plot(xs, ys, "o--", color=colour, markersize=4, linewidth=1, label=f"{name}, held out")
        began = tokens[-1] if tokens else began
    axes.set_xlabel("tokens")
    axes.set_ylabel("loss, nats")
    axes.xaxis.set_major_formatter(_short)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)
    return True


def draw_by_position(rows: Sequence[dict[str, Any]], path: Path, *, title: str, trained: int) -> None:
    """Draw the loss of each stretch of positions, doubling to the right, into a PNG.

    Args:
        rows: as `perplexity.measure` tells them.
        trained: where what the model was trained to read ends; a line stands there if text goes beyond.

    Raises:
        LongtakeError: `environment.missing` without matplotlib; `disk.write`.
    """
    require_plots()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log", base=2)
    # A logarithm has no place for 0: the first stretch is drawn as wide as the second.
    left = [row["from"] or row["to"] / 2 for row in rows]
    told = [(start, row) for start, row in zip(left, rows, strict=True) if row["loss"] is not None]
    for start, row in told:
        colour = "#c8324b" if row["beyond"] else "#2f6e9e"
        axes.plot([start, row["to"]], [row["loss"]] * 2, color=colour, linewidth=3, solid_capstyle="butt")
        middle = (start * row["to"]) ** 0.5
        text = f"{row['loss']:.2f}"
        axes.annotate(
            text, (middle, row["loss"]), (0, 5), textcoords="offset points", ha="center", fontsize=8.5, color=INK
        )
    if trained < rows[-1]["to"]:
        axes.axvline(trained, color=INK, linewidth=1.4, linestyle=(0, (4, 2.5)))
        where: Any = axes.get_xaxis_transform()
        label = f"trained to read {trained:,} "
        axes.text(trained, 0.02, label, transform=where, ha="right", va="bottom", fontsize=8.5, color=INK)
    edges = sorted({*left, *(row["to"] for row in rows)})
    axes.set_xticks(
        edges, ["0" if edge == left[0] else f"{edge:,.0f}" for edge in edges], rotation=30 if len(edges) > 9 else 0
    )
    axes.set_xticks([], minor=True)
    losses = [row["loss"] for _, row in told]
    room = 0.15 * max(0.2, max(losses) - min(losses))
    axes.set_ylim(min(losses) - room, max(losses) + 1.6 * room)
    axes.set_xlabel("position of the last token read", color=QUIET_INK)
    axes.set_ylabel("loss of the next, nats", color=QUIET_INK)
    right: Any = axes.twinx()
    right.set_ylim(*axes.get_ylim())
    ticks = [tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
    right.set_yticks(ticks, [f"{2.718281828459045**tick:,.3g}" for tick in ticks])
    right.set_ylabel("perplexity", color=QUIET_INK)
    for both in (axes, right):
        both.tick_params(labelsize=8.5)
        both.spines["top"].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    with writing(str(path)):
        figure.savefig(path, facecolor="white")


def _ends(rows: Sequence[dict[str, Any]], began: int) -> list[int]:
    """The tokens seen at the end of each row."""
    ends = []
    for row in rows:
        began += row["tokens"]
        ends.append(began)
    return ends


def _short(tokens: float, place: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if tokens >= size:
            return f"{tokens / size:g}{letter}"
    return f"{tokens:g}"
