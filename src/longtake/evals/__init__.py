"""evals: a benchmark's files in, its questions, scores and comparisons out. Knows nothing of models, pixels or tokens.

`benchmarks/msvd_qa.py` *is* the benchmark `msvd_qa`. It reads the files that its authors published and hands on an
`Item` for each question; `asking` writes the question out, `letters` and `judged` mark an answer, `figures` sums up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Protocol

from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.evals.asking import Asking
    from longtake.evals.figures import Figure, Mark


@dataclass(frozen=True)
class Place:
    """Where a question stood in what was read.

    Attributes:
        file: as the user named it.
        line: from 1; None in a file that has no lines (parquet).
        row: from 1, where entries are not lines (JSON, parquet); else None.
    """

    file: str
    line: int | None = None
    row: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return where if self.row is None else f"{where} (entry {self.row})"


@dataclass(frozen=True)
class VideoName:
    """What the file of a video may be called.

    Attributes:
        names: the best first; with the folders that tell it from others, where there are some; with or without ending.
        youtube: the id that a downloader writes into its file names, if it is from there.
    """

    names: tuple[str, ...]
    youtube: str = ""

    @property
    def key(self) -> str:
        """The same for all questions about one video."""
        return self.names[0]


@dataclass(frozen=True)
class Item:
    """One question of a benchmark. It has options (then an answer names one of them) or a reference answer.

    Attributes:
        id: the authors' own where they gave one; the same whichever of the known files it was read from.
        options: what may be answered; () for an open question.
        labels: what the options are called in the question's own words ("Option 1"); () for letters.
        right: the place of the right option; None for an open question, and where the authors keep the answer back.
        reference: the answer to compare with; None where there are options, or the authors keep it back.
        categories: the authors' kinds of question that it counts to, most often one.
        length_class: the authors' class of the video's length ("short"), or "".
        facets: (kind, value): what else the authors report by.
        span_s: the stretch of the video that it is about, in seconds, if it is not all of it.
        subtitles: the file of the video's subtitles, relative to the data folder, or "".
        subtitles_from_s: the time in the subtitles at which the video begins.
        twin: the same question in other words, to be asked of the same video too (VCGBench's pairs).
        points: what an answer should mention, for a judge.
        aspects: what a judge gives a score for; () where no judge is needed.
    """

    id: str
    video: VideoName
    question: str
    place: Place
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    right: int | None = None
    reference: str | None = None
    categories: tuple[str, ...] = ()
    length_class: str = ""
    facets: tuple[tuple[str, str], ...] = ()
    span_s: tuple[float, float] | None = None
    subtitles: str = ""
    subtitles_from_s: float = 0.0
    twin: str = ""
    points: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.options and self.reference is not None:
            raise ValueError(f"{self.id} has options and a reference answer")
        if self.right is not None and not 0 <= self.right < len(self.options):
            raise ValueError(f"{self.id}: option {self.right} of {len(self.options)}")
        if self.labels and len(self.labels) != len(self.options):
            raise ValueError(f"{self.id} has {len(self.labels)} labels for {len(self.options)} options")

    @property
    def called(self) -> tuple[str, ...]:
        """What the options are called: their labels, or letters."""
        return self.labels or tuple(ascii_uppercase[: len(self.options)])

    @property
    def answered(self) -> bool:
        """Whether the right answer is known here; else a run can only be handed in to the authors."""
        return self.right is not None or self.reference is not None


@dataclass(frozen=True)
class Split:
    """One part of a benchmark.

    Attributes:
        count: how many questions its authors published.
        digest: SHA-256 of its question ids, sorted, one a line: what a file is known by; "" where it is not known.
        numbers: its question ids are just these whole numbers, where they run on.
        source: what says so.
    """

    name: str
    count: int
    digest: str = ""
    numbers: range | None = None
    source: str = ""


@dataclass(frozen=True)
class Card:
    """What is to be known about a benchmark.

    Attributes:
        title: as its authors write it.
        files: what is read, as its authors call it.
        splits: the parts that it has.
        metric: what its authors report.
        source: paper, and where the files come from.
    """

    title: str
    files: str
    splits: tuple[Split, ...]
    metric: str
    source: str


class Benchmark(Protocol):
    """A set of questions about videos. Its dataclass fields are its options."""

    @property
    def card(self) -> Card:
        """What is to be known about it."""
        ...

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """The questions of a file, or of the known files in a folder, in their order.

        In place of a row that is not as it should be stands what is wrong with it (`data.bad`, naming file and line).

        Raises:
            LongtakeError: `media.not_found` if there is nothing to read; `data.bad` for a file that cannot be read at
                all; `environment.missing` without pyarrow, for parquet.
        """
        ...

    def asking(self, item: Item) -> Asking | None:
        """How the authors, or those who measure with it, put this question; None if nothing is published."""
        ...

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """The figures that its authors report, the chief one first."""
        ...


def read_items(benchmark: Benchmark, files: Path) -> Iterator[Item | LongtakeError]:
    """What `benchmark.read` gives; a question whose id came before is refused by the place of both."""
    seen: dict[str, Place] = {}
    for item in benchmark.read(files):
        if isinstance(item, LongtakeError):
            yield item
            continue
        first = seen.setdefault(item.id, item.place)
        if first is item.place:
            yield item
        else:
            yield bad_row(item.place, f"the question {item.id} stands at {first} too", "leave one of them out")


def good_items(benchmark: Benchmark, files: Path) -> list[Item]:
    """All questions; the first row that is not as it should be is raised.

    Raises:
        LongtakeError: see `Benchmark.read`.
    """
    found = []
    for item in read_items(benchmark, files):
        if isinstance(item, LongtakeError):
            raise item
        found.append(item)
    return found


def bad_row(place: Place | str, reason: str, advice: str) -> LongtakeError:
    """The refusal of something in a benchmark's files."""
    return LongtakeError(ErrorCode.DATA_BAD, str(place), reason, advice)
