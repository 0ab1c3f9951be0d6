"""video/decoding/sources: an opened video and frame numbers in, those frames as displayed out, whoever decodes them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.choosing import ADVICE_CODEC
from longtake.video.decoding.ahead import ahead
from longtake.video.decoding.reading import Cursor, FrameReader
from longtake.video.display.colour import UnknownColours
from longtake.video.packets.scanning import FrameTable

if TYPE_CHECKING:
    from longtake.video.video_file import VideoFile

_TWO = 2
_STINTS_A_LANE = 24
"""With fewer, a second open file costs more processor time than it saves on the clock."""
_STINT_PACKETS = 200
_MOST_PACKETS_IN_LANES = 300_000
"""FFmpeg's index of an MP4 file takes some 50 bytes a packet, and each lane has one."""
_AHEAD_FRAMES = 2

Shown = Generator[tuple[int, NDArray[np.uint8]], None, None]
"""Frame numbers with their pictures; closed early where no more are wanted."""


class FrameSource(Protocol):
    """Decodes the frames of an opened video."""

    def shown(self, video: VideoFile, numbers: Sequence[int]) -> Shown:
        """Each asked frame (strictly ascending) with its number, as (H, W, 3) uint8 RGB in displayed orientation.

        With `on_corrupt="skip"` frames that cannot be decoded do not come.

        Raises:
            LongtakeError: `media.*` where a frame cannot be decoded and none may be skipped.
        """
        ...


@dataclass(frozen=True)
class Here:
    """Decodes in this process.

    Threads inside a decoder cost a tenth more processor time and help little where few frames of each group of pictures
    are wanted. So where the wanted frames lie in many stints, two decoders of one thread each take them in turn:

        lane 0  | stint 0 | stint 2 | ...
        lane 1  | stint 1 | stint 3 | ...
    """

    def shown(self, video: VideoFile, numbers: Sequence[int]) -> Shown:
        """As `FrameSource.shown`; the file must not change meanwhile."""
        stints = list(_stints(video.table, numbers))
        lanes = min(video.options.threads, len(stints) // _STINTS_A_LANE)
        if lanes < _TWO or len(video.table.packets) > _MOST_PACKETS_IN_LANES:
            threads = video.options.threads if len(stints) < _TWO else 1
            taken = _Lane(video, threads).shown(stints)
            yield from (shown for shown in taken if shown is not None)
            return
        with ExitStack() as stack:
            taking = [
                stack.enter_context(closing(ahead(_Lane(video, 1).shown(stints[lane::lanes]), depth=_AHEAD_FRAMES)))
                for lane in range(lanes)
            ]
            for stint in range(len(stints)):
                while (shown := next(taking[stint % lanes])) is not None:
                    yield shown


@dataclass(frozen=True)
class _Lane:
    """One decoder's share of the work."""

    video: VideoFile
    threads: int

    def shown(self, stints: Sequence[Sequence[int]]) -> Generator[tuple[int, NDArray[np.uint8]] | None, None, None]:
        """The frames of each stint with their numbers, and after each stint None."""
        video, reformatter = self.video, VideoReformatter()
        options = replace(video.options, threads=self.threads)
        with Cursor(video.path, video.stream, video.table.packets, video.state, options=options) as cursor:
            reader = FrameReader(cursor, video.table, video.path, options=options)
            for stint in stints:
                for number, frame in reader.read(stint):
                    try:
                        image_HWC = video.picture.show(frame, reformatter)
                    except UnknownColours as error:
                        raise LongtakeError(ErrorCode.MEDIA_CODEC, video.path, str(error), ADVICE_CODEC) from error
                    yield number, image_HWC
                yield None
            cursor.check_unchanged()


def _stints(table: FrameTable, numbers: Sequence[int]) -> Iterator[list[int]]:
    """`numbers` in runs that one decoder takes at a time: whole groups of pictures, several where they are short."""
    stint: list[int] = []
    first = 0
    for start, group in groupby(numbers, key=lambda number: int(table.start_N[number])):
        if stint and start - first >= _STINT_PACKETS:
            yield stint
            stint = []
        if not stint:
            first = start
        stint += group
    if stint:
        yield stint
