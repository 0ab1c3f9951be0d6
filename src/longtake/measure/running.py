"""measure.running: questions by video and a road to answers in; a row of each, in the run's folder, out.

A video that cannot be read, or a question that cannot be asked, is a failed row; what would fail for all alike (no room
on the disk, a lost rank, no network, a refused key) ends the run, which goes on from its rows when it is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from longtake.durable import Appended
from longtake.errors import DoorRefused, ErrorCode, LongtakeError
from longtake.evals import Item
from longtake.evals.letters import is_right, likeliest, read_option
from longtake.evals.subtitles import Line, read_subtitles, spoken
from longtake.measure import Row, Scoring
from longtake.measure.asking import Manner, Words
from longtake.measure.films import print_of
from longtake.measure.grouping import Group, Groups, told
from longtake.measure.roads import DIGITS, Progress, Road, Said
from longtake.measure.rows import Folder
from longtake.video import Video

Opener = Callable[[Path], AbstractContextManager[Video]]
"""Opens a video file; what reads it lives as long as the `with`."""

ENDING = frozenset(
    {
        ErrorCode.DISK_WRITE,
        ErrorCode.ENVIRONMENT_MISSING,
        ErrorCode.INTERRUPTED,
        ErrorCode.MODEL_BAD_CHECKPOINT,
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.NETWORK_UNREACHABLE,
        ErrorCode.RANKS_LOST,
    }
)
"""What is no fault of a video or a question, and would be the same for the next. So is a `DoorRefused`."""
HOPELESS = frozenset({ErrorCode.LIMIT_CONTEXT, ErrorCode.USAGE_BAD_OPTION})
"""What the next video is most likely refused for too."""
FEW = 3


@dataclass(frozen=True)
class Asking:
    """How answers are come by, and where what is needed for them lies.

    Attributes:
        road: to answers.
        manner: in which questions are put.
        scoring: of multiple choice; the first one says what is right.
        opener: of video files.
        data: the folder that subtitles are told from.
    """

    road: Road
    manner: Manner
    scoring: tuple[Scoring, ...]
    opener: Opener
    data: Path


@dataclass(frozen=True)
class Measuring:
    """A run, or one shard of it.

    Attributes:
        asking: how.
        groups: what.
        folder: where rows go; what is there already is not asked again.
        most_failed: more failed rows than these end the run; None: none do.
    """

    asking: Asking
    groups: Groups
    folder: Folder
    most_failed: int | None = None

    @property
    def left(self) -> list[Group]:
        """What has no row yet."""
        done = {row.id: row for row in self.folder.done}
        return [group for group in (one.without(done) for one in self.groups.all) if group is not None]

    def rows(self, progress: Progress) -> Iterator[Row]:
        """Ask what is left, video by video; each row is written before it is handed on.

        Args:
            progress: hears of questions, and of what is read of each video.

        Raises:
            LongtakeError: `partial.failed` if more failed than may; a `DoorRefused`, codes in ENDING;
                `usage.bad_option` where another process writes there.
        """
        failed = sum(row.error is not None for row in self.folder.done)
        done, total = len(self.folder.done), self.groups.count
        progress("questions", done, total)
        with self.folder.appending() as file:
            for group in self.left:
                for row in self._written(group, file, progress):
                    done, failed = done + 1, failed + (row.error is not None)
                    progress("questions", done, total)
                    yield row
                    if self.most_failed is not None and failed > self.most_failed:
                        raise _too_many(self.folder.path, failed, self.most_failed)

    def _written(self, group: Group, file: Appended[Row], progress: Progress) -> Iterator[Row]:
        for row in rows_of(group, self.asking, progress):
            file.add(row)
            yield row
        file.settle()


def refuse_hopeless(asking: Asking, groups: Groups) -> None:
    """Refuse, before anything is decoded, a run in which every video would be: too many frames, a wrong option.

    That is told by the first few; one that is odd does not end a run.

    Raises:
        LongtakeError: `limit.context`, `usage.bad_option`.
    """
    refused = None
    for group in [group for group in groups.all if group.path is not None][:FEW]:
        try:
            _check(group, asking)
            return
        except LongtakeError as error:
            if error.code not in HOPELESS:
                return
            refused = error
    if refused is not None:
        raise refused


def _check(group: Group, asking: Asking) -> None:
    assert group.path is not None
    with asking.opener(group.path) as opened:
        asking.road.check(opened if group.span_s is None else opened.stretch(*group.span_s))


def rows_of(group: Group, asking: Asking, progress: Progress) -> Iterator[Row]:
    """A row for each question of a group: its video is read once.

    Raises:
        LongtakeError: a `DoorRefused`, codes in ENDING.
    """
    if group.faulty:
        number, faulty = group.faulty
        yield faulty.row(number)
        return
    left = list(group.questions)
    try:
        with _blamed():
            if group.refused or group.path is None:
                raise group.refused or ValueError(f"{group.video} has no file")
            with asking.opener(group.path) as opened:
                video = opened if group.span_s is None else opened.stretch(*group.span_s)
                seen = _Seen.of(asking, video, progress)
                file_print = print_of(group.path)
                while left:
                    row = replace(_row(left[0].item, left[0].number, group, seen), file_print=file_print)
                    left.pop(0)
                    seen = replace(seen, seconds={})
                    yield row
    except LongtakeError as error:
        if _ends(error):
            raise
        for question in left:
            yield Row.of(question.item, question.number, file=group.file, error=told(error))


@dataclass(frozen=True)
class _Seen:
    """A video that was looked at.

    Attributes:
        seconds: that looking took, until the first row has told them.
    """

    asking: Asking
    watched: Any
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, asking: Asking, video: Video, progress: Progress) -> _Seen:
        watched = asking.road.watch(video, progress)
        return cls(asking, watched, dict(asking.road.seconds(watched)))

    def say(self, item: Item, words: Words) -> Said:
        return self.asking.road.say(self.watched, item, words)


def _row(item: Item, number: int, group: Group, seen: _Seen) -> Row:
    """The row of one question; one that cannot be asked has failed, and the next may be asked.

    Raises:
        LongtakeError: a `DoorRefused`, codes in ENDING.
    """
    manner, scoring = seen.asking.manner, seen.asking.scoring
    came: dict[str, Any] = {"file": group.file, "asked": manner.words(item).text}
    try:
        with _blamed():
            lines = _lines(item, seen)
            said = seen.say(item, manner.words(item, lines or ()))
            twin = seen.say(item, manner.words(item, lines or (), question=item.twin)) if item.twin else None
    except LongtakeError as error:
        if _ends(error):
            raise
        return Row.of(item, number, **came, error=told(error))
    reading = read_option(said.text, item.options, item.labels) if item.options and said.text is not None else None
    by = {"letter": reading, "likelihood": likeliest(said.shares) if said.shares else None}[scoring[0]]
    twin_s = dict(twin.seconds) if twin else {}
    return Row.of(
        item,
        number,
        **came,
        answer=said.text,
        twin_answer=twin.text if twin else None,
        read=reading.option if reading else None,
        shares=said.shares,
        right=is_right(item, by) if by and item.right is not None else None,
        frames=said.frames,
        tokens=said.tokens,
        degraded=said.degraded,
        subtitles=None if lines is None else len(lines),
        seconds={
            stage: round(seen.seconds.get(stage, 0.0) + said.seconds.get(stage, 0.0) + twin_s.get(stage, 0.0), DIGITS)
            for stage in {**seen.seconds, **said.seconds}
        },
    )


def _lines(item: Item, seen: _Seen) -> list[str] | None:
    """The subtitles that a model is shown: what is said while the frames that it sees are; None if none are asked for.

    A video without such a file has none: not all of a benchmark's have.

    Raises:
        LongtakeError: `data.bad` for a file that cannot be read.
    """
    if not item.subtitles or not seen.asking.manner.subtitles_lead(item):
        return None
    path = seen.asking.data / item.subtitles
    if not path.is_file():
        return []
    times_s = [time_s + item.subtitles_from_s for time_s in seen.asking.road.times_s(seen.watched)]
    return spoken(_subtitles(path), times_s)


@lru_cache(maxsize=4)
def _subtitles(path: Path) -> tuple[Line, ...]:
    return tuple(read_subtitles(path))


@contextmanager
def _blamed() -> Iterator[None]:
    """Tells as `limit.memory` that memory ran out, of the processor or of a device."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        reason, advice = "there was not enough memory for it", "sample fewer frames, or see longtake plan"
        raise LongtakeError(ErrorCode.LIMIT_MEMORY, "", reason, advice) from error


def _ends(error: LongtakeError) -> bool:
    return error.code in ENDING or isinstance(error, DoorRefused)


def _too_many(path: Path, failed: int, most: int) -> LongtakeError:
    reason = f"{failed:,} questions have failed, more than the {most:,} that may; the rows say why"
    advice = "mend what is wrong, and run the same command with --retry-failed"
    return LongtakeError(ErrorCode.PARTIAL_FAILED, str(path), reason, advice)
