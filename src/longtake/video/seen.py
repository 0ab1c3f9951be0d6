"""video/seen: asked frames pass through; what came, what is lost and whether there was anything to see comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.video import Frames, LostSpan, Video
from longtake.video.times import format_time

_NOISE = 12
"""Steps of 255 that lossy coding adds to a plain or frozen picture; what a person sees is larger."""


_STRIDE = 16
"""Pictures that differ mostly do so at every sixteenth row and column already."""

LOW_INFORMATION = "low information"
"""How a note begins that goes by what frames were compared with; of frames from a store that may be another picture."""
PIXELS = "pixels"
Facts = Mapping[str, str]
"""What is worth keeping of one frame that was seen: `plain` if it is of one colour; `like`, the name of the picture
that it was compared with, if it shows the same; `pixels`, the hash of its pixels as displayed (`video.fingerprint`), if
its file was opened to tell it."""


def facts_told(told: Mapping[str, Mapping[str, str]]) -> dict[int, Facts]:
    """Facts by the numbers of their frames, as JSON has told them.

    Raises:
        ValueError, TypeError, AttributeError: they are not of that form.
    """
    facts: dict[int, Facts] = {int(number): dict(one) for number, one in told.items()}
    if not all(isinstance(word, str) for one in facts.values() for word in (*one, *one.values())):
        raise ValueError("a fact of a frame is no text")
    return facts


class Seen:
    """Looks at the frames of `video` that were asked for on their way to whoever wants them.

    Attributes:
        asked: the numbers that were asked for.
        passed: the numbers of those that have passed, in that order.
        facts: by its number, what is worth keeping of each frame that has passed, or was seen at another time.
        first_CHW: what frames are compared with: the first that passed, unless another was given.
    """

    def __init__(self, video: Video, asked: Sequence[int], *, first_CHW: NDArray[np.uint8] | None = None) -> None:
        self._video, self.asked = video, asked
        self.passed: list[int] = []
        self.facts: dict[int, Facts] = {}
        self.first_CHW: NDArray[np.uint8] | None = None
        self._first_name = ""
        if first_CHW is not None:
            self._compare_with(first_CHW)

    @property
    def numbers(self) -> list[int]:
        """Of the frames that have been seen, ascending."""
        return sorted(self.facts)

    def hashes_of(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Of the pixels of some that have been seen, in this order; empty where they are not known of all."""
        found = [self.facts[number].get(PIXELS) for number in numbers]
        return tuple(filter(None, found)) if all(found) else ()

    def passing(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """The same chunks; each is looked at as it passes.

        Raises:
            LongtakeError: `media.corrupt` at the end, if nothing passed.
        """
        for frames in chunks:
            for place, number in enumerate(frames.numbers.tolist()):
                facts = self._look(frames.pixels_TCHW[place])
                self.facts[number] = facts | {PIXELS: frames.hashes[place]} if frames.hashes else facts
                self.passed.append(number)
            yield frames
        self.refuse_nothing()

    def remember(self, facts: Mapping[int, Facts]) -> None:
        """Frames that were seen at another time, by the same file's numbers."""
        self.facts.update(facts)

    def refuse_nothing(self) -> None:
        """Refuse a video of which nothing was seen.

        Raises:
            LongtakeError: `media.corrupt`.
        """
        if not self.facts:
            reason = f"none of the {counted(len(self.asked), 'frame')} that were asked for can be decoded"
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
            came = f"{len(self.numbers):,} of the {counted(len(self.asked), 'frame')} that were asked for came"
            yield f"degraded: {came}; not seen: {told(self.lost_s)}"
        count = len(self.numbers)
        if all("plain" in facts for facts in self.facts.values()):
            what = "the one seen frame is" if count == 1 else f"all {count:,} seen frames are"
            yield f"{LOW_INFORMATION}: {what} plain colour"
        elif count > 1 and self._is_frozen():
            yield f"{LOW_INFORMATION}: all {count:,} seen frames show the same picture"

    def _is_frozen(self) -> bool:
        """Whether all show the same as one picture, the same one."""
        return len({facts.get("like", number) for number, facts in self.facts.items()}) == 1

    def _look(self, image_CHW: NDArray[np.uint8]) -> dict[str, str]:
        facts = {}
        if self.first_CHW is None:
            self._compare_with(image_CHW)
        if _is_plain(image_CHW):
            facts["plain"] = "yes"
        if self.first_CHW is not None and _are_alike(image_CHW, self.first_CHW):
            facts["like"] = self._first_name
        return facts

    def _compare_with(self, first_CHW: NDArray[np.uint8]) -> None:
        self.first_CHW = first_CHW.copy()
        self._first_name = hashlib.sha256(repr(first_CHW.shape).encode() + self.first_CHW.tobytes()).hexdigest()[:16]


def _is_plain(image_CHW: NDArray[np.uint8]) -> bool:
    return all(
        int(np.ptp(some_CHW, axis=(1, 2)).max()) <= _NOISE
        for some_CHW in (image_CHW[:, ::_STRIDE, ::_STRIDE], image_CHW)
    )


def _are_alike(one_CHW: NDArray[np.uint8], other_CHW: NDArray[np.uint8]) -> bool:
    if one_CHW.shape != other_CHW.shape:
        return False
    return all(
        int(np.abs(some_CHW.astype(np.int16) - like_CHW).max()) <= _NOISE
        for some_CHW, like_CHW in (
            (one_CHW[:, ::_STRIDE, ::_STRIDE], other_CHW[:, ::_STRIDE, ::_STRIDE]),
            (one_CHW, other_CHW),
        )
    )


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
