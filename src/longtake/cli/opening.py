"""cli/opening: how a user wants a file to be read in, the opened video out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from longtake.cli.heap import keep_large_blocks_apart
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.video.options import Deinterlace, Guard, Heard, Limits, OnCorrupt
    from longtake.video.video_file import VideoFile

LIMITS = {"bytes": "bytes", "pixels": "pixels", "frames": "frames", "duration": "duration_s"}
"""A limit's name on the command line, and in `Limits`."""
GUARDS = {"deadline": "deadline_s", "memory": "memory_bytes"}
"""The same of `Guard`."""

_TIMES = ("duration", "deadline")
_COUNT = re.compile(r"(\d{1,18})(?:([KMGT])i?B?)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Way:
    """How a file is read, as the user put it.

    Attributes:
        stream: number of the stream.
        on_corrupt, deinterlace: as in `ReadOptions`.
        limits: each NAME=VALUE as typed.
        isolate: decode in a process apart.
        hash_pixels: tell the hash of each frame's pixels.
    """

    stream: int | None
    on_corrupt: OnCorrupt
    deinterlace: Deinterlace
    limits: tuple[str, ...]
    isolate: bool
    hash_pixels: bool = False

    def checked(self) -> tuple[Limits, Guard]:
        """The limits, defaults where the user names none.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.video.options import Guard, Limits

        values = dict(parsed_limit(text, isolated=self.isolate) for text in self.limits)
        limits = {LIMITS[name]: value for name, value in values.items() if name in LIMITS}
        guard = {GUARDS[name]: value for name, value in values.items() if name in GUARDS}
        # Bytes, pixels and frames were parsed as whole numbers, so each value has its field's type.
        return Limits(**limits), Guard(**guard)  # type: ignore[arg-type]


@contextmanager
def opened_video(path: str, way: Way, *, heard: Heard | None = None) -> Iterator[VideoFile]:
    """The opened video; with `isolate`, the process that decodes it lives as long as the `with`.

    Raises:
        LongtakeError: `usage.bad_option`, `media.*`, `limit.*`.
    """
    with opening(way, heard=heard) as open_one:
        yield open_one(path)


@contextmanager
def opening(way: Way, *, heard: Heard | None = None) -> Iterator[Callable[[str], VideoFile]]:
    """What opens one video after the other; with `isolate`, one process decodes all, as long as the `with`.

    Raises:
        LongtakeError: `usage.bad_option`; what it yields raises `media.*` and `limit.*`.
    """
    from longtake.video.opening import open_video
    from longtake.video.options import ReadOptions

    keep_large_blocks_apart()
    limits, guard = way.checked()
    options = ReadOptions(way.on_corrupt, way.deinterlace, limits, hash_pixels=way.hash_pixels)
    if heard is not None:
        options = replace(options, heard=heard)
    if not way.isolate:
        yield partial(open_video, stream=way.stream, options=options)
        return
    from longtake.video.apart import DecodingProcess

    with DecodingProcess(guard) as process:
        yield partial(process.open_video, stream=way.stream, options=options)


def parsed_limit(text: str, *, isolated: bool) -> tuple[str, int | float]:
    """`"bytes=64GiB"` as `("bytes", 68719476736)`; K, M, G and T are powers of 1,024; times are as in --start.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    name, equals, written = text.partition("=")
    subject = f"--limit {text}"
    if not equals or name not in (*LIMITS, *GUARDS):
        reason = "is not NAME=VALUE with NAME one of " + ", ".join((*LIMITS, *GUARDS))
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, "write it like --limit bytes=64GiB")
    if name in GUARDS and not isolated:
        reason, advice = "limits a process that decodes apart", "add --isolate"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, advice)
    value = parsed_seconds(written) if name in _TIMES else parsed_count(written)
    if not value:
        wants = "a time such as 90 or 12:00:00" if name in _TIMES else "a whole number such as 2000000 or 64GiB"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, f"wants {wants}, more than 0", "write it so")
    return name, value


def parsed_seconds(written: str) -> float | None:
    """`"1:30"` as 90; None for what is no time."""
    from longtake.video.times import parse_time

    try:
        return parse_time(written)
    except LongtakeError:
        return None


def parsed_count(written: str) -> int | None:
    """`"5GiB"` as a number, K, M, G and T being powers of 1,024; None where it is none."""
    found = _COUNT.fullmatch(written.strip())
    if found is None:
        return None
    return int(found[1]) << 10 * (" KMGT".index(found[2].upper()) if found[2] else 0)
