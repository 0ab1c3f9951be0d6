"""The packet table's columns keep every number exactly, in as few bytes as it needs."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.video.packets.scanning import NO_TIME, compact

HALF = 1 << 30


@pytest.mark.parametrize(
    ("numbers", "bytes_each"),
    [
        ([0, 512, 1024], 4),
        ([-HALF, HALF - 1], 4),
        ([0, HALF], 8),
        ([-HALF - 1, 5], 8),
        ([NO_TIME, 5], 8),
        ([0, 12 * 3600 * 90_000], 8),
    ],
)
def test_numbers_stay_as_they_are_and_differences_do_not_overflow(numbers: list[int], bytes_each: int) -> None:
    kept = compact(np.array(numbers, dtype=np.int64))
    assert kept.tolist() == numbers
    assert kept.itemsize == bytes_each
    if NO_TIME not in numbers:
        assert np.diff(kept).tolist() == [later - sooner for sooner, later in zip(numbers, numbers[1:], strict=False)]


def test_one_number_for_all_takes_no_more_than_one() -> None:
    kept = compact(np.full(1_000_000, NO_TIME))
    assert kept.strides == (0,) and (kept == NO_TIME).all() and len(kept) == 1_000_000
    assert compact(np.array([], dtype=np.int64)).tolist() == []
