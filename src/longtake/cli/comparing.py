"""cli/comparing: folders of several needle runs in, one picture and one table out. Knows nothing of models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.cli.looking import suffix_fits
from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json, table
from longtake.errors import ErrorCode, LongtakeError


def compare_runs(folders: Sequence[str], titles: Sequence[str], output: str, *, show: Show) -> None:
    """`longtake niah-compare`: heatmaps side by side and the means of each run's columns.

    Args:
        folders: `--output`s of `longtake niah`.
        titles: one for each, or none: the folders' own names.
        output: the picture.
        show: whether JSON is printed.

    Raises:
        LongtakeError: `usage.bad_option`, `environment.missing`, `disk.write`.
    """
    from longtake.niah.heatmap import Caption, draw_heatmaps
    from longtake.niah.rows import read_rows
    from longtake.niah.running import SUMMARY
    from longtake.niah.scoring import summary_of

    suffix_fits(output)
    if titles and len(titles) != len(folders):
        reason = f"there are {len(titles)} titles for {len(folders)} folders"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--title", reason, "give one for each, in their order, or none")
    named = list(zip(titles or [Path(folder).resolve().name for folder in folders], folders, strict=True))
    rows = [read_rows(Path(folder)) for folder in folders]
    told = [_told(Path(folder) / SUMMARY) for folder in folders]
    captions = [
        Caption(title, str(one.get("haystack", {}).get("unit", "frames")), one.get("trained_frames"))
        for (title, _), one in zip(named, told, strict=True)
    ]
    draw_heatmaps(list(zip(rows, captions, strict=True)), Path(output))
    found = [
        {"title": title, "folder": folder, **summary_of(some)}
        for (title, folder), some in zip(named, rows, strict=True)
    ]
    if show.as_json:
        say_json({"picture": output, "runs": found})
    else:
        say(_table(found))
    if show.talks:
        remark(f"heatmaps are in {output}")


def _told(path: Path) -> Mapping[str, Any]:
    """A run's summary; nothing where it has not ended."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    """A line for each run: the forced score of each length, then the mean and what generation gets."""
    lengths = sorted({one["frames"] for run in found for one in run["frames"]})
    lines = [("", "trials", *(f"{length:,}" for length in lengths), "mean", "generated")]
    for run in found:
        columns = {one["frames"]: one["forced"]["share"] for one in run["frames"]}
        shares = (_share(columns.get(length)) for length in lengths)
        forced, generated = (run["mean"][score] for score in ("forced", "generated"))
        mean = f"{_share(forced['share'])} ({_share(forced['low'])} to {_share(forced['high'])})"
        lines.append((str(run["title"]), str(run["trials"]), *shares, mean, _share(generated["share"])))
    return table(lines)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
