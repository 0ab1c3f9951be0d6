"""What fuzzing found and is mended: each by the recipe that makes the file again."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from fuzz.child import Child
from fuzz.edits import applied
from fuzz.seeds import seeds
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from media import numbered
from media.numbered import Coding


def with_sounds(path: Path, video: Path, *, sounds: int) -> Path:
    """A transport stream of the packets of `video` and many silent sound streams."""
    with av.open(str(video)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        heard = [new.add_stream("mp2", rate=48000) for _ in range(sounds)]
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
        for stream in heard:
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 1152), dtype=np.int16), format="s16p", layout="stereo")
            silence.rate = 48000
            for place in range(20):
                silence.pts = place * 1152
                new.mux(stream.encode(silence))
            new.mux(stream.encode())
    return path


def test_streams_that_turn_up_late_do_not_end_in_a_bug(tmp_path: Path) -> None:
    # PyAV 18 asks a table that was made when reading began about them: by chance an IndexError at the end.
    coding = Coding(codec="mpeg2video", options={"g": "10", "qmin": "1", "qmax": "1", "b": "20000000"})
    plain = numbered.write(tmp_path / "plain.ts", coding, frames=100)
    late = with_sounds(tmp_path / "late.ts", plain, sounds=60)
    both = tmp_path / "both.ts"
    many = plain.read_bytes() * (6_000_000 // plain.stat().st_size)
    both.write_bytes(many + late.read_bytes() + many)
    video = open_video(both)
    assert len(video.header.streams) == 1, "the others lie beyond what FFmpeg reads of either end to open a file"
    assert [frames.numbers.tolist() for frames in video.read([3, 95])] == [[3, 95]]


def test_a_length_that_leads_out_of_the_file_is_ffmpegs_to_judge(tmp_path: Path) -> None:
    # An object of Windows Media that claims to be 2**61 bytes long: a seek to a place that no file has.
    path = numbered.write(tmp_path / "a.asf", Coding(codec="wmv2", options={"b": "2000000"}), frames=20)
    data = bytearray(path.read_bytes())
    data[46:54] = bytes.fromhex("cf118ee300c00c20")
    path.write_bytes(data)
    video = open_video(path)
    shown = [numbered.read(frames.pixels_TCHW[0].transpose(1, 2, 0)) for frames in video.read(range(20), chunk=1)]
    assert shown == list(range(20))


def test_times_too_far_apart_to_be_times_are_refused(tmp_path: Path) -> None:
    # Two frames of an IVF file whose times differ by more than a whole number of 64 bits holds.
    path = numbered.write(tmp_path / "a.ivf", Coding(codec="libvpx", options={"deadline": "realtime"}), frames=8)
    data, at = bytearray(path.read_bytes()), 32
    for time in (0, 1 << 62, -(1 << 62)):
        data[at + 4 : at + 12] = time.to_bytes(8, "little", signed=True)
        at += 12 + int.from_bytes(data[at : at + 4], "little")
    path.write_bytes(data)
    with pytest.raises(LongtakeError, match="too far apart") as refused:
        open_video(path)
    assert refused.value.code is ErrorCode.MEDIA_CONTAINER


def test_a_matroska_header_longer_than_any_file_is_refused(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "a.mkv", Coding(options={"g": "10"}), frames=10)
    data = bytearray(path.read_bytes())
    # The length of the EBML header (RFC 8794, section 4), from one byte to seven that begin with ones.
    data[4] = 0x02
    path.write_bytes(data)
    with pytest.raises(LongtakeError) as refused:
        open_video(path)
    assert refused.value.code is ErrorCode.MEDIA_CONTAINER


def test_a_codec_tag_that_is_no_text(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "a.mp4", Coding(codec="mpeg4"), frames=5)
    data = path.read_bytes()
    assert data.count(b"mp4v") == 1
    path.write_bytes(data.replace(b"mp4v", b"mp4\xe5"))
    # FFmpeg goes by the stream's descriptor: it is MPEG-4 all the same.
    assert len(open_video(path).times_s) == 5


def test_vp9_with_a_hole_does_not_kill_the_process(tmp_path: Path) -> None:
    # FFmpeg's own VP9 decoder with two threads died of it, a little later and not always at the same place.
    (seed,) = seeds(("vp9_alt.mp4",))
    first, last = seed.frames[0][0], seed.frames[-1][1]
    start, length = first + 400, (last - first) * 3 // 4
    path = tmp_path / "hole.mp4"
    path.write_bytes(applied(seed.data, [(start, length, bytes(length))]))
    child = Child()
    try:
        for _ in range(3):
            ended = child(path, seed)
            assert not ended.death and not ended.trial["bugs"]
    finally:
        child.close()
