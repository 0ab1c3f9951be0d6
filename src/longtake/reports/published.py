"""reports.published: what papers report, from one file with sources, in; rows of it out. None of it was run here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from longtake.reports import Account

NOT_RUN = "published, not run here"
"""Stands wherever a published figure does."""


@dataclass(frozen=True)
class Paper:
    """Where figures come from.

    Attributes:
        script: the file of recipes/papers that has its commands.
    """

    title: str
    short: str
    arxiv: str
    script: str


@dataclass(frozen=True)
class Setting:
    """What was measured: a checkpoint and how it was run, as far as that is known.

    Attributes:
        frames: that were seen; None where that is not known, or differs from row to row.
        run_frames: that a command takes where the paper's number is not known.
        set: further options, as `--set` takes them.
        choice_template: for questions of multiple choice, where it is not the family's own.
        differs: what is known to be otherwise when longtake runs it.
    """

    model: str
    checkpoint: str
    sampler: str = ""
    layout: str = ""
    frames: int | None = None
    run_frames: int | None = None
    rope: str = ""
    set: tuple[str, ...] = ()
    choice_template: str = ""
    dtype: str = ""
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """How a benchmark was measured by the papers.

    Attributes:
        split: of the question file that was used, as longtake tells it; "" where that is not known.
        questions: how many it has; None likewise.
        videos: different ones in it, counted; None likewise.
        judge: who marked open answers; "" where nobody did, or it is not known.
        files: what was read.
        differs: what is known to be otherwise.
    """

    split: str = ""
    questions: int | None = None
    videos: int | None = None
    judge: str = ""
    files: str = ""
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """One row of a paper's table.

    Attributes:
        id: tells it from all others: `longva/video_mme/8`.
        table: which it stands in, by what that shows.
        percent: shares, in per cent, by the name of the benchmark's figure.
        scores: other figures, as they are.
        frames: that were seen; None where that is not known.
        run_frames: as of a `Setting`.
        distractors: of a needle in text.
        variant: what tells it from the setting's other rows.
    """

    id: str
    paper: Paper
    table: str
    setting: Setting
    benchmark: str
    measured: Measured
    percent: Mapping[str, float]
    scores: Mapping[str, float]
    frames: int | None = None
    run_frames: int | None = None
    distractors: int | None = None
    variant: str = ""

    @property
    def source(self) -> str:
        """Paper, table and number on arXiv."""
        return f"{self.paper.short}, arXiv {self.paper.arxiv}: {self.table}"

    @property
    def name(self) -> str:
        """What the row is of."""
        own = self.frames not in (None, self.setting.frames) and self.measured.questions is not None
        frames = f", {self.frames} frames" if own else ""
        return f"{self.setting.model}{frames}" + (f", {self.variant}" if self.variant else "")

    @property
    def values(self) -> Mapping[str, float]:
        """All figures, shares between 0 and 1."""
        return {**{name: round(value / 100, 6) for name, value in self.percent.items()}, **self.scores}

    @property
    def differs(self) -> tuple[str, ...]:
        """What is known to be otherwise when longtake runs it."""
        return (*self.measured.differs, *self.setting.differs)


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the file's order."""
    text = files("longtake.reports").joinpath("published.toml").read_text(encoding="utf-8")
    told = tomllib.loads(text)
    papers = {name: Paper(**one) for name, one in told["papers"].items()}
    settings = {name: Setting(**_tuples(one)) for name, one in told["settings"].items()}
    measured = {name: Measured(**_tuples(one)) for name, one in told["benchmarks"].items()}
    return tuple(_row(row, papers, settings, measured) for row in told["rows"])


def rows_of(benchmark: str) -> tuple[Published, ...]:
    """What is published of a benchmark."""
    return tuple(row for row in published() if row.benchmark == benchmark)


def otherwise(rows: Sequence[Published], accounts: Sequence[Account]) -> tuple[str, ...]:
    """What is known to be otherwise between published rows and runs of the same benchmark: splits, judges, frames, and
    what the rows say themselves.
    """
    told = []
    splits, judges = _each(row.measured.split for row in rows), _each(row.measured.judge for row in rows)
    own_splits = _each(account.header.split for account in accounts)
    own_judges = _each(account.judge or "nobody yet" for account in accounts)
    if splits and splits != own_splits:
        told.append(f"published of {' and '.join(splits)}; runs here of {' and '.join(own_splits)}")
    if judges and judges != own_judges:
        told.append(f"published by the judge {' and '.join(judges)}; here {' and '.join(own_judges)}")
    seen = {round(account.frames) for account in accounts if account.frames is not None}
    unlike = [row.name for row in rows if row.frames and row.frames not in seen and row.measured.questions]
    if unlike:
        told.append(f"no run here saw as many frames as {'; '.join(unlike)}")
    told += _each(note for row in rows for note in row.measured.differs)
    of = {note: _each(row.setting.model for row in rows if note in row.setting.differs) for note in _own(rows)}
    return (*told, *(f"{', '.join(models)}: {note}" for note, models in of.items()))


def _own(rows: Sequence[Published]) -> list[str]:
    return _each(note for row in rows for note in row.setting.differs)


def _each(values: Iterable[str]) -> list[str]:
    """Those that say something, each once."""
    return [value for value in dict.fromkeys(values) if value]


def _row(
    row: Mapping[str, Any], papers: Mapping[str, Paper], settings: Mapping[str, Setting], known: Mapping[str, Measured]
) -> Published:
    setting, rest = settings[row["setting"]], {name: row[name] for name in row if name not in ("paper", "setting")}
    frames = rest.pop("frames", setting.frames)
    tails = [str(row[name]) for name in ("frames", "distractors") if name in row and row["benchmark"] != "vniah"]
    return Published(
        id="/".join([row["setting"], row["benchmark"], *tails]),
        paper=papers[row["paper"]],
        setting=setting,
        measured=known[row["benchmark"]],
        percent=rest.pop("percent", {}),
        scores=rest.pop("scores", {}),
        frames=frames,
        **rest,
    )


def _tuples(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}
