"""video/video_file: an opened video: its table, its stretches, its frames. Decodes only in `read`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import READING_VERSION, Frames, LostSpan, Shrink
from longtake.video.container import FileState
from longtake.video.decoding.sources import FrameSource
from longtake.video.display.picture import Picture
from longtake.video.fingerprint import pixel_sha256
from longtake.video.options import ReadOptions
from longtake.video.packets.scanning import FrameTable
from longtake.video.times import format_time


@dataclass(frozen=True)
class StreamFacts:
    """One stream of a file, as the header has it; sizes are 0 where it is no video."""

    index: int
    kind: str
    codec: str
    width_px: int
    height_px: int
    taken: bool


@dataclass(frozen=True)
class HeaderFacts:
    """What the header says of the file; nothing of it is used to find frames.

    Attributes:
        container: FFmpeg's name of the format.
        frames: how many the header claims, None where it does not say.
        streams: all of them.
    """

    container: str
    frames: int | None
    streams: tuple[StreamFacts, ...]


@dataclass(frozen=True, eq=False)
class VideoFile:
    """One video stream of one file: looked at, not decoded. Made by `open_video`.

    Attributes:
        path: as the user named it.
        stream: index of the stream in the file.
        table: every displayed frame.
        picture: how stored frames become displayed ones.
        header: what the header claims.
        state: size and time of change of the file when it was opened.
        numbers: the frames that may be sampled.
        lost_s: stretches that are known to be missing.
        notes: what is worth saying about the file.
        options: how it is read.
        source: what decodes its frames.
    """

    path: str
    stream: int
    table: FrameTable
    picture: Picture
    header: HeaderFacts
    state: FileState
    numbers: NDArray[np.int64]
    lost_s: tuple[LostSpan, ...]
    notes: tuple[str, ...]
    options: ReadOptions
    source: FrameSource

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(N,) presentation time of every displayed frame, ascending, first is 0."""
        return self.table.times_s

    @property
    def duration_s(self) -> float:
        """From the first displayed frame to the end of the last."""
        return self.table.end_s

    @property
    def hashes_pixels(self) -> bool:
        """Whether frames come with the hashes of their pixels as displayed."""
        return self.options.hash_pixels

    @property
    def reading(self) -> Mapping[str, object]:
        """What decides, beside the file's bytes, which frames there are and which pixels they have."""
        return {
            "stream": self.stream,
            "deinterlace": self.options.deinterlace,
            "on_corrupt": self.options.on_corrupt,
            "version": READING_VERSION,
        }

    @property
    def height_px(self) -> int:
        """Displayed height."""
        return self.picture.size_px[0]

    @property
    def width_px(self) -> int:
        """Displayed width."""
        return self.picture.size_px[1]

    def stretch(self, start_s: float | None, end_s: float | None) -> VideoFile:
        """The same file, to be sampled only where a frame is on screen at some moment of [start_s, end_s).

        The frame on screen at a time is the last that begins no later. None stands for the first or the last moment.
        The times are those of the whole file, also where this is a stretch already.

        Raises:
            LongtakeError: `usage.bad_span` if nothing is on screen then.
        """
        start = 0.0 if start_s is None else float(start_s)
        end = math.inf if end_s is None else float(end_s)
        if not (0 <= start < end and start < max(self.duration_s, np.nextafter(0, 1))):
            shown = f"from {start:g} s to {'the end' if end == math.inf else f'{end:g} s'}"
            reason = f"nothing is on screen {shown}"
            advice = f"the video runs from 0:00:00 to {format_time(self.duration_s)}; start before the end"
            raise LongtakeError(ErrorCode.USAGE_BAD_SPAN, self.path, reason, advice)
        first = int(np.searchsorted(self.times_s, start, side="right")) - 1
        behind = int(np.searchsorted(self.times_s, end, side="left"))
        missing = tuple(
            span for span in self.lost_s if span[0] < end and (start_s is None or span[1] is None or span[1] > start)
        )
        return dataclasses.replace(self, numbers=np.arange(first, behind, dtype=np.int64), lost_s=missing)

    def read(self, numbers: Sequence[int], *, chunk: int = 32, shrink: Shrink | None = None) -> Iterator[Frames]:
        """Yield the asked frames, strictly ascending, `chunk` at a time.

        No more than `chunk` shrunk frames and a few decoded ones are held at once, whatever the video's length.

        Args:
            numbers: of frames of the file's table.
            shrink: applied to each displayed frame (H, W, 3) as soon as it is decoded; without it the frame is kept
                whole.

        With `options.on_corrupt` "skip", frames that cannot be decoded are left out; `Frames.numbers` says what came.

        Raises:
            LongtakeError: `media.corrupt` or `media.truncated` if an asked frame cannot be decoded and none may be
                skipped; never another frame.
            ValueError: if `numbers` are not strictly ascending places of the table, `chunk` is not positive, or frames
                change size and nothing shrinks them to one.
        """
        asked = [int(number) for number in numbers]
        if any(later <= sooner for sooner, later in zip(asked, asked[1:], strict=False)):
            raise ValueError("frame numbers must be strictly ascending")
        if asked and not 0 <= asked[0] <= asked[-1] < len(self.times_s):
            raise ValueError(f"frame numbers {asked[0]} to {asked[-1]} are not all in 0 to {len(self.times_s) - 1}")
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; want at least 1")
        return self._read(asked, chunk, shrink)

    def _read(self, asked: list[int], chunk: int, shrink: Shrink | None) -> Iterator[Frames]:
        with closing(self.source.shown(self, asked)) as decoded:
            left = len(asked)
            while True:
                hashes = list[str]()
                some = _hashed(islice(decoded, chunk), hashes) if self.options.hash_pixels else islice(decoded, chunk)
                pixels_TCHW, numbers = _gathered(some, min(chunk, left), shrink)
                if not numbers:
                    return
                left -= len(numbers)
                places = np.array(numbers, dtype=np.int64)
                yield Frames(pixels_TCHW, self.times_s[places], places, tuple(hashes))
                # What was handed on is not held while the next chunk is made.
                del pixels_TCHW


def _hashed(
    some: Iterable[tuple[int, NDArray[np.uint8]]], hashes: list[str]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The same frames; the hash of each is put behind `hashes`."""
    for number, image_HWC in some:
        hashes.append(pixel_sha256(image_HWC))
        yield number, image_HWC


def _gathered(
    some: Iterator[tuple[int, NDArray[np.uint8]]], room: int, shrink: Shrink | None
) -> tuple[NDArray[np.uint8], list[int]]:
    """At most `room` of `some` as (T, 3, H, W), and their numbers; each is written where it stays as soon as it comes.

    Whole frames lie in memory as they were decoded, colours together: to turn each costs nearly as much as to decode
    it.
    """
    gathered, numbers = np.empty((0, 3, 0, 0), dtype=np.uint8), list[int]()
    for number, image_HWC in some:
        image = shrink(image_HWC) if shrink else image_HWC
        if not numbers:
            gathered = np.empty((room, *image.shape), dtype=np.uint8)
        if image.shape != gathered.shape[1:]:
            sizes = sorted({_size_px(one, shrink) for one in (gathered[0], image)})
            raise ValueError(
                f"the frames change size inside the video: {sizes}; pass a `shrink` that makes them one size"
            )
        gathered[len(numbers)] = image
        numbers.append(number)
    gathered = gathered[: len(numbers)]
    return (gathered if shrink else gathered.transpose(0, 3, 1, 2)), numbers


def _size_px(image: NDArray[np.uint8], shrink: Shrink | None) -> tuple[int, int]:
    height_px, width_px = image.shape[1:] if shrink else image.shape[:2]
    return height_px, width_px
