"""measure.taking: what `longtake niah` left in a folder in; the same as a run, in a run's folder, out. Asks nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from longtake import parts
from longtake.errors import LongtakeError
from longtake.evals.needles import ASKED_BY, Outcome, Unit, read_outcomes, read_settings
from longtake.measure import Header, Row
from longtake.measure.grouping import read_sheet
from longtake.measure.rows import begin, read_run

SUMMARY = "summary.json"
UNKNOWN = "not told"


def take_in(name: str, unit: Unit, files: Path, out: Path) -> int:
    """Write the rows of a needle run as rows of the benchmark `name`; how many are new in `out`.

    A run that has gone on since it was taken in is taken in again, whole.

    Args:
        name: the benchmark's.
        unit: what its haystacks are counted in.
        files: the --output of `longtake niah`.
        out: the run's folder; made if need be.

    Raises:
        LongtakeError: `media.not_found`, `usage.bad_option`, `data.bad`, naming the line; `disk.write`.
    """
    benchmark = parts.find("evals.benchmarks", name)()
    outcomes = list(read_outcomes(files, unit))
    sheet = read_sheet(benchmark, files)
    for entry in sheet.entries:
        if isinstance(error := getattr(entry, "error", None), LongtakeError):
            raise error
    settings = read_settings(files)
    asked = [outcome.item.question for outcome in outcomes]
    header = Header(
        longtake=version("longtake"),
        benchmark=name,
        benchmark_options={},
        split=sheet.told,
        items=_cells(settings) or len(outcomes),
        digest=sheet.digest,
        model={
            "name": _model(files),
            "sha256": settings.get("weights", UNKNOWN),
            "dtype": settings.get("dtype", UNKNOWN),
        },
        parts={"layout": _told(settings.get("layout")), "rope": _told(settings.get("rope"))},
        prompt="published",
        example=asked[0],
        scoring=("letter",),
        more={"asked_by": ASKED_BY[unit], "settings": settings},
    )
    there = _there(out, header)
    folder = begin(out, header, anew=there is not None, way_out="give another --out, or remove that run")
    with folder.appending() as file:
        for number, outcome in enumerate(outcomes):
            file.add(_row(outcome, number))
    return len({outcome.item.id for outcome in outcomes} - (there or set()))


def _there(out: Path, header: Header) -> set[str] | None:
    """The questions of the same needle run that were taken in before; None where there is none.

    It may have gone on since: then it has more cells, and perhaps a summary.
    """
    try:
        run = read_run(out)
    except LongtakeError:
        return None
    same = run.header.benchmark == header.benchmark and run.header.more == json.loads(json.dumps(header.more))
    return {row.id for row in run.rows if row.error is None} if same else None


def _row(outcome: Outcome, number: int) -> Row:
    scored = {"judge": "longtake niah", "marks": dict(outcome.marks)} if outcome.marks else None
    return Row.of(
        outcome.item,
        number,
        asked=outcome.item.question,
        answer=outcome.said,
        error=outcome.error,
        frames=outcome.frames,
        tokens={"read": outcome.tokens},
        scored=scored,
    )


def _cells(settings: Mapping[str, Any]) -> int:
    """How many cells the run has, those that are not asked yet among them."""
    frames, depths, trials = settings.get("frames"), settings.get("depths"), settings.get("trials")
    if not (isinstance(frames, list) and isinstance(depths, list) and isinstance(trials, int)):
        return 0
    return len(frames) * len(depths) * trials


def _model(files: Path) -> str:
    """As the summary has it, which is written when all cells have been asked."""
    try:
        told = json.loads((files / SUMMARY).read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return UNKNOWN
    return Path(told).name if isinstance(told, str) else UNKNOWN


def _told(part: object) -> dict[str, Any] | None:
    """A part as niah's settings tell it, as a header does."""
    if not isinstance(part, dict) or "part" not in part:
        return None
    home, _, name = str(part["part"]).partition(":")
    own = home.split(".")[-1] if home.startswith("longtake.") else f"{home}:{name}"
    return {"name": own, "options": {key: value for key, value in part.items() if key != "part"}}
