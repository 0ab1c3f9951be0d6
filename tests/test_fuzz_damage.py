"""Damage inside frames: what a decoder can notice is told or left out, never shown. What none can: docs/reading.md."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fuzz import damage
from fuzz.seeds import Seed, seeds
from longtake.errors import ErrorCode, LongtakeError
from longtake.video import Frames
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from longtake.video.video_file import VideoFile
from media import numbered
from media.numbered import Coding


def seed(name: str) -> Seed:
    (found,) = seeds((name,), frames=50)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vp9.webm", damage.one_bit),
        ("vp9_alt.webm", damage.one_bit),
        ("vp9_alt.webm", damage.noise),
        ("png.mov", damage.tail),
        ("mpeg4.mp4", damage.tail),
        ("h264_1s.mp4", damage.tail),
        ("h264_1s.mp4", damage.noise),
        ("hevc.mp4", damage.noise),
    ],
)
def test_damage_that_a_decoder_notices_is_never_shown(tmp_path: Path, name: str, kind: damage.Damage) -> None:
    counts = damage.measured(seed(name), kind, rounds=6, chance=random.Random(4), folder=tmp_path)
    assert counts["left out"] >= 6 and not counts["wrong"]


def test_hashes_of_pictures_are_compared(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:hash=1:keyint=25:pools=1:frame-threads=1"}
    path = numbered.write(tmp_path / "a.mp4", Coding(codec="libx265", options=options), frames=20)
    whole = [some.pixels_TCHW[0] for some in open_video(path).read(range(20), chunk=1)]
    data = bytearray(path.read_bytes())
    # The last byte of one picture's data: without the hash nothing is amiss.
    end = data.index(b"mdat") + 4 + 3000
    data[end] ^= 4
    path.write_bytes(data)
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    came = [(int(some.numbers[0]), some.pixels_TCHW[0]) for some in video.read(range(20), chunk=1)]
    assert 0 < len(came) < 20
    assert all((image == whole[number]).all() for number, image in came)


@pytest.mark.parametrize("kind", damage.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["ffv1.mkv", "ffv1_one_key.avi"])
def test_checksums_of_ffv1_slices_are_compared(tmp_path: Path, name: str, kind: damage.Damage) -> None:
    counts = damage.measured(seed(name), kind, rounds=4, chance=random.Random(4), folder=tmp_path)
    assert counts["left out"] >= 4 and not counts["wrong"]


def test_ffv1_without_checksums_is_read(tmp_path: Path) -> None:
    coding = Coding(codec="ffv1", options={"level": "3", "slicecrc": "0", "threads": "1"})
    video = open_video(numbered.write(tmp_path / "a.mkv", coding, frames=10))
    assert not video.table.packets.damaged_P.any()
    assert [numbered.read(image) for image in shown(video)] == list(range(10))


def test_frames_after_lost_packets_of_a_transport_stream_are_not_shown(tmp_path: Path) -> None:
    coding = Coding(codec="mpeg2video", options={"g": "12", "bf": "2", "b": "2000000", "threads": "1"})
    data = numbered.write(tmp_path / "whole.ts", coding, frames=60).read_bytes()
    path = tmp_path / "gap.ts"
    lost = len(data) // 2 // 188 * 188
    path.write_bytes(data[:lost] + data[lost + 5 * 188 :])
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    came = [(float(some.times_s[0]), numbered.read(picture(some))) for some in video.read(video.numbers, chunk=1)]
    assert 30 < len(came) < 59
    assert all(abs(number * 0.04 - time_s) < 0.001 for time_s, number in came)
    with pytest.raises(LongtakeError) as refused:
        list(open_video(path).read(range(40)))
    assert refused.value.code is ErrorCode.MEDIA_CORRUPT


def test_joined_transport_streams_are_not_taken_for_damaged(tmp_path: Path) -> None:
    # Their continuity counters begin again, so that packets seem to be missing before the second part.
    coding = Coding(options={"g": "10"})
    one = numbered.write(tmp_path / "one.ts", coding, frames=20).read_bytes()
    later = numbered.write(
        tmp_path / "two.ts", coding, times_ms=[2000 + 40 * place for place in range(20)]
    ).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(one + later)
    video = open_video(path)
    assert [numbered.read(image) for image in shown(video)] == [*range(20), *range(20)]


def picture(some: Frames) -> NDArray[np.uint8]:
    """The only frame of a chunk, as (H, W, 3)."""
    return some.pixels_TCHW[0].transpose(1, 2, 0)


def shown(video: VideoFile) -> list[NDArray[np.uint8]]:
    """Every frame as (H, W, 3)."""
    return [picture(some) for some in video.read(video.numbers, chunk=1)]
