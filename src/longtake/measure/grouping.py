"""measure.grouping: a benchmark's files and a folder of videos in; questions by video, and shards of them, out.

What is asked about one stretch of one video stands together, so that it is read once. Knows no model, opens no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Benchmark, Item, read_items
from longtake.evals.finding import Footage, span_of
from longtake.evals.splits import Told, digest, split_of
from longtake.measure import Row

Span = tuple[float, float] | None


@dataclass(frozen=True)
class Faulty:
    """A row of a benchmark's files that is no question."""

    id: str
    error: LongtakeError

    def row(self, number: int) -> Row:
        """It counts as a failed question."""
        return Row(id=self.id, number=number, video=self.id, file=None, question="", error=told(self.error))


@dataclass(frozen=True)
class Sheet:
    """The questions of a run.

    Attributes:
        entries: in the order of the benchmark's files.
        split: what all of the files are, of which this may be the beginning.
        total: how many entries the files have.
    """

    entries: tuple[Item | Faulty, ...]
    split: Told
    total: int

    @property
    def items(self) -> list[Item]:
        """Those that can be asked."""
        return [entry for entry in self.entries if isinstance(entry, Item)]

    @property
    def digest(self) -> str:
        """SHA-256 of the ids."""
        return digest([entry.id for entry in self.entries])

    @property
    def told(self) -> str:
        """Which split that is, and how much of it: `val, whole`, `val, 20 of 4,996`, `unknown, all 6`."""
        if len(self.entries) < self.total:
            return f"{self.split.name}, {len(self.entries):,} of {self.total:,}"
        return f"{self.split.name}, {'whole' if self.split.whole else f'all {self.total:,}'}"


def read_sheet(benchmark: Benchmark, files: Path, *, most: int | None = None) -> Sheet:
    """All questions of a benchmark's files, or the first `most`.

    Raises:
        LongtakeError: see `Benchmark.read`; `data.bad` if there is nothing in them.
    """
    found = list(read_items(benchmark, files))
    if not found:
        raise LongtakeError(ErrorCode.DATA_BAD, str(files), "has no questions", "take the files as they were published")
    split = split_of(benchmark.card, [item.id for item in found if isinstance(item, Item)])
    return Sheet(tuple(_entries(found[:most])), split, len(found))


def _entries(found: Sequence[Item | LongtakeError]) -> list[Item | Faulty]:
    """Faulty rows are known by where they stand: by file name and line, not by folder."""
    entries: list[Item | Faulty] = []
    ids = {item.id for item in found if isinstance(item, Item)}
    for one in found:
        if isinstance(one, Item):
            entries.append(one)
            continue
        name = place = Path(one.subject).name
        again = 1
        while name in ids:
            again += 1
            name = f"{place} again {again}"
        ids.add(name)
        entries.append(Faulty(name, one))
    return entries


@dataclass(frozen=True)
class Question:
    """An item, and its place in the sheet."""

    number: int
    item: Item


@dataclass(frozen=True)
class Group:
    """Questions about one stretch of one video, or a row that is none.

    Attributes:
        video: what the benchmark calls it.
        questions: in the order of the sheet.
        path: the file.
        file: the same, relative to the folder of videos.
        span_s: the stretch; None for all of it.
        refused: why there is no file to read.
        faulty: number and row of what is no question; then there are no questions.
    """

    video: str
    questions: tuple[Question, ...] = ()
    path: Path | None = None
    file: str | None = None
    span_s: Span = None
    refused: LongtakeError | None = None
    faulty: tuple[int, Faulty] | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all that it will have a row for."""
        return (self.faulty[1].id,) if self.faulty else tuple(question.item.id for question in self.questions)

    def without(self, done: Mapping[str, object]) -> Group | None:
        """What of it is left to ask; None if nothing is."""
        if self.faulty:
            return None if self.faulty[1].id in done else self
        left = tuple(question for question in self.questions if question.item.id not in done)
        return replace(self, questions=left) if left else None


@dataclass(frozen=True)
class Groups:
    """All groups of a sheet, in order of appearance."""

    all: tuple[Group, ...]

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """What the benchmark calls them, each once."""
        return tuple(dict.fromkeys(group.video for group in self.all if not group.faulty))

    @cached_property
    def missing(self) -> dict[str, LongtakeError]:
        """The videos that have no file, and why."""
        return {group.video: group.refused for group in self.all if group.refused}

    def none_in(self, folder: Path) -> LongtakeError | None:
        """`media.not_found` if not one video is in the folder; None if some are, or none is asked about."""
        if not self.videos or len(self.missing) < len(self.videos):
            return None
        reason = f"holds none of the {len(self.videos):,} videos that are asked about, the first being {self.videos[0]}"
        return LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(folder), reason, "name their folder with --videos")

    @property
    def count(self) -> int:
        """How many rows there will be."""
        return sum(len(group.ids) for group in self.all)

    def shard(self, shard: str | None) -> Groups:
        """One of several parts, by video: all questions about one are in the same part."""
        if shard is None:
            return self
        number, many = parse_shard(shard)
        places = {video: place for place, video in enumerate(dict.fromkeys(group.video for group in self.all))}
        return Groups(tuple(group for group in self.all if places[group.video] % many == number - 1))


def parse_shard(shard: str) -> tuple[int, int]:
    """`3/8` as (3, 8).

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    number, slash, many = shard.partition("/")
    if slash and number.isdecimal() and many.isdecimal() and 1 <= int(number) <= int(many):
        return int(number), int(many)
    advice = "write it like 3/8: the third of eight, the first being 1/8"
    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--shard {shard}", "is no part of several", advice)


def groups_of(sheet: Sheet, footage: Footage) -> Groups:
    """The questions of a sheet by file and stretch; `Groups.none_in` tells whether any file is there at all."""
    found: dict[tuple[str, Span], list[Question]] = {}
    videos = {item.video.key: item for item in sheet.items}
    files = {video: _find(item, footage) for video, item in videos.items()}
    groups: dict[object, Group] = {}
    for number, entry in enumerate(sheet.entries):
        if isinstance(entry, Faulty):
            groups[number] = Group(entry.id, faulty=(number, entry))
            continue
        path = files[entry.video.key]
        where = path if isinstance(path, Path) else None
        span_s = span_of(entry, where) if where else None
        key = (entry.video.key, span_s)
        found.setdefault(key, []).append(Question(number, entry))
        file = None if where is None else where.relative_to(footage.folder).as_posix()
        refused = path if isinstance(path, LongtakeError) else None
        groups[key] = Group(entry.video.key, tuple(found[key]), where, file, span_s, refused)
    return Groups(tuple(groups.values()))


def _find(item: Item, footage: Footage) -> Path | LongtakeError:
    try:
        return footage.find(item.video)
    except LongtakeError as error:
        return error


def told(error: LongtakeError) -> str:
    """What a row says of a failure: code and reason, without names of folders, which differ from place to place."""
    return f"{error.code.value.code}: {error.reason}"
