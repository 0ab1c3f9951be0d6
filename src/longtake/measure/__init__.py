"""measure: a benchmark's questions and a model in; a row for each question out. Knows no benchmark by name.

`Header` says what was measured with what, `Row` what came of one question, `Run` both together. They are what lies in a
run's folder (`measure.rows`), and all that reports, judges and comparisons need: a row holds its question, options and
reference, so that it can be marked again without the benchmark's files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from longtake.evals import Item, Place, VideoName
from longtake.evals.figures import RIGHT, Mark
from longtake.evals.letters import Reading, is_right, likeliest

Scoring = Literal["letter", "likelihood"]
"""How the answer to a question of multiple choice is told: by reading what was said, or by weighing the options."""

FORMAT = 1
"""Of rows and headers. Others are refused."""
NOT_ASKED, KEPT_BACK, NOT_JUDGED = "not asked", "its authors keep the answer back", "no judge has marked it"
"""Why a question has no score, where nothing failed."""


@dataclass(frozen=True)
class Header:
    """What a run is. Rows of two headers that differ in anything but `shard` are not of one run.

    Attributes:
        longtake: its version.
        benchmark: name of the part, with its options.
        split: which of the benchmark's splits the files are, and whether whole: `val, whole`.
        items: how many questions are asked, those of all shards together, and rows of the files that are no questions.
        digest: SHA-256 of their ids (`evals.splits.digest`).
        model: name, sha256 of the weights, and in what numbers it computes.
        parts: sampler, layout and so on, each with name and options.
        prompt: which wording: published, plain, brief or template.
        example: what the model is asked in the first question, as the wording has it.
        scoring: of multiple choice; the first is what `Row.right` goes by.
        frames: how many the sampler was told to pick; None if it has no such option.
        drawing: how answers' tokens are chosen, the seed among it.
        shard: `3/8` if these are the rows of one of several processes.
        versions: of what decodes and computes.
        more: what else the answers depend on: how videos are read, which template, and so on.
        format: of what is written.
    """

    longtake: str
    benchmark: str
    benchmark_options: Mapping[str, Any]
    split: str
    items: int
    digest: str
    model: Mapping[str, Any]
    parts: Mapping[str, Any]
    prompt: str
    example: str
    scoring: tuple[Scoring, ...]
    frames: int | None = None
    drawing: Mapping[str, Any] = field(default_factory=dict)
    shard: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def seed(self) -> int:
        """Of drawing answers' tokens."""
        return int(self.drawing.get("seed", 0))

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {**dataclasses.asdict(self), "scoring": list(self.scoring)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Header:
        """What `to_json` wrote.

        Raises:
            ValueError: it is none, or of another format.
        """
        return cls(**{**_fields(cls, written), "scoring": tuple(written["scoring"])})


@dataclass(frozen=True)
class Row:
    """What came of one question.

    Attributes:
        id: of the item; of a row of the benchmark's files that is no question, where it stands.
        number: the item's place among all that are asked, from 0.
        video: what the benchmark calls it; the same for all questions about one.
        file: that was read, relative to the folder of videos; None where there is none.
        file_print: what that file was known by when it was read (`measure.films`); "" where nothing was read.
        question: of the item.
        asked: the words that the model got, as the wording has them, without subtitles.
        answer: what it said; None where it failed, or only likelihoods were asked for.
        twin_answer: the same of the item's twin.
        read: the place of the option that the answer names; None if it is unreadable, or the question open.
        shares: how likely the model holds each option, None where that was not asked.
        right: by the first of the header's scorings; None where nobody can tell yet.
        reference: the answer to compare with, of an open question.
        right_option: the place of the right one.
        options, labels, twin, points, aspects, categories, length_class, facets: of the item.
        error: `code: reason`; None where nothing failed.
        frames: how many were seen.
        tokens: that were read and said, by kind.
        degraded: some of the video could not be seen.
        subtitles: how many lines of them the model was shown; None where none were asked for.
        seconds: by stage; reading the video counts to the first question about it. Differs from run to run.
        scored: what a judge gave, by aspect; None until it did. `why` instead of marks if it gave none.
    """

    id: str
    number: int
    video: str
    file: str | None
    question: str
    asked: str = ""
    answer: str | None = None
    twin_answer: str | None = None
    read: int | None = None
    shares: tuple[float, ...] | None = None
    right: bool | None = None
    reference: str | None = None
    right_option: int | None = None
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    twin: str = ""
    points: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    length_class: str = ""
    facets: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    frames: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    degraded: bool = False
    subtitles: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    scored: Mapping[str, Any] | None = None
    file_print: str = ""

    @classmethod
    def of(cls, item: Item, number: int, **came: Any) -> Row:
        """The row of an item, with what came of it."""
        return cls(
            id=item.id,
            number=number,
            video=item.video.key,
            question=item.question,
            reference=item.reference,
            right_option=item.right,
            options=item.options,
            labels=item.labels,
            twin=item.twin,
            points=item.points,
            aspects=item.aspects,
            categories=item.categories,
            length_class=item.length_class,
            facets=item.facets,
            **{"file": None, **came},
        )

    @property
    def item(self) -> Item:
        """The question, as far as marking it needs."""
        return Item(
            id=self.id,
            video=VideoName((self.video,)),
            question=self.question,
            place=Place(self.id),
            options=self.options,
            labels=self.labels,
            right=self.right_option,
            reference=self.reference,
            categories=self.categories,
            length_class=self.length_class,
            facets=self.facets,
            twin=self.twin,
            points=self.points,
            aspects=self.aspects,
        )

    def reading(self, scoring: Scoring) -> Reading | None:
        """Which option it comes to; None where that was not asked for, or failed."""
        if self.error is not None or not self.options:
            return None
        if scoring == "likelihood":
            return None if self.shares is None else likeliest(self.shares)
        if self.answer is None:
            return None
        return Reading(self.read, "nothing" if self.read is None else "read")

    def marks(self, scoring: Scoring = "letter") -> tuple[Mark, ...]:
        """What it is worth: one mark where there are options, else one for each aspect that a judge looks at.

        What failed, was not asked or not judged has a mark without a value, which says why.
        """
        item = self.item
        if self.aspects and not self.options:
            return self._judged(item)
        reading = self.reading(scoring)
        if reading is None or self.right_option is None:
            why = self.error or (NOT_ASKED if reading is None else KEPT_BACK)
            return (Mark(item, None, RIGHT, why=why),)
        return (Mark(item, float(is_right(item, reading)), unreadable=reading.option is None),)

    def _judged(self, item: Item) -> tuple[Mark, ...]:
        given = self.scored or {}
        marks = {} if self.error else given.get("marks") or {}
        why = self.error or str(given.get("why") or NOT_JUDGED)
        return tuple(
            Mark(item, float(marks[aspect]), aspect) if aspect in marks else Mark(item, None, aspect, why=why)
            for aspect in self.aspects
        )

    def mark(self, scoring: Scoring = "letter") -> Mark:
        """The first of `marks`."""
        return self.marks(scoring)[0]

    @property
    def lasting(self) -> dict[str, Any]:
        """All but the seconds: the same in every run of one header."""
        return {name: value for name, value in self.to_json().items() if name != "seconds"}

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON; `scored` only if there is something."""
        written = dataclasses.asdict(self)
        if self.scored is None:
            del written["scored"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in written.items()}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Row:
        """What `to_json` wrote.

        Raises:
            ValueError: it is no row.
        """
        found = _fields(cls, written)
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**{**found, **lists, "facets": tuple((kind, value) for kind, value in found["facets"])})


@dataclass(frozen=True)
class Run:
    """The rows of a run, those of all its shards together.

    Attributes:
        header: without a shard.
        rows: in the order of the benchmark's files.
        shards: which there are; () if the run is undivided.
        dropped: how many lines of its files were torn or damaged.
    """

    header: Header
    rows: tuple[Row, ...]
    shards: tuple[str, ...] = ()
    dropped: int = 0

    @cached_property
    def failed(self) -> tuple[Row, ...]:
        """Rows that say what went wrong."""
        return tuple(row for row in self.rows if row.error is not None)

    @property
    def missing(self) -> int:
        """How many questions have no row yet."""
        return self.header.items - len(self.rows)

    def marks(self, scoring: Scoring | None = None) -> list[Mark]:
        """Of all rows, in order; without `scoring` by the first that was asked for."""
        by = scoring or (self.header.scoring or ("letter",))[0]
        return [mark for row in self.rows for mark in row.marks(by)]


def _fields(kind: type[Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass, all that have no default among them, and no others.

    Raises:
        ValueError: some lack, or are not known.
    """
    if not isinstance(written, Mapping):
        raise ValueError(f"holds {type(written).__name__} where an object should be")
    if written.get("format", FORMAT) != FORMAT:
        raise ValueError(f"is of format {written['format']}; this longtake reads {FORMAT}")
    known = dataclasses.fields(kind)
    needed = {
        one.name for one in known if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    }
    lacking, strange = needed - set(written), set(written) - {one.name for one in known}
    if lacking or strange:
        raise ValueError(f"lacks {_listed(sorted(lacking))} and has {_listed(sorted(strange))} that is not known")
    return dict(written)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
