"""cli/comparing: folders of several needle runs in, one picture and one table out. Knows nothing of models."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.looking import suffix_fits
from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json, table
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.niah import Row


@dataclass(frozen=True)
class Comparison:
    """Which runs are compared, and by what, as the user put it.

    Attributes:
        folders: `--output`s of `longtake niah`.
        titles: one for each, or none: the folders' own names.
        score: what is drawn, and told of each length.
        common: leave out what not every run asked.
    """

    folders: tuple[str, ...]
    titles: tuple[str, ...]
    score: str
    common: bool


def compare_runs(compared: Comparison, output: str, *, show: Show) -> None:
    """`longtake niah-compare`: heatmaps side by side and the means of each run's columns.

    Args:
        compared: the runs.
        output: the picture.
        show: whether JSON is printed.

    Raises:
        LongtakeError: `usage.bad_option`, `environment.missing`, `disk.write`.
    """
    from longtake.niah.heatmap import Caption, draw_heatmaps
    from longtake.niah.rows import SETTINGS, read_rows
    from longtake.niah.running import SUMMARY
    from longtake.niah.scoring import summary_of

    suffix_fits(output)
    folders, titles = compared.folders, compared.titles
    if titles and len(titles) != len(folders):
        reason = f"there are {len(titles)} titles for {len(folders)} folders"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--title", reason, "give one for each, in their order, or none")
    named = list(zip(titles or [Path(folder).resolve().name for folder in folders], folders, strict=True))
    rows = [read_rows(Path(folder)) for folder in folders]
    if compared.common:
        rows = _asked_by_all(rows, folders)
    told = [_told(Path(folder) / SUMMARY) for folder in folders]
    captions = [
        Caption(title, str(one.get("haystack", {}).get("unit", "frames")), one.get("trained_frames"), compared.score)
        for (title, _), one in zip(named, told, strict=True)
    ]
    draw_heatmaps(list(zip(rows, captions, strict=True)), Path(output))
    found = [
        {"title": title, "folder": folder, **summary_of(some)}
        for (title, folder), some in zip(named, rows, strict=True)
    ]
    notes = _other_symbols([(title, _told(Path(folder) / SETTINGS)) for title, folder in named])
    if show.as_json:
        say_json({"picture": output, "runs": found, "notes": notes})
    else:
        say(_table(found, compared.score))
    if show.talks:
        for note in notes:
            remark(note)
        remark(f"heatmaps are in {output}")


def _other_symbols(runs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Says which runs hid the like in the same films, but among other symbols: these are drawn beside all needles of
    a run, so that of ten needles and the same ten with ten more the haystacks differ.
    """
    alike: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for title, settings in runs:
        symbols = settings.get("distractors")
        if isinstance(symbols, dict) and "pictures" in symbols:
            films = [(file.get("name"), file.get("sha256")) for file in settings.get("haystack", ())]
            hay = repr((films, settings.get("every_frame"), settings.get("seed"), symbols.get("share")))
            alike[hay][symbols["pictures"]].append(title)
    advice = "the same needles and longest haystack would have drawn the same"
    differing = [" and ".join(map(", ".join, others.values())) for others in alike.values() if len(others) > 1]
    return [f"{titles} have other symbols in their haystacks: {advice}" for titles in differing]


def _told(path: Path) -> Mapping[str, Any]:
    """What a run wrote there; nothing where it has not come to that."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _asked_by_all(rows: Sequence[list[Row]], folders: Sequence[str]) -> list[list[Row]]:
    """Of each run, the rows of cells that every run has.

    Raises:
        LongtakeError: `usage.bad_option` if there are none.
    """
    common = set.intersection(*({row.key for row in some} for some in rows))
    if not common:
        advice = "compare runs over the same lengths, depths and needles, or leave --common out"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--common", f"{len(folders)} runs share no cell", advice)
    return [[row for row in some if row.key in common] for some in rows]


def _table(found: Sequence[Mapping[str, Any]], score: str) -> str:
    """A line for each run: the score of each length, its mean, and the mean of the other score."""
    lengths = sorted({one["frames"] for run in found for one in run["frames"]})
    other = "generated" if score == "forced" else "forced"
    lines = [("", "trials", *(f"{length:,}" for length in lengths), f"mean, {score}", other)]
    for run in found:
        columns = {one["frames"]: one[score]["share"] for one in run["frames"]}
        shares = (_share(columns.get(length)) for length in lengths)
        drawn = run["mean"][score]
        mean = f"{_share(drawn['share'])} ({_share(drawn['low'])} to {_share(drawn['high'])})"
        lines.append((str(run["title"]), str(run["trials"]), *shares, mean, _share(run["mean"][other]["share"])))
    return table(lines)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
