"""Files that hold several clocks, or hardly any times at all."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from longtake.video.packets.clock import one_clock
from media import numbered
from media.numbered import Coding


def test_one_clock_by_hand() -> None:
    """Frames stored I P B, twice, at 10 ticks a second: the second part begins where the first ends."""
    pts = np.array([10, 12, 11, 13, 13 - 10, 5, 4])
    dts = np.array([8, 9, 10, 11, 1, 2, 3])
    clock = one_clock(pts, dts, 0.1, "a.ts")
    assert clock.parts == 2 and not clock.strange_P.any()
    assert clock.pts_P.tolist() == [10, 12, 11, 13, 14, 16, 15]


def test_small_steps_back_are_no_new_clock() -> None:
    dts = np.array([0, 40, 30, 80, 120])
    clock = one_clock(dts, dts, 0.001, "a.ts")
    assert clock.pts_P.tolist() == dts.tolist() and clock.parts == 1 and not clock.strange_P.any()


@pytest.mark.parametrize("strange", [[3], [3, 4], [2, 3, 4, 5]])
@pytest.mark.parametrize("moved", [1_000_000, -4_000])
def test_damaged_times_that_fit_into_their_hole_are_no_clock(strange: list[int], moved: int) -> None:
    dts = 40 * np.arange(9)
    dts[strange] += moved
    clock = one_clock(dts, dts, 0.001, "a.ts")
    assert clock.parts == 1
    assert np.flatnonzero(clock.strange_P).tolist() == strange
    sound = np.delete(np.arange(9), strange)
    assert clock.pts_P[sound].tolist() == (40 * sound).tolist()


def test_a_part_that_fits_into_no_hole_has_a_clock_of_its_own() -> None:
    """Ten frames of something else, spliced in: before and after it the clock runs on without a gap."""
    own, other = 40 * np.arange(8), 5_000_000 + 40 * np.arange(10)
    dts = np.concatenate([own[:4], other, own[4:]])
    clock = one_clock(dts, dts, 0.001, "a.ts")
    assert clock.parts == 2 and not clock.strange_P.any()
    # The step ahead is a gap in the times; the step back is where the next part begins.
    assert clock.pts_P[:14].tolist() == dts[:14].tolist()
    assert clock.pts_P[14:].tolist() == (other[-1] + 40 * np.arange(1, 5)).tolist()


def test_a_clock_that_never_runs_on_is_refused() -> None:
    dts = np.tile([0, 1000], 2000)
    with pytest.raises(LongtakeError) as caught:
        one_clock(dts, dts, 0.001, "a.ts")
    assert caught.value.code is ErrorCode.MEDIA_CONTAINER


def test_a_frame_with_a_damaged_time_is_told(tmp_path: Path) -> None:
    """In a transport stream: PTS (and DTS) of the 30th frame jump ahead by hours."""
    coding = Coding(options={"g": "60", "bf": "0"})
    path = numbered.write(tmp_path / "t.ts", coding)
    data = bytearray(path.read_bytes())
    starts = [found.start() for found in re.finditer(b"\0\0\1\xe0", data)]
    data[starts[30] + 9] |= 0x0E  # the highest bits of the presentation time
    path.write_bytes(data)
    with pytest.raises(LongtakeError) as caught:
        open_video(path)
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    for some in video.read(video.numbers, chunk=1):
        assert numbered.read(some.pixels_TCHW[0].transpose(1, 2, 0)) * 0.04 == pytest.approx(some.times_s[0], abs=1e-3)
    assert len(video.times_s) == 59
    assert video.lost_s == ((pytest.approx(29 * 0.04), pytest.approx(31 * 0.04)),)


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
    assert any("holds 2 clocks" in note for note in video.notes)
    # In any order of asking, too.
    some = next(iter(video.read([3, 61, 80, 99])))
    assert [numbered.read(image.transpose(1, 2, 0)) for image in some.pixels_TCHW] == [3, 1, 20, 39]


@pytest.mark.parametrize("first_s", [0.9, 1.3, 2.0])
def test_frames_that_an_edit_list_leaves_out_are_not_missing(tmp_path: Path, first_s: float) -> None:
    whole = numbered.write(tmp_path / "w.mp4", Coding(options={"g": "10"}))
    video = open_video(numbered.remux(whole, tmp_path / "trimmed.mp4", first_pts_s=first_s))
    first = next(iter(video.read([0]))).pixels_TCHW[0].transpose(1, 2, 0)
    assert numbered.read(first) == math.ceil(first_s * 25)
    assert len(video.times_s) == 60 - math.ceil(first_s * 25)


def test_an_index_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "w.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"stsc") + 12
    data[start + 4 : start + 8] = bytes(4)  # samples in a chunk: none
    path.write_bytes(data)
    with pytest.raises(LongtakeError, match=r"error\[media.container\].*its index lists 60 frames, of which 1 can"):
        open_video(path)


def test_cut_inside_the_index(tmp_path: Path) -> None:
    front = Coding(container_options={"movflags": "faststart"})
    data = numbered.write(tmp_path / "w.mp4", front).read_bytes()
    path = tmp_path / "cut.mp4"
    for kind in (b"stsd", b"stts", b"stsz"):
        path.write_bytes(data[: data.index(kind) + 10])
        with pytest.raises(LongtakeError) as caught:
            open_video(path)
        assert caught.value.code is ErrorCode.MEDIA_CONTAINER
        assert "cut off" in caught.value.reason and "still being written" in caught.value.reason, kind
