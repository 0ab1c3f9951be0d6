"""What `longtake info` tells, and times as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.info import info
from longtake.video.opening import open_video
from longtake.video.times import format_time, parse_time
from media import numbered
from media.numbered import Coding


def test_bunny(bunny: Path) -> None:
    facts = info(open_video(bunny))
    assert (facts.frames, facts.header_frames, facts.key_frames) == (132, 132, 1)
    assert facts.duration_s == pytest.approx(5.28) and facts.mean_fps == pytest.approx(25)
    assert (facts.coded_width_px, facts.coded_height_px, facts.width_px, facts.height_px) == (1280, 720, 1280, 720)
    assert (facts.rotation_deg, facts.mirrored, facts.sample_aspect_ratio) == (0, False, "1:1")
    assert (facts.gaps, facts.gap_count, facts.variable_rate, facts.interlaced) == ((), 0, False, False)
    assert facts.largest_key_gap_s == pytest.approx(5.28)
    assert facts.size_bytes == bunny.stat().st_size and facts.container == "mov,mp4,m4a,3gp,3g2,mj2"
    assert [(one.kind, one.codec, one.taken) for one in facts.streams] == [
        ("video", "h264", True),
        ("audio", "aac", False),
    ]
    assert facts.colour_matrix == "bt709 (assumed: not stated)"
    assert facts.notes == ()


def test_as_dict_is_json(bunny: Path) -> None:
    told = json.loads(json.dumps(info(open_video(bunny)).as_dict()))
    assert told["frames"] == 132
    assert told["streams"][0] == {
        "index": 0, "kind": "video", "codec": "h264", "width_px": 1280, "height_px": 720, "taken": True
    }  # fmt: skip


def test_groups_and_gaps(tmp_path: Path) -> None:
    times_ms = [1000 * place for place in range(30)]
    times_ms[20:] = [time_ms + 500 * (place - 19) ** 2 for place, time_ms in enumerate(times_ms) if place >= 20]
    video = open_video(numbered.write(tmp_path / "gaps.ts", Coding(options={"g": "10", "bf": "0"}), times_ms=times_ms))
    facts = info(video)
    assert facts.frames == 30 and facts.key_frames == 3
    # Steps after frame 19 are 1.5, 2.5, 3.5, ... seconds: nine of those ten are more than 1.5 times the median of 1 s.
    assert facts.gap_count == 9 and len(facts.gaps) == 9
    assert facts.gaps[0] == pytest.approx((20.5, 2.5))
    assert facts.variable_rate


def test_interlaced_and_offset_are_told(tmp_path: Path) -> None:
    coding = Coding(codec="mpeg2video", options={"flags": "+ildct+ilme"})
    facts = info(open_video(numbered.write(tmp_path / "fields.mpg", coding, frames=10)))
    assert facts.interlaced and any("interlaced" in note for note in facts.notes)
    assert facts.start_offset_s == pytest.approx(0.54), "a program stream's clock does not begin at 0; ours does"


def test_rotation_is_told(shared: Path) -> None:
    facts = info(open_video(shared / "media" / "rotated_90.mov"))
    assert facts.rotation_deg == 90
    assert (facts.coded_width_px, facts.coded_height_px, facts.width_px, facts.height_px) == (568, 320, 320, 568)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("754.5", 754.5), (".5", 0.5), ("12:34.5", 754.5), ("0:12:34.5", 754.5), ("1:00:00", 3600),
     ("90:00", 5400), ("10:00:00.001", 36000.001), (" 7 ", 7)],
)  # fmt: skip
def test_parse_time(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:2:3:4", "1:60:00", "nan", "inf", "1e3", "five", "1:", ":5", "1.5:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        parse_time(text)
    assert caught.value.code is ErrorCode.USAGE_BAD_SPAN


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (754.5, "0:12:34.5"), (3599.9996, "1:00:00"), (36000.001, "10:00:00.001"), (-1.5, "-0:00:01.5"),
     (-0.0001, "0:00:00")],
)  # fmt: skip
def test_format_time(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


@given(st.integers(0, 10**9))
def test_times_come_back(milliseconds: int) -> None:
    assert round(parse_time(format_time(milliseconds / 1000)) * 1000) == milliseconds
