"""The frame table: every displayed frame at its true time, against a sequential decode and against drawn numbers."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.info import info
from longtake.video.opening import open_video
from longtake.video.packets.scanning import PacketTable, frames_by_time
from longtake.video.video_file import VideoFile
from media import numbered
from media.numbered import Coding

SHARED_MEDIA = {  # frames that a player shows, displayed width and height (shared/media/README.md)
    "bigbuckbunny_480p_30s.mp4": (720, 854, 480),
    "baseball.mp4": (167, 640, 360),
    "basketball.mp4": (214, 640, 360),
    "rotated_0.mov": (3, 568, 320),
    "rotated_90.mov": (3, 320, 568),
    "rotated_180.mov": (3, 568, 320),
    "rotated_270.mov": (3, 320, 568),
    "h264_10bit.mp4": (30, 200, 200),
    "av1.mkv": (125, 640, 360),
    "nasa_two_streams.mp4": (390, 480, 270),
}


def sequential_times_s(path: Path, stream: int) -> list[float]:
    """Times of all frames that a plain decode from the beginning gives, ascending, from the first."""
    with av.open(str(path)) as container:
        pts = sorted(frame.pts for frame in container.decode(container.streams[stream]))
        tick = container.streams[stream].time_base
    return [float((value - pts[0]) * tick) for value in pts]


def shown_numbers(video: VideoFile) -> list[int]:
    return [numbered.read(image.transpose(1, 2, 0)) for some in video.read(video.numbers) for image in some.pixels_TCHW]


def test_bunny(bunny: Path) -> None:
    video = open_video(bunny)
    assert len(video.times_s) == 132
    assert video.duration_s == pytest.approx(5.28)
    assert (video.width_px, video.height_px) == (1280, 720)
    np.testing.assert_allclose(video.times_s, np.arange(132) / 25, atol=1e-9)
    np.testing.assert_array_equal(video.numbers, np.arange(132))


@pytest.mark.parametrize("name", SHARED_MEDIA)
def test_real_files_have_the_frames_of_a_sequential_decode(shared: Path, name: str) -> None:
    frames, width, height = SHARED_MEDIA[name]
    video = open_video(shared / "media" / name)
    assert (len(video.times_s), video.width_px, video.height_px) == (frames, width, height)
    np.testing.assert_allclose(video.times_s, sequential_times_s(shared / "media" / name, video.stream), atol=1e-9)


def test_edit_list_of_a_real_file_is_told(shared: Path) -> None:
    assert any("claims 183 frames; 167" in note for note in open_video(shared / "media" / "baseball.mp4").notes)


def test_of_two_streams_the_larger_is_taken_or_the_one_asked_for(shared: Path) -> None:
    path = shared / "media" / "nasa_two_streams.mp4"
    assert open_video(path).stream == 3
    assert any("0, 3" in note and "3 is taken" in note for note in open_video(path).notes)
    other = open_video(path, stream=0)
    assert (other.stream, len(other.times_s), other.width_px) == (0, 325, 320)
    with pytest.raises(LongtakeError, match="stream 1 is not a video stream") as caught:
        open_video(path, stream=1)
    assert caught.value.code is ErrorCode.MEDIA_NO_VIDEO


GENERATED = {
    "b_frames.mp4": Coding(options={"g": "20"}),
    "no_b_frames.mp4": Coding(options={"bf": "0", "g": "20"}),
    "one_group.mp4": Coding(options={"g": "500", "sc_threshold": "0"}),
    "fragmented.mp4": Coding(options={"g": "20"}, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "matroska.mkv": Coding(options={"g": "20"}),
    "flash.flv": Coding(options={"g": "20"}),
    "transport.ts": Coding(options={"g": "20"}),
    "program.mpg": Coding(codec="mpeg2video", options={"bf": "2", "g": "12"}),
    "mpeg4.mp4": Coding(codec="mpeg4", options={"bf": "2", "g": "12"}),
    "mpeg4.avi": Coding(codec="mpeg4", options={"bf": "2", "g": "12"}),
    "refresh.mp4": Coding(options={"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
    "vp8_hidden_frames.webm": Coding(codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "10", "g": "20"}),
    "vp9.webm": Coding(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "20"}),
    "av1.mkv": Coding(codec="libsvtav1", options={"preset": "8", "g": "20"}),
    "hevc.mp4": Coding(codec="libx265", options={"x265-params": "log-level=none:keyint=20"}),
    "odd_size.mp4": Coding(width=161, height=129, pixel_format="yuv444p"),
    "ten_bits.mp4": Coding(pixel_format="yuv420p10le"),
    "lossless.mkv": Coding(codec="ffv1"),
}


@pytest.mark.parametrize("name", GENERATED)
def test_every_frame_shows_its_number_at_its_time(tmp_path: Path, name: str) -> None:
    video = open_video(numbered.write(tmp_path / name, GENERATED[name], frames=50))
    assert shown_numbers(video) == list(range(50))
    np.testing.assert_allclose(video.times_s, np.arange(50) * 0.04, atol=1e-3)
    assert video.duration_s == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("name", ["wrapped.avi", "raw.h264"])
def test_without_stored_times_the_decoder_says_the_order(tmp_path: Path, name: str) -> None:
    coding = Coding(options={"g": "20"}, container="h264" if name == "raw.h264" else None)
    video = open_video(numbered.write(tmp_path / name, coding, frames=50))
    assert shown_numbers(video) == list(range(50))
    np.testing.assert_allclose(video.times_s, np.arange(50) * 0.04, atol=1e-9)
    assert any("stores no presentation times" in note for note in video.notes)


def test_leading_frames_of_an_open_group_come_out_too(tmp_path: Path) -> None:
    params = "open-gop=1:scenecut=0:bframes=3:b-adapt=0:keyint=20"
    video = open_video(numbered.write(tmp_path / "open.mp4", Coding(options={"x264-params": params})))
    keys = np.flatnonzero(video.table.packets.key_P)
    own_key = keys[np.searchsorted(keys, video.table.packet_N, side="right") - 1]
    assert (video.table.start_N < own_key).sum() >= 6, "three leading frames before each of two later key frames"
    assert shown_numbers(video) == list(range(60))


def test_variable_rate_with_a_gap_of_36_seconds(tmp_path: Path) -> None:
    times_ms = [0, 40, 80, 200, 36_200, 36_240, 36_300, 36_301]
    video = open_video(numbered.write(tmp_path / "vfr.mp4", Coding(options={"g": "20"}), times_ms=times_ms))
    np.testing.assert_allclose(video.times_s, np.array(times_ms) / 1000, atol=1e-9)
    assert shown_numbers(video) == list(range(8))
    facts = info(video)
    assert facts.variable_rate
    assert facts.gaps[1] == pytest.approx((0.2, 36.0))
    # On screen at 20 s is what came at 0.2 s.
    assert video.stretch(20, 20.5).numbers.tolist() == [3]


def test_transport_stream_cut_before_its_first_key_frame(tmp_path: Path) -> None:
    whole = numbered.write(tmp_path / "whole.ts", Coding(options={"g": "20"})).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[len(whole) * 2 // 5 // 188 * 188 :])
    video = open_video(cut)
    assert shown_numbers(video) == list(range(40, 60))
    assert video.times_s[0] == 0
    assert any("starts without a key frame" in note for note in video.notes)


def test_lossless_trim_shows_only_what_a_player_shows(tmp_path: Path) -> None:
    whole = numbered.write(tmp_path / "whole.mp4", Coding(options={"g": "20"}))
    video = open_video(numbered.remux(whole, tmp_path / "trim.mp4", first_pts_s=0.48))
    assert shown_numbers(video) == list(range(12, 60))
    np.testing.assert_allclose(video.times_s, np.arange(48) * 0.04, atol=1e-9)
    assert any("claims 60 frames; 48" in note for note in video.notes)


def test_gif_has_its_own_delays_once(tmp_path: Path) -> None:
    video = open_video(numbered.write_gif(tmp_path / "loop.gif", [100, 250, 40, 700, 60]))
    np.testing.assert_allclose(video.times_s, [0, 0.1, 0.35, 0.39, 1.09], atol=1e-9)
    assert video.duration_s == pytest.approx(1.15)
    assert shown_numbers(video) == [0, 1, 2, 3, 4]
    assert shown_numbers(video.stretch(0.4, 0.5)) == [3], "each GIF frame paints over the one before"


@pytest.mark.parametrize("name", ["still.png", "still.mp4", "still.txt", "still"])
def test_a_still_picture_is_a_video_of_one_frame_whatever_its_name(tmp_path: Path, name: str) -> None:
    Image.fromarray(numbered.draw(321)).save(tmp_path / name, format="PNG")
    video = open_video(tmp_path / name)
    assert shown_numbers(video) == [321]
    assert any("still picture" in note for note in video.notes)


def test_content_decides_and_any_name_will_do(tmp_path: Path) -> None:
    data = numbered.write(tmp_path / "good.mp4", frames=3).read_bytes()
    for name in (b"x.txt", b"caf\xe9_\xff.avi", b"-dash", b"two\nlines.mp4", b"concat:good.mp4", b"http:..x"):
        path = Path(str(tmp_path)) / os.fsdecode(name)
        path.write_bytes(data)
        assert shown_numbers(open_video(path)) == [0, 1, 2]


def test_frames_with_the_time_of_another_are_not_counted() -> None:
    class Stream:
        time_base = Fraction(1, 10)
        average_rate = Fraction(10)

    yes, no = np.ones(5, dtype=bool), np.zeros(5, dtype=bool)
    pts = np.array([0, 2, 2, 3, 7])
    packets = PacketTable(pts, pts, pts, np.full(5, 2), yes, yes, no, no, no)
    table = frames_by_time(packets, Stream(), "mov,mp4", "made-up")
    assert table.packet_N.tolist() == [0, 2, 3, 4]
    assert table.times_s.tolist() == pytest.approx([0, 0.2, 0.3, 0.7])
    assert "1 frames have the time of another" in table.notes[0]


def test_stretch_by_hand(bunny: Path) -> None:
    video = open_video(bunny)
    assert video.stretch(None, None).numbers.tolist() == list(range(132))
    assert video.stretch(1.0, 1.1).numbers.tolist() == [25, 26, 27]
    assert video.stretch(1.01, 1.02).numbers.tolist() == [25], "the frame that is still on screen"
    assert video.stretch(5.27, 99.0).numbers.tolist() == [131]
    assert video.stretch(1, 2).stretch(3, None).numbers[0] == 75, "times are those of the whole file"


@pytest.mark.parametrize("span", [(5.28, None), (-1.0, 2.0), (2.0, 2.0), (3.0, 1.0), (float("nan"), None)])
def test_stretch_outside_is_refused(bunny: Path, span: tuple[float, float | None]) -> None:
    with pytest.raises(LongtakeError) as caught:
        open_video(bunny).stretch(*span)
    assert caught.value.code is ErrorCode.USAGE_BAD_SPAN


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_before_time_zero_in_matroska_are_not_shown(tmp_path: Path, codec: str) -> None:
    """Copied from a key frame of open groups of pictures on: those shown before it have negative times."""
    options = {"g": "20", "bf": "3", "x264-params": "open-gop=1", "x265-params": "open-gop=1:log-level=0:keyint=20"}
    whole = numbered.write(tmp_path / "w.mp4", Coding(codec=codec, options=options), frames=80)
    key_s = next(
        packet.pts * packet.time_base
        for packet in av.open(str(whole)).demux(video=0)
        if packet.is_keyframe and packet.pts * packet.time_base > 0.5
    )
    path = tmp_path / "cut.mkv"
    with av.open(str(whole)) as old, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        begun = False
        for packet in old.demux(stream):
            begun = begun or bool(packet.size and packet.is_keyframe and packet.pts * packet.time_base == key_s)
            if packet.size and begun:
                shift = round(key_s / stream.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                new.mux(packet)
    video = open_video(path)
    shown = [numbered.read(some.pixels_TCHW[0].transpose(1, 2, 0)) for some in video.read(video.numbers, chunk=1)]
    first = round(float(key_s) * 25)
    assert shown == list(range(first, 80))
    assert video.times_s == pytest.approx(0.04 * np.arange(80 - first), abs=2e-3)
