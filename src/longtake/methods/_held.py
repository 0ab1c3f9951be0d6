"""methods._held: some frames of a video that were read in one pass; as a video of their own. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.video import Frames, LostSpan, Shrink, Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen

AHEAD_FRAMES = 4
"""Whole frames, as decoded, that may wait; at 1080p 6 MB each."""


@dataclass(frozen=True, eq=False)
class Held:
    """Frames in memory, as a video that has only them; times and numbers are those of the file.

    Attributes:
        file: where they are from.
        frames: by number, one each, whole.
    """

    file: Video
    frames: Mapping[int, Frames]

    @property
    def path(self) -> str:
        """The file's."""
        return self.file.path

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Of all frames of the file."""
        return self.file.times_s

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the frames that are held."""
        return np.array(sorted(self.frames), dtype=np.int64)

    @property
    def duration_s(self) -> float:
        """The file's."""
        return self.file.duration_s

    @property
    def height_px(self) -> int:
        """The file's."""
        return self.file.height_px

    @property
    def width_px(self) -> int:
        """The file's."""
        return self.file.width_px

    @property
    def lost_s(self) -> tuple[LostSpan, ...]:
        """Nothing: what is lost is told once, of the whole file."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """None; those of the file are told once."""
        return ()

    def stretch(self, start_s: float | None, end_s: float | None) -> Held:
        """Those of the frames that are on screen then.

        Raises:
            LongtakeError: `usage.bad_span` if nothing of the file is.
        """
        inside = set(self.file.stretch(start_s, end_s).numbers.tolist())
        return Held(self.file, {number: frame for number, frame in self.frames.items() if number in inside})

    def read(self, numbers: Sequence[int], *, chunk: int = 32, shrink: Shrink | None = None) -> Iterator[Frames]:
        """The asked frames, `chunk` at a time."""
        for start in range(0, len(numbers), chunk):
            some = [self.frames[int(number)] for number in numbers[start : start + chunk]]
            pictures = [frame.pixels_TCHW[0] for frame in some]
            if shrink:
                pictures = [shrink(np.ascontiguousarray(picture.transpose(1, 2, 0))) for picture in pictures]
            times_s = np.concatenate([frame.times_s for frame in some])
            yield Frames(np.stack(pictures), times_s, np.concatenate([frame.numbers for frame in some]))


def read_sets(seen: Seen, video: Video, sets: Sequence[Sequence[int]]) -> Iterator[Held]:
    """For each set of frame numbers those of its frames that came, read in one pass over the file.

    Only frames that a later set wants too are held on to.

    Args:
        seen: looks at the frames on their way; made of all numbers of the sets.
        video: that the numbers are of.
        sets: each ascending, and begun and ended no earlier than the one before.

    Raises:
        LongtakeError: `media.*`; also if nothing at all came.
    """
    wanted = sorted({number for numbers in sets for number in numbers})
    waiting: dict[int, Frames] = {}
    latest = -1
    with closing(ahead(video.read(wanted, chunk=1), depth=AHEAD_FRAMES)) as read:
        frames = seen.passing(read)
        for numbers in sets:
            waiting = {number: frame for number, frame in waiting.items() if number >= numbers[0]}
            while latest < numbers[-1] and (came := next(frames, None)) is not None:
                latest = int(came.numbers[0])
                waiting[latest] = came
            yield Held(video, {number: waiting[number] for number in numbers if number in waiting})
