"""video/packets/clock: the times of packets as stored in, one clock that runs on out. Knows no frames.

Decoding times only grow, but where something is wrong, or begins anew:

    0 40 80 120 | 0 40 80 ...             several clocks: files joined byte for byte, a sender that was started anew
    0 40 80 | 9,000,120 | 160 200 ...     a damaged time: what it belongs to just fits into the hole that it left
    5000 5040 | 3 | 5120 5160 ...         the same the other way
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a time that is not stored."""

_JUMP_S = 0.5
"""A decoding time that is so much earlier than the one before is no sloppy writing."""
_LOOSE_STEPS = 4
"""A hole is so many steps longer than what belongs into it, with one before, one behind and some for uneven times."""
_MOST_JUMPS = 1000
_MOST_TICKS = 1 << 52
"""A lifetime in microseconds; sums and differences of such times are exact in whole numbers and in floats."""

Ticks = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class Clock:
    """Times on one clock.

    Attributes:
        pts_P: presentation times; each part begins where the one before ends.
        parts: how many clocks there were.
        strange_P: packets whose times are damaged; what `pts_P` says of them means nothing.
    """

    pts_P: Ticks
    parts: int
    strange_P: NDArray[np.bool_]


def one_clock(pts_P: Ticks, dts_P: Ticks, tick_s: float, path: str) -> Clock:
    """Put all times on the first clock.

    Args:
        pts_P: presentation time of each packet as stored; all are known.
        dts_P: decoding time; `NO_TIME` where not stored.
        tick_s: the unit of both, in seconds.

    Raises:
        LongtakeError: `media.container` if there are more than a thousand jumps back, or times too far apart to count.
    """
    known = np.flatnonzero(dts_P != NO_TIME)
    _check_span(pts_P, path)
    _check_span(dts_P[known], path)
    dts = dts_P[known].astype(np.int64)
    jumps = 1 + np.flatnonzero(np.diff(dts) * tick_s < -_JUMP_S)
    strange_P = np.zeros(len(pts_P), dtype=np.bool_)
    if len(jumps) >= _MOST_JUMPS:
        reason = f"its clock jumps back {len(jumps):,} times"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "fetch or export the file again")
    starts: list[int] = []
    for jump in jumps.tolist():
        strangers = _strangers(dts, starts[-1] if starts else 0, jump, tick_s)
        if strangers is None:
            starts.append(jump)
        else:
            strange_P[known[strangers[0]] : known[strangers[1]]] = True
    if not starts:
        return Clock(pts_P, 1, strange_P)
    return Clock(_joined(pts_P.astype(np.int64), known[starts], strange_P, tick_s), 1 + len(starts), strange_P)


def _check_span(times_P: Ticks, path: str) -> None:
    if len(times_P) and int(times_P.max()) - int(times_P.min()) > _MOST_TICKS:
        reason = "its frames have times that lie too far apart to be times"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "export the file again")


def _strangers(dts: NDArray[np.int64], since: int, back: int, tick_s: float) -> tuple[int, int] | None:
    """The packets with damaged times that a jump back ends, or begins; None if it begins a new clock."""
    ahead = 1 + np.flatnonzero(np.diff(dts[since:]) * tick_s > _JUMP_S) + since
    before, behind = ahead[ahead < back][::-1], ahead[ahead > back]
    pairs = [(int(place), back) for place in before] + [(back, int(place)) for place in behind[:1]]
    step = float(np.median(np.abs(np.diff(dts)))) if len(dts) > 1 else 0.0
    for first, end in pairs:
        hole, length = dts[end] - dts[first - 1], dts[end - 1] - dts[first]
        if 0 <= length <= hole <= length + _LOOSE_STEPS * step:
            return first, end
    return None


def _joined(
    pts_P: NDArray[np.int64], starts: NDArray[np.int64], strange_P: NDArray[np.bool_], tick_s: float
) -> NDArray[np.int64]:
    sound = np.split(~strange_P, starts)
    parts = np.split(pts_P, starts)
    for number in range(1, len(parts)):
        earlier, later = parts[number - 1][sound[number - 1]], parts[number][sound[number]]
        if not (len(earlier) and len(later)):
            continue
        steps = np.diff(np.sort(earlier))
        step = int(np.median(steps)) if len(steps) else round(0.04 / tick_s)
        parts[number] += earlier.max() + step - later.min()
    return np.concatenate(parts)
