"""video/lost: which frames were asked and which came in, the stretches of time that nobody saw out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from longtake.video import LostSpan, Video
from longtake.video.times import format_time


def lost_spans(video: Video, asked: Sequence[int], got: Iterable[int]) -> tuple[LostSpan, ...]:
    """The times at which asked frames that did not come are on screen; neighbours in `asked` make one span.

    Args:
        asked, got: frame numbers, ascending.
    """
    came = set(got)
    spans = []
    for is_lost, group in groupby(asked, key=lambda number: number not in came):
        if is_lost:
            numbers = list(group)
            behind = numbers[-1] + 1
            end_s = video.times_s[behind] if behind < len(video.times_s) else video.duration_s
            spans.append((float(video.times_s[numbers[0]]), float(end_s)))
    return tuple(spans)


def told(spans: Iterable[LostSpan]) -> str:
    """`spans` in words: "0:00:02 to 0:00:04, 0:01:10 to the end"."""
    return ", ".join(
        f"{format_time(start_s)} to {'the end' if end_s is None else format_time(end_s)}" for start_s, end_s in spans
    )
