"""Files that hold several clocks, or hardly any times at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.clock import one_clock
from longtake.video.opening import open_video
from media import numbered
from media.numbered import Coding


def test_one_clock_by_hand() -> None:
    """Frames stored I P B, twice, at 10 ticks a second: the second part begins where the first ends."""
    pts = np.array([10, 12, 11, 13, 13 - 10, 5, 4])
    dts = np.array([8, 9, 10, 11, 1, 2, 3])
    found, clocks = one_clock(pts, dts, 0.1, "a.ts")
    assert clocks == 2
    assert found.tolist() == [10, 12, 11, 13, 14, 16, 15]


def test_small_steps_back_are_no_new_clock() -> None:
    dts = np.array([0, 40, 30, 80, 120])
    assert one_clock(dts, dts, 0.001, "a.ts") == (pytest.approx(dts), 1)


def test_a_clock_that_never_runs_on_is_refused() -> None:
    dts = np.tile([0, 1000], 2000)
    with pytest.raises(LongtakeError) as caught:
        one_clock(dts, dts, 0.001, "a.ts")
    assert caught.value.code is ErrorCode.MEDIA_CONTAINER


@pytest.mark.parametrize("other_frames", [40, 60])
def test_joined_files_are_shown_one_after_the_other(tmp_path: Path, other_frames: int) -> None:
    coding = Coding(options={"g": "12", "bf": "2"})
    first = numbered.write(tmp_path / "a.ts", coding, frames=60)
    second = numbered.write(tmp_path / "b.ts", coding, frames=other_frames)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    video = open_video(joined)
    shown = [
        numbered.read(image.transpose(1, 2, 0)) for some in video.read(video.numbers) for image in some.pixels_TCHW
    ]
    assert shown == [*range(60), *range(other_frames)]
    assert video.times_s == pytest.approx(0.04 * np.arange(60 + other_frames), abs=1e-3)
    assert any("its clock begins again 1 times" in note for note in video.notes)
    # In any order of asking, too.
    some = next(iter(video.read([3, 61, 80, 99])))
    assert [numbered.read(image.transpose(1, 2, 0)) for image in some.pixels_TCHW] == [3, 1, 20, 39]
