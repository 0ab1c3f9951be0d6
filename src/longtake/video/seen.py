"""video/seen: asked frames pass through; what came, what is lost and whether there was anything to see comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import Frames, LostSpan, Video
from longtake.video.times import format_time

_NOISE = 12
"""Steps of 255 that lossy coding adds to a plain or frozen picture; what a person sees is larger."""


class Seen:
    """Looks at the frames of `video` that were asked for on their way to whoever wants them.

    Attributes:
        asked: the numbers that were asked for.
        numbers: of the frames that have passed, ascending.
        hashes: of these frames' pixels, in the same order; empty where the file was not opened to tell them.
    """

    def __init__(self, video: Video, asked: Sequence[int]) -> None:
        self._video, self.asked = video, asked
        self.numbers: list[int] = []
        self.hashes: list[str] = []
        self._first_CHW: NDArray[np.int16] | None = None
        self._plain, self._frozen = True, True

    def passing(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """The same chunks; each is looked at as it passes.

        Raises:
            LongtakeError: `media.corrupt` at the end, if nothing passed.
        """
        for frames in chunks:
            self.numbers += frames.numbers.tolist()
            self.hashes += frames.hashes
            for image_CHW in frames.pixels_TCHW if self._plain or self._frozen else ():
                self._look(image_CHW)
            yield frames
        if not self.numbers:
            reason = f"none of the {len(self.asked):,} frames that were asked for can be decoded"
            advice = "fetch or export the file again, or look elsewhere in it with --start and --end"
            raise LongtakeError(ErrorCode.MEDIA_CORRUPT, self._video.path, reason, advice)

    @property
    def lost_s(self) -> tuple[LostSpan, ...]:
        """What is missing: stretches known from the start, and those of the asked frames that did not come."""
        return (*self._video.lost_s, *lost_spans(self._video, self.asked, self.numbers))

    @property
    def degraded(self) -> bool:
        """Whether anything is missing after time 0. What a file that starts in the middle lacks comes before."""
        return any(end_s is None or end_s > 0 for _, end_s in self.lost_s)

    def notes(self) -> Iterator[str]:
        """What is worth saying about the frames that passed."""
        if self.degraded:
            came = f"{len(self.numbers):,} of the {len(self.asked):,} frames that were asked for came"
            yield f"degraded: {came}; not seen: {told(self.lost_s)}"
        count = len(self.numbers)
        if self._plain:
            what = "the one seen frame is" if count == 1 else f"all {count:,} seen frames are"
            yield f"low information: {what} plain colour"
        elif self._frozen and count > 1:
            yield f"low information: all {count:,} seen frames show the same picture"

    def _look(self, image_CHW: NDArray[np.uint8]) -> None:
        if self._first_CHW is None:
            self._first_CHW = image_CHW.astype(np.int16)
        self._plain = self._plain and int(np.ptp(image_CHW, axis=(1, 2)).max()) <= _NOISE
        same_size = image_CHW.shape == self._first_CHW.shape
        self._frozen = self._frozen and same_size and int(np.abs(image_CHW - self._first_CHW).max()) <= _NOISE


def lost_spans(video: Video, asked: Sequence[int], got: Iterable[int]) -> tuple[LostSpan, ...]:
    """The times at which asked frames that did not come are on screen; frames next to one another make one span.

    Nothing is said of frames that nobody asked for: they may be whole.

    Args:
        video: that they are of.
        asked, got: frame numbers, ascending.
    """
    came = set(got)
    missing = [number for number in asked if number not in came]
    # In a run of neighbours, number and rank grow alike.
    runs = groupby(enumerate(missing), key=lambda ranked: ranked[1] - ranked[0])
    spans = []
    for _, run in runs:
        numbers = [number for _, number in run]
        behind = numbers[-1] + 1
        end_s = video.times_s[behind] if behind < len(video.times_s) else video.duration_s
        spans.append((float(video.times_s[numbers[0]]), float(end_s)))
    return tuple(spans)


def told(spans: Iterable[LostSpan]) -> str:
    """`spans` in words: "0:00:02 to 0:00:04, 0:01:10 to the end"."""
    return ", ".join(
        f"{format_time(start_s)} to {'the end' if end_s is None else format_time(end_s)}" for start_s, end_s in spans
    )
