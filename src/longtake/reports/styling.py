"""reports.styling: what the plots have in common: colours, names of runs, titles, legends. Knows no figure by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from longtake.evals.figures import Figure
from longtake.reports import Account

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
"""Told apart by those who see few colours too (Okabe and Ito 2008), then grey."""
MARKERS = "osD^vPX"
INK, QUIET_INK, PALE = "#1f2328", "#57606a", "#8c959f"
DPI, WIDE_IN = 160, 8.0
SPACING = ("frames", "seconds", "fps")
"""Options of samplers that say how many frames are seen: what runs of one line differ in."""
MOST_LETTERS = 34
"""Of a label; longer ones are cut in their middle."""


def so_far(account: Account) -> str:
    counts = account.counts
    return f" ({counts.asked:,} of {counts.items:,} asked)" if counts.missing else ""


def reach_of(figures: Sequence[Figure], values: Sequence[float], unit: float) -> Any:
    """How far intervals go below and above."""
    pairs = list(zip(figures, values, strict=True))
    below = [max(0.0, value - unit * _or(figure.low, figure.value)) for figure, value in pairs]
    above = [max(0.0, unit * _or(figure.high, figure.value) - value) for figure, value in pairs]
    return [below, above]


def _or(bound: float | None, value: float | None) -> float:
    return bound if bound is not None else value or 0.0


def title_of(accounts: Sequence[Account]) -> str:
    splits = dict.fromkeys(account.header.split for account in accounts)
    return f"{accounts[0].title} ({'; and '.join(splits)})"


def plain(axes: Axes, *, along: Any) -> None:
    axes.grid(axis=along, alpha=0.3, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, length=2.5, color=PALE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(canvas: Any, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > 40 else 2
    canvas.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK)


def names_of(accounts: Sequence[Account], *, apart: str = "") -> list[str]:
    """What tells each from the others: model, layout and so on, but for what all have in common. Parts are told with
    those of their options that are not the defaults; models of one name by the beginning of their SHA-256.

    Args:
        apart: what is drawn over, and so tells points of one line apart; "" if every account is to be told from all
            others, if need be by its run's name.
    """
    # A layout of pictures tells nothing more where each layout of videos has its own.
    laid = {(one.part("layout"), one.part("image_layout")) for one in accounts}
    pictures = len(laid) > len({layout for layout, _ in laid})
    known = [str(one.header.model.get("sha256", "")) for one in accounts]
    of_name: dict[str, set[str]] = {}
    for one, weights in zip(accounts, known, strict=True):
        of_name.setdefault(one.model, set()).add(weights)
    told = [
        {
            "model": one.model + (f" {weights[:8]}" if len(of_name[one.model]) > 1 else ""),
            "sampler": one.part("sampler", but=SPACING if apart else ("frames",)),
            "layout": one.part("layout"),
            "images": f"pictures {one.part('image_layout')}" if pictures else "",
            "rope": one.part("rope"),
            "method": one.part("method"),
            "prompt": f"prompt {one.header.prompt}",
            "way": one.way,
            "frames": "" if apart or one.frames is None else f"{one.frames:,.4g} frames",
        }
        for one, weights in zip(accounts, known, strict=True)
    ]
    kept = [name for name in told[0] if name in ("model", "layout") or len({one[name] for one in told}) > 1]
    names = [", ".join(one[name] for name in kept if one[name]) for one in told]
    at = {"frames": [one.frames for one in accounts], "tokens": [one.tokens for one in accounts]}.get(apart)
    apart_already = names if at is None else list(zip(names, at, strict=True))
    if len(set(apart_already)) == len(names):
        return names
    return [f"{name}, {one.name}" for name, one in zip(names, accounts, strict=True)]


def short(name: str) -> str:
    if len(name) <= MOST_LETTERS:
        return name
    half = MOST_LETTERS // 2 - 1
    return f"{name[:half]}...{name[-half:]}"


def unit_of(figure: Figure) -> float:
    return 100.0 if figure.most == 1 else 1.0
