"""video/sources: an opened video and frame numbers in, those frames as displayed out, whoever decodes them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.choosing import ADVICE_CODEC
from longtake.video.colour import UnknownColours
from longtake.video.reading import Cursor, FrameReader

if TYPE_CHECKING:
    from longtake.video.video_file import VideoFile

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
    """Decodes in this process."""

    def shown(self, video: VideoFile, numbers: Sequence[int]) -> Shown:
        """As `FrameSource.shown`; the file must not change meanwhile."""
        reformatter = VideoReformatter()
        with Cursor(video.path, video.stream, video.table.packets, video.state, options=video.options) as cursor:
            reader = FrameReader(cursor, video.table, video.path, options=video.options)
            for number, frame in reader.read(numbers):
                try:
                    image_HWC = video.picture.show(frame, reformatter)
                except UnknownColours as error:
                    raise LongtakeError(ErrorCode.MEDIA_CODEC, video.path, str(error), ADVICE_CODEC) from error
                yield number, image_HWC
            cursor.check_unchanged()
