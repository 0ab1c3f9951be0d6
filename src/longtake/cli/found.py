"""cli/found: rows of a needle run in; table, heatmap and summary out. Knows nothing of how they were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json, table
from longtake.cli.partial import end_partial
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.niah import Row
    from longtake.niah.running import Run

HEATMAP = "heatmap.png"


def report(run: Run, rows: Sequence[Row], origin: Mapping[str, object], *, title: str, show: Show) -> None:
    """Write summary and heatmap into the run's folder and print the summary.

    Without matplotlib there is no heatmap, and a remark says how to get it: the rows took hours, the picture seconds.

    Args:
        run: that the rows are of.
        rows: all of them.
        origin: what the haystack is made of; `unit`, where there is one, is what its length is counted in.
        title: of the heatmap.
        show: whether JSON is printed.

    Raises:
        LongtakeError: `partial.failed` if cells could not be read; `disk.write`.
        typer.Exit: the same status with --json, where the summary says it all.
    """
    from longtake.niah.heatmap import Caption, draw_heatmap

    unit = str(origin.get("unit", "frames"))
    summary = run.summary(rows, haystack=origin)
    if show.as_json:
        say_json(summary)
    else:
        say(_table(summary, unit))
    try:
        draw_heatmap(rows, run.folder.path / HEATMAP, Caption(title, unit, run.plan.trained_frames))
    except LongtakeError as error:
        if error.code is not ErrorCode.ENVIRONMENT_MISSING:
            raise
        remark(f"no {HEATMAP}: {error.subject} {error.reason} ({error.advice})")
    if show.talks:
        remark(f"rows, summary and heatmap are in {run.folder.path}")
    _refuse_failures(run, rows, show)


def _refuse_failures(run: Run, rows: Sequence[Row], show: Show) -> None:
    failed = sum(row.error is not None for row in rows)
    if not failed:
        return
    reason = f"{failed:,} of {len(rows):,} cells could not be read; rows.jsonl says why"
    advice = "run the same command again to ask them once more"
    end_partial(str(run.folder.path), reason, advice, show=show)


def _table(summary: Mapping[str, Any], unit: str) -> str:
    """Columns, rows and mean, each with its Wilson 95 % interval."""
    lines = [("", "asked", "forced", "generated")]
    lines += [_line(f"{one['frames']:,} {unit}", one) for one in summary["frames"]]
    lines += [_line(f"depth {one['depth']:.0%}", one) for one in summary["depths"]]
    lines.append(_line("mean", summary["mean"]))
    told = table(lines)
    if summary["trained_frames"] is not None:
        reads = f"{summary['trained_context']:,} tokens, {summary['trained_frames']:,} {unit}"
        told += f"\nthis model was trained to read {reads}; what is longer lies beyond"
    return told


def _line(label: str, scores: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return label, str(scores["forced"]["asked"]), _told(scores["forced"]), _told(scores["generated"])


def _told(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "-"
    return f"{share['share']:6.1%}  ({share['low']:.1%} to {share['high']:.1%})"
