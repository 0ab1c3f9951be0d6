"""niah.haystack: video files in, which of their frames make the haystack and in what order out. Knows no model.

Frames are V-NIAH's one a second or all; where the files have fewer than wanted they come again and again, shot by
shot in an order that a seed draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.video import Frames, Video

CUT = 0.4
"""Neighbouring frames whose colour histograms share less than 1 - CUT of their pixels belong to two shots. Measured on
the first 30 s of Big Buck Bunny, one frame a second: 0.58 to 1.0 at its four jumps, at most 0.33 elsewhere."""

_BINS = 4


@dataclass(frozen=True)
class Source:
    """A video, and the numbers of the frames that are taken from it, ascending."""

    video: Video
    numbers: tuple[int, ...]


def one_a_second(frames: int, fps: float) -> list[int]:
    """V-NIAH's choice: frame 0 and every round(fps)-th after it (halves to the even number).

    Where fps is at most 0.5 the original stops with a step of 0; here every frame is taken, as at 1. The original reads
    in batches of 32 and stops late or early by a part of one; here exactly the wanted frames are kept.
    """
    return list(range(0, frames, max(1, round(fps))))


def sources(videos: Sequence[Video], wanted: int, *, every_frame: bool) -> list[Source]:
    """Which frames are read, from file to file until there are enough."""
    found: list[Source] = []
    for video in videos:
        have = sum(len(source.numbers) for source in found)
        if have >= wanted:
            break
        count = len(video.numbers)
        fps = count / video.duration_s if video.duration_s > 0 else 0.0
        places = list(range(count)) if every_frame else one_a_second(count, fps)
        found.append(Source(video, tuple(int(video.numbers[place]) for place in places[: wanted - have])))
    return found


def order_of(shots: Sequence[range], wanted: int, seed: int) -> NDArray[np.int64]:
    """(wanted,) places among the frames that were read: as read, where they suffice; else cycle after cycle of all
    shots, each cycle in an order that `seed` draws, frames of a shot in theirs.

    A shorter haystack is the beginning of a longer one.
    """
    read = sum(map(len, shots))
    if read >= wanted:
        return np.arange(wanted, dtype=np.int64)
    rng = np.random.default_rng(seed)
    cycles = -(-wanted // read)
    drawn = [np.concatenate([np.asarray(shots[shot]) for shot in rng.permutation(len(shots))]) for _ in range(cycles)]
    return np.concatenate(drawn)[:wanted].astype(np.int64)


class Cuts:
    """Looks at small frames on their way to the encoder; knows where shots begin.

    Attributes:
        starts: places, among the frames that have passed, where a shot begins.
    """

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._passed = 0
        self._last: NDArray[np.float64] | None = None

    def passing(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """The same chunks of one file; its first frame begins a shot."""
        self._last = None
        for frames in chunks:
            for pixels_CHW in frames.pixels_TCHW:
                histogram = _histogram(pixels_CHW)
                if self._last is None or np.abs(histogram - self._last).sum() / 2 > CUT:
                    self.starts.append(self._passed)
                self._last = histogram
                self._passed += 1
            yield frames

    @property
    def shots(self) -> list[range]:
        """The frames of each shot."""
        return [range(start, end) for start, end in zip(self.starts, [*self.starts[1:], self._passed], strict=True)]


def _histogram(pixels_CHW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of the pixels in 4 x 4 x 4 boxes of red, green and blue; they add up to 1."""
    red, green, blue = (pixels_CHW // (256 // _BINS)).reshape(3, -1).astype(np.int64)
    counts = np.bincount((red * _BINS + green) * _BINS + blue, minlength=_BINS**3)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares
