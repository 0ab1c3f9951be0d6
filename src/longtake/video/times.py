"""video/times: a time as people write it in, seconds out, and back. Knows nothing of files."""

from __future__ import annotations

import re

from longtake.errors import ErrorCode, LongtakeError

_PLAIN = re.compile(r"\d{1,12}(\.\d+)?|\.\d+", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,2}(?:\.\d+)?)", re.ASCII)


def parse_time(text: str) -> float:
    """Seconds of `text`, written as seconds (`754.5`), m:ss (`12:34.5`) or h:mm:ss (`0:12:34.5`).

    Raises:
        LongtakeError: `usage.bad_span` if `text` is no such time.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        hours, minutes, seconds = int(clock[1] or 0), int(clock[2]), float(clock[3])
        if seconds < 60 and (minutes < 60 or clock[1] is None):
            return hours * 3600 + minutes * 60 + seconds
    raise LongtakeError(
        ErrorCode.USAGE_BAD_SPAN,
        text,
        "is not a time in a video",
        "write seconds, m:ss or h:mm:ss, as in 754.5 or 0:12:34.5",
    )


def format_time(seconds: float) -> str:
    """`seconds` as h:mm:ss with the fraction, to a millisecond, that it has: 754.5 is 0:12:34.5."""
    milliseconds = round(abs(seconds) * 1000)
    whole, fraction = divmod(milliseconds, 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    tail = f".{fraction:03d}".rstrip("0") if fraction else ""
    sign = "-" if seconds < 0 and milliseconds else ""
    return f"{sign}{hours}:{minute:02d}:{second:02d}{tail}"


def spoken_s(seconds: float) -> str:
    """A length of time as one says it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
