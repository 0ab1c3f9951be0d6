"""video/clock: the times of packets as stored in, one clock that runs on out. Knows nothing of what packets hold.

Files that were joined byte for byte (cat a.ts b.ts), and recordings of a sender that was started anew, hold several
clocks: decoding times, which otherwise only grow, jump back where the next begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a time that is not stored."""

_BACK_S = 0.5
"""A decoding time that is so much earlier than the one before begins a new clock; less is sloppy writing."""
_MOST_CLOCKS = 1000
_MOST_TICKS = 1 << 52
"""A lifetime in microseconds; sums and differences of such times are exact in whole numbers and in floats."""

Ticks = NDArray[np.int32] | NDArray[np.int64]


def one_clock(pts_P: Ticks, dts_P: Ticks, tick_s: float, path: str) -> tuple[Ticks, int]:
    """Presentation times on the first clock, each part beginning where the one before ends; and how many clocks.

    Args:
        pts_P: presentation time of each packet as stored; all are known.
        dts_P: decoding time; `NO_TIME` where not stored.
        tick_s: the unit of both, in seconds.

    Raises:
        LongtakeError: `media.container` if there are more than a thousand clocks, or times too far apart to count.
    """
    known = np.flatnonzero(dts_P != NO_TIME)
    _check_span(pts_P, path)
    _check_span(dts_P[known], path)
    starts = known[1:][np.diff(dts_P[known]) * tick_s < -_BACK_S]
    if not len(starts):
        return pts_P, 1
    if len(starts) >= _MOST_CLOCKS:
        reason = f"its clock jumps back {len(starts):,} times"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "fetch or export the file again")
    parts = np.split(pts_P.astype(np.int64), starts)
    for earlier, later in zip(parts, parts[1:], strict=False):
        steps = np.diff(np.sort(earlier))
        step = int(np.median(steps)) if len(steps) else round(0.04 / tick_s)
        later += earlier.max() + step - later.min()
    return np.concatenate(parts), len(parts)


def _check_span(times_P: Ticks, path: str) -> None:
    if len(times_P) and int(times_P.max()) - int(times_P.min()) > _MOST_TICKS:
        reason = "its frames have times that lie too far apart to be times"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "export the file again")
