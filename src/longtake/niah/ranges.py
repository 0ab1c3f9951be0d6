"""niah.ranges: `200:3000:200` and `0,0.5` in, numbers out; and how LongVA reports a depth. Knows nothing of models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from longtake.errors import ErrorCode, LongtakeError

Number = TypeVar("Number", int, float)

MOST_STEPS = 10_000
_SLACK = 1e-9
"""Of a step: 1.0000000000000002 is still the end of 0:1:0.2."""


LONGEST = 10_000_000
"""Frames or tokens of a haystack; a larger number is a slip of the finger."""


def frame_counts(text: str, option: str = "--frames") -> tuple[int, ...]:
    """Lengths of a haystack from `START:STOP:STEP` (STOP included) or a list, or both: `64,200:3000:200`.

    Raises:
        LongtakeError: `usage.bad_option`, about `option`.
    """
    counts = _numbers(text, int, option, "200:3000:200 or 64,256,1024")
    if min(counts) < 1:
        raise _bad(option, f"a length of {min(counts)} is no haystack", "give numbers above 0")
    if max(counts) > LONGEST:
        raise _bad(option, f"a length of {max(counts):,} is more than any model reads", f"give at most {LONGEST:,}")
    return counts


def depths(text: str) -> tuple[float, ...]:
    """Depths, 0 to 1, from the same spellings; START + k x STEP, not rounded, as LongVA computes them.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    found = _numbers(text, float, "--depths", "0:1:0.2 or 0,0.5,1")
    inside = tuple(min(depth, 1.0) if depth < 1 + _SLACK else depth for depth in found)
    if not 0 <= min(inside) <= max(inside) <= 1:
        raise _bad("--depths", f"{text} leaves 0 to 1", "0 is before the first frame, 1 behind the last")
    return inside


def reported_depth(depth: float) -> float:
    """The per cent that LongVA's tables show for a depth: to the nearest ten, halves to the even one (25 -> 20)."""
    return round(depth * 100, -1)


def _numbers(text: str, kind: Callable[[str], Number], option: str, example: str) -> tuple[Number, ...]:
    found: set[Number] = set()
    for part in text.split(","):
        try:
            written = [kind(piece) for piece in part.split(":")]
            if len(written) not in (1, 3) or not all(math.isfinite(number) for number in written):
                raise ValueError(part)
        except ValueError as error:
            raise _bad(option, f"{part!r} is neither a number nor START:STOP:STEP", f"write {example}") from error
        found.update(written if len(written) == 1 else _steps(*written, option=option, example=example))
    return tuple(sorted(found))


def _steps(start: Number, stop: Number, step: Number, *, option: str, example: str) -> list[Number]:
    if step <= 0 or stop < start or (stop - start) / step > MOST_STEPS:
        reason = f"{start:g}:{stop:g}:{step:g} does not go up from the first to the second in at most {MOST_STEPS:,}"
        raise _bad(option, f"{reason} steps", f"write {example}")
    return [start + number * step for number in range(math.floor((stop - start) / step + _SLACK) + 1)]


def _bad(option: str, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, reason, advice)
