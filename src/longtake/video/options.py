"""video/options: how a file may be read: what is done about damage, and how much of it may be paid for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

OnCorrupt = Literal["error", "skip"]
Deinterlace = Literal["off", "auto"]
Heard = Callable[[str, int, int], None]
"""Called as heard(stage, done, total): "scan" counts bytes of the file, "decode" packets up to the last wanted one."""

MOST_PIXELS = 2**31 - 1
"""FFmpeg's decoders take no larger number as their limit."""


def _nobody(stage: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Limits:
    """What a file may cost; each is checked before it is paid.

    Attributes:
        bytes: size of the file. 128 GiB is half a day at 24 Mbit/s.
        pixels: of one coded picture. 8192 x 4320 is the largest that cameras and films have ("8K").
        frames: in the stream: two days at 60 a second.
        duration_s: from the first displayed frame to the end of the last: two days.
    """

    bytes: int = 128 << 30
    pixels: int = 8192 * 4320
    frames: int = 2 * 24 * 3600 * 60
    duration_s: float = 2 * 24 * 3600.0

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "frames", "duration_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"the limit {name} is {getattr(self, name)}; want more than 0")


@dataclass(frozen=True)
class Guard:
    """What a process that decodes apart may take before it is ended.

    Attributes:
        deadline_s: the longest time without a sign of life; a packet takes milliseconds, a slow disk seconds.
        memory_bytes: of address space, over what it has when it starts. The largest pictures that are read by default
            take about 2 GiB in a decoder that keeps sixteen of them.
    """

    deadline_s: float = 30.0
    memory_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        for name in ("deadline_s", "memory_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"the limit {name} is {getattr(self, name)}; want more than 0")


@dataclass(frozen=True)
class ReadOptions:
    """How a video file is read.

    Attributes:
        on_corrupt: "error" refuses a file that is cut off and a frame that cannot be decoded. "skip" leaves them out,
            and whoever reads learns which: `Video.lost_s`, and the numbers that `read` did not give.
        deinterlace: "auto" makes frames that are flagged as interlaced whole from their first field; "off" gives both
            fields woven together, as stored.
        limits: what may be paid.
        threads: how many may decode.
        hash_pixels: tell the SHA-256 of each frame as it is displayed: `Frames.hashes`. It costs 1.7 ms of a frame of
            1280 x 720 on a processor with instructions for it (docs/manifest.md).
        heard: told again and again while packets are scanned and decoded, so that progress can be shown and a decoder
            that hangs be noticed.
    """

    on_corrupt: OnCorrupt = "error"
    deinterlace: Deinterlace = "off"
    limits: Limits = field(default_factory=Limits)
    threads: int = 2
    hash_pixels: bool = False
    heard: Heard = field(default=_nobody, compare=False, repr=False)


AS_IS = ReadOptions()
