"""Files that mark packets as key frames which are none: each frame read by itself shows its own number."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from longtake.video.opening import open_video
from longtake.video.options import Limits, ReadOptions
from longtake.video.packets.keyframes import may_be_key, true_keys
from media import numbered
from media.numbered import Coding

FRAMES = 30


def assert_each_alone_is_itself(path: Path) -> None:
    video = open_video(path)
    assert len(video.times_s) == FRAMES
    for number in (17, 1, 29, 8, 0):
        (frames,) = video.read([number])
        assert numbered.read(frames.pixels_TCHW[0].transpose(1, 2, 0)) == number
        assert frames.times_s[0] == pytest.approx(number / 25, abs=0.002)


@pytest.mark.parametrize("codec", ["msmpeg4v2", "wmv2", "flv", "msvideo1", "mpeg4"])
def test_avi_without_index(tmp_path: Path, codec: str) -> None:
    pixel_format = "rgb555le" if codec == "msvideo1" else "yuv420p"
    coding = Coding(codec, {"g": "12"}, pixel_format=pixel_format)
    path = numbered.write(tmp_path / "film.avi", coding, frames=FRAMES)
    data = bytearray(path.read_bytes())
    index = data.rindex(b"idx1")
    data[index : index + 4] = b"JUNK"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        marked = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert all(marked) == (codec != "mpeg4")
    assert_each_alone_is_itself(path)


@pytest.mark.parametrize(("codec", "name"), [("h263", "film.avi"), ("h263p", "film.avi")])
def test_codecs_of_telephones(tmp_path: Path, codec: str, name: str) -> None:
    coding = Coding(codec, {"g": "12"}, width=352, height=288)
    assert_each_alone_is_itself(numbered.write(tmp_path / name, coding, frames=FRAMES))


def test_palette_that_only_the_first_packet_brings(tmp_path: Path) -> None:
    coding = Coding("qtrle", {"g": "12"}, pixel_format="gray")
    assert_each_alone_is_itself(numbered.write(tmp_path / "film.mov", coding, frames=FRAMES))


def test_windows_media_stores_no_presentation_times(tmp_path: Path) -> None:
    coding = Coding("libx264", {"bf": "3", "g": "12"})
    assert_each_alone_is_itself(numbered.write(tmp_path / "film.asf", coding, frames=FRAMES))


def test_placeholder_of_packed_mpeg4_is_no_key_frame() -> None:
    assert not may_be_key(av.Packet(bytes.fromhex("000001b6104f")), "mpeg4")
    assert may_be_key(av.Packet(bytes(6)), "zmbv")


@pytest.mark.parametrize(
    ("codec", "marked", "believed"),
    [
        ("wmv2", [1, 0, 0, 1, 0], [1, 0, 0, 1, 0]),
        ("wmv2", [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]),
        ("wmv2", [1, 0, 1, 0, 1], [1, 0, 1, 0, 0]),
        ("wmv2", [0, 0, 0], [1, 0, 0]),
        ("h264", [0, 1, 1], [0, 1, 1]),
        ("mjpeg", [1, 1, 1], [1, 1, 1]),
        ("gif", [1, 0, 1], [1, 0, 0]),
        ("h261", [1, 0, 1, 0], [1, 0, 0, 0]),
    ],
)
def test_which_marks_are_believed(codec: str, marked: list[int], believed: list[int]) -> None:
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    keys = true_keys(np.array(marked, dtype=np.bool_), context, has_palette=False)
    assert keys.tolist() == [bool(one) for one in believed]


def test_a_limit_larger_than_ffmpeg_can_count_to(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "film.mp4", frames=2)
    assert len(open_video(path, options=ReadOptions(limits=Limits(pixels=9 << 30))).times_s) == 2
