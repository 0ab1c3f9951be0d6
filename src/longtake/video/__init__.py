"""video: a file in, frames with their true times out. Knows nothing of models, tensors or what frames are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

READING_VERSION = 1
"""Of this room; raised when the same file gives other frames, times or pixels: what was kept of it is then no use."""

Shrink = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""One displayed frame (H, W, 3) uint8 RGB in, the small frame to keep (3, h, w) uint8 out."""

LostSpan = tuple[float, float | None]
"""From when to when, in seconds, nothing can be seen; before 0 where a file starts in the middle, None for an end that
nobody knows."""


@dataclass(frozen=True)
class Frames:
    """Some frames of a video, as really decoded, in displayed orientation.

    Attributes:
        pixels_TCHW: uint8 RGB.
        times_s: (T,) presentation times in seconds; 0 is the first displayed frame.
        numbers: (T,) frame numbers: places in the file's frame table.
        hashes: of each frame as it is displayed, see `video.fingerprint`; empty where the file was not opened to tell
            them.
    """

    pixels_TCHW: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    numbers: NDArray[np.int64]
    hashes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels_TCHW.dtype != np.uint8 or self.pixels_TCHW.ndim != 4 or self.pixels_TCHW.shape[1] != 3:
            raise ValueError(f"pixels are {self.pixels_TCHW.dtype} {self.pixels_TCHW.shape}; want uint8 (T, 3, H, W)")
        if not len(self.pixels_TCHW) == len(self.times_s) == len(self.numbers):
            raise ValueError(
                f"{len(self.pixels_TCHW)} pictures, {len(self.times_s)} times, {len(self.numbers)} numbers"
            )
        if self.hashes and len(self.hashes) != len(self.numbers):
            raise ValueError(f"{len(self.hashes)} hashes of {len(self.numbers)} frames")


class Video(Protocol):
    """A video file that has been looked at but not decoded.

    Attributes:
        path: the file, as the user named it.
        times_s: (N,) presentation time of every displayed frame of the file, ascending, first is 0.
        numbers: the frame numbers that may be sampled (all, or those of a stretch), ascending.
        duration_s: from the first displayed frame to the end of the last.
        height_px, width_px: displayed size, after rotation and sample aspect ratio.
        lost_s: stretches that are known, before anything is decoded, to be missing.
        notes: what is worth saying about the file.
    """

    @property
    def path(self) -> str: ...
    @property
    def times_s(self) -> NDArray[np.float64]: ...
    @property
    def numbers(self) -> NDArray[np.int64]: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def height_px(self) -> int: ...
    @property
    def width_px(self) -> int: ...
    @property
    def lost_s(self) -> tuple[LostSpan, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def stretch(self, start_s: float | None, end_s: float | None) -> Video:
        """The same file, to be sampled only where a frame is on screen in [start_s, end_s).

        Raises:
            LongtakeError: `usage.bad_span` if nothing is on screen then.
        """
        ...

    def read(self, numbers: Sequence[int], *, chunk: int = 32, shrink: Shrink | None = None) -> Iterator[Frames]:
        """Yield the asked frames (strictly ascending) `chunk` at a time: memory does not grow with the video.

        A video that was opened to skip damage leaves out what cannot be decoded; `Frames.numbers` says what came.

        Raises:
            LongtakeError: `media.corrupt` or `media.truncated` if an asked frame cannot be decoded and none may be
                skipped; never another frame.
        """
        ...
