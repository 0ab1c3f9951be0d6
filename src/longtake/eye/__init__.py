"""eye: files and what is planned of them in; their features, and what was seen, out. Knows nothing of language models.

Where a model has a store, features are looked for there first, and only what is missing is read and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from longtake.clock import Clock
from longtake.errors import counted
from longtake.families import Model
from longtake.layouts import view_of
from longtake.plan import Plan
from longtake.video import Frames, Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen
from longtake.vision import FeatureGrid
from longtake.vision.sheets import sheets

READ_AHEAD_FRAMES = 32
"""So many small frames may wait for the encoder while the next are read."""

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total): "hash" counts bytes of a file, "read" and "encode" frames."""


@dataclass(frozen=True)
class Kept:
    """What a store had of a file's frames, and what it has now.

    Attributes:
        folder: where it is; "" where it cannot be kept.
        frames: how many there were.
        came: how many of them were not encoded, for their features were there; nor read, but for wanted hashes that
            were not there.
        damaged: how many records were found not to be what they were; they were made again.
        bytes: that were written.
        refused: why not all could be kept; "" where all could.
    """

    frames: int
    folder: str = ""
    came: int = 0
    damaged: int = 0
    bytes: int = 0
    refused: str = ""

    def notes(self) -> Iterator[str]:
        """What is worth saying."""
        if self.came:
            some = f"features of {self.came:,} of {counted(self.frames, 'frame')} are "
            yield (some if self.came < self.frames else "") + "from the store"
        if self.damaged:
            were = "was" if self.damaged == 1 else "were"
            yield f"{counted(self.damaged, 'record')} of the store {were} damaged and made again where needed"
        if self.refused:
            yield f"not kept: {self.refused}"


@dataclass(frozen=True)
class Saw:
    """How one file was read, now or at another time.

    Attributes:
        seen: which frames came.
        came: the plan of the frames that the model sees.
        kept: what a store has of it; None without a store.
        chosen: whether these frames are a choice of those that came.
    """

    seen: Seen
    came: Plan
    kept: Kept | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Sight:
    """What the encoder made of one file, and how it was read."""

    grid: FeatureGrid
    saw: Saw


class Eye(Protocol):
    """Looks at one file after the other."""

    def look(self, video: Video, plan: Plan) -> Sight:
        """The features of the planned frames.

        Raises:
            LongtakeError: whatever the file's frames are refused for.
        """
        ...


@dataclass
class Reading:
    """What is read and encoded, and how far that is; progress counts the frames of all files.

    Attributes:
        clock: is told how long reading and encoding take.
        tell: hears how far they are.
        asked: how many frames there are in all files.
        done: how many are behind.
    """

    clock: Clock
    tell: Progress
    asked: int
    done: int = 0

    def pictures(self, video: Video, plan: Plan, numbers: list[int], seen: Seen) -> Generator[Frames, None, None]:
        """What goes through the tower: some of a file's frames, one by one, or sheets of them; small."""
        view = view_of(plan.layout)
        shrink = plan.encoder.shrinker(tiled=view.tiled)
        one_by_one = video.read(numbers, chunk=1, shrink=shrink if view.frames == 1 else None)
        with closing(ahead(one_by_one, depth=READ_AHEAD_FRAMES)) as read:
            frames = self._counted(seen.passing(self.clock.each("read", read)))
            yield from frames if view.frames == 1 else sheets(frames, view.rows, view.columns, shrink=shrink)

    def encoded(self, pictures: int, plan: Plan) -> None:
        """Say that so many pictures of a file are done."""
        self.tell("encode", min(self.done + pictures * view_of(plan.layout).frames, self.asked), self.asked)

    def _counted(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        read = self.done
        for frames in chunks:
            read += len(frames.numbers)
            self.tell("read", min(read, self.asked), self.asked)
            yield frames


@dataclass(frozen=True)
class Fresh:
    """Reads and encodes everything."""

    reading: Reading

    def look(self, video: Video, plan: Plan) -> Sight:
        """Read what was planned and encode it, a few frames at a time."""
        seen, reading = Seen(video, plan.numbers), self.reading
        with (
            reading.clock.stage("encode", without="read"),
            closing(reading.pictures(video, plan, plan.numbers, seen)) as pictures,
        ):
            grid = plan.encoder.encode(
                pictures, tilings=plan.shape.tilings, progress=lambda done: reading.encoded(done, plan)
            )
        reading.done += len(plan.numbers)
        return sight(grid, seen, plan)


def sight(grid: FeatureGrid, seen: Seen, plan: Plan, *, kept: Kept | None = None) -> Sight:
    """What came of a plan, checked against it."""
    came = plan.of(seen.numbers)
    if grid.shape != came.shape:
        raise ValueError(f"features are {grid.shape} where {came.shape} was announced")
    return Sight(grid, Saw(seen, came, kept))


def open_eye(model: Model, reading: Reading) -> Eye:
    """What looks at files for a model: by way of its store, if it has one."""
    if model.store is None:
        return Fresh(reading)
    from longtake.eye.remembering import Remembering

    return Remembering(reading, model, model.store)
