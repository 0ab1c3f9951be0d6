"""train/curves: logs of stages in, a picture of their losses out. Knows nothing of what was learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a stage's log, one for each step: where a training was stopped and went on, the newer one.

    The last line of a process that was killed may be half a line; it is left out, its step is taken again.
    """
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
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
