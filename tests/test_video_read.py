"""Reading: any frames, bit-equal to a sequential decode; bounded memory; damage is told, never painted over."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from longtake.video.times import format_time
from longtake.video.video_file import VideoFile
from media import numbered
from media.numbered import Coding

CODINGS = {
    "b_frames.mp4": Coding(options={"g": "20"}),
    "one_group.mp4": Coding(options={"g": "500", "sc_threshold": "0"}),
    "open_groups.mp4": Coding(options={"x264-params": "open-gop=1:scenecut=0:bframes=3:b-adapt=0:keyint=15"}),
    "open_groups.ts": Coding(options={"x264-params": "open-gop=1:scenecut=0:bframes=3:b-adapt=0:keyint=15"}),
    "refresh.mp4": Coding(options={"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
    "slices.mkv": Coding(options={"g": "20", "x264-params": "slices=4"}),
    "wrapped.avi": Coding(options={"g": "20"}),
    "raw.h264": Coding(options={"g": "20"}, container="h264"),
    "program.mpg": Coding(codec="mpeg2video", options={"bf": "2", "g": "12"}),
    "mpeg4.mp4": Coding(codec="mpeg4", options={"bf": "2", "g": "12"}),
    "vp9.webm": Coding(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "20"}),
    "hevc.mp4": Coding(codec="libx265", options={"x265-params": "log-level=none:keyint=15"}),
}
REAL = (
    "baseball.mp4",
    "basketball.mp4",
    "nasa_two_streams.mp4",
    "h264_10bit.mp4",
    "av1.mkv",
    "bigbuckbunny_480p_30s.mp4",
)


def digest(image_CHW: NDArray[np.uint8]) -> str:
    """Equal for equal pictures only."""
    return hashlib.blake2b(np.ascontiguousarray(image_CHW)).hexdigest() + str(image_CHW.shape)


def sequential(video: VideoFile) -> list[str]:
    """Digests of all frames of a plain decode from the beginning with FFmpeg's default settings, as they come out."""
    reformatter = VideoReformatter()
    with av.open(video.path) as container:
        frames = container.decode(container.streams[video.stream])
        return [digest(video.picture.show(frame, reformatter).transpose(2, 0, 1)) for frame in frames]


def read_all(video: VideoFile, numbers: list[int], *, chunk: int = 5) -> dict[int, str]:
    """Digests of the asked frames by their numbers."""
    digests: dict[int, str] = {}
    sizes = []
    for some in video.read(numbers, chunk=chunk):
        np.testing.assert_array_equal(some.times_s, video.times_s[some.numbers])
        digests |= {int(number): digest(image) for number, image in zip(some.numbers, some.pixels_TCHW, strict=True)}
        sizes.append(len(some.numbers))
    assert set(sizes[:-1]) <= {chunk}
    return digests


def assert_random_access_is_exact(video: VideoFile, *, rounds: int) -> None:
    truth = sequential(video)
    assert len(truth) == len(video.times_s)
    choose = random.Random(20_240_715)
    spreads = [range(len(truth)), *([number] for number in choose.sample(range(len(truth)), min(6, len(truth))))]
    spreads += [sorted(choose.sample(range(len(truth)), choose.randint(1, len(truth) // 2))) for _ in range(rounds)]
    for numbers in spreads:
        got = read_all(video, list(numbers))
        assert list(got) == list(numbers)
        assert not [number for number in numbers if got[number] != truth[number]], list(numbers)[:8]


@pytest.mark.parametrize("name", CODINGS)
def test_any_frames_are_those_of_a_sequential_decode(tmp_path: Path, name: str) -> None:
    video = open_video(numbered.write(tmp_path / name, CODINGS[name]))
    assert_random_access_is_exact(video, rounds=8)


def test_any_frames_of_the_bunny(bunny: Path) -> None:
    assert_random_access_is_exact(open_video(bunny), rounds=1)


@pytest.mark.parametrize("name", REAL)
def test_any_frames_of_real_files(shared: Path, name: str) -> None:
    assert_random_access_is_exact(open_video(shared / "media" / name), rounds=2)


def test_frames_are_made_small_one_by_one_and_memory_stays_flat(tmp_path: Path) -> None:
    coding = Coding(width=320, height=256, options={"g": "50", "preset": "ultrafast"})
    video = open_video(numbered.write(tmp_path / "long.mp4", coding, frames=400))

    def peak_bytes(numbers: range) -> int:
        tracemalloc.start()
        try:
            count = sum(len(some.numbers) for some in video.read(numbers, chunk=4, shrink=tiny))
            assert count == len(numbers)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def tiny(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert image_HWC.shape == (256, 320, 3)
        return np.ascontiguousarray(image_HWC[::64, ::64].transpose(2, 0, 1))

    few, many = peak_bytes(range(20)), peak_bytes(range(400))
    assert many < few + 100_000, "less than one frame of 245,760 bytes more for twenty times the frames"


def test_frames_of_changing_size_want_a_shrink(tmp_path: Path) -> None:
    small = numbered.write(tmp_path / "small.ts", Coding(options={"g": "5"}), frames=10).read_bytes()
    large = numbered.write(
        tmp_path / "large.ts", Coding(width=320, height=256, options={"g": "5"}), times_ms=range(2000, 2400, 40)
    ).read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    video = open_video(tmp_path / "both.ts")
    assert len(video.times_s) == 20
    with pytest.raises(ValueError, match=r"change size.*\(128, 160\), \(256, 320\).*shrink"):
        list(video.read(video.numbers, chunk=16))
    shrunk = video.read(video.numbers, shrink=lambda image: np.resize(image, (3, 4, 4)).astype(np.uint8))
    assert sum(len(some.numbers) for some in shrunk) == 20


@pytest.mark.parametrize("numbers", [[3, 3], [5, 4], [-1, 2], [0, 132]])
def test_wrong_numbers_are_refused_at_once(bunny: Path, numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="frame numbers"):
        open_video(bunny).read(numbers)


def test_no_numbers_give_no_frames(bunny: Path) -> None:
    assert list(open_video(bunny).read([])) == []


def damaged(path: Path, place: int) -> Path:
    """`path` with one byte in ten of its video packet at `place` scrambled."""
    with av.open(str(path)) as container:
        packet = next(one for number, one in enumerate(container.demux(video=0)) if number == place)
        position, size = packet.pos, packet.size
    data, choose = bytearray(path.read_bytes()), random.Random(place)
    for offset in range(position + 8, position + size):
        if choose.random() < 0.1:
            data[offset] ^= choose.randrange(1, 256)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("place", [23, 31])
def test_a_scrambled_packet_is_an_error_and_spoils_only_what_rests_on_it(
    tmp_path: Path, codec: str, place: int
) -> None:
    coding = Coding(codec=codec, options={"g": "20", "bf": "0", "sc_threshold": "0"}, width=320, height=256)
    whole = open_video(numbered.write(tmp_path / "whole.mp4", coding))
    truth = sequential(whole)
    numbered.write(tmp_path / "bad.mp4", coding)
    video = open_video(damaged(tmp_path / "bad.mp4", place))
    # Groups of 20: the damage reaches from `place` to the end of its group.
    for number, image in read_all(video, [*range(place), *range(40, 60)]).items():
        assert image == truth[number]
    for number in (place, place + 1, 39):
        with pytest.raises(LongtakeError) as caught:
            list(video.read([2, 21, number, 45]))
        assert caught.value.code is ErrorCode.MEDIA_CORRUPT
        assert f"frame {number} at " in caught.value.reason
        assert f"the frames up to {format_time((place - 1) / 25)} can" in caught.value.reason


def test_real_damage_names_frame_time_and_last_good_time(shared: Path) -> None:
    video = open_video(shared / "media" / "corrupted_midway.mp4")
    got = [int(number) for some in video.read(range(28)) for number in some.numbers]
    assert got == list(range(28)), "28 decode"
    with pytest.raises(
        LongtakeError, match=r"frame 40 at 0:00:04 cannot be decoded; the frames up to 0:00:02\.8 can"
    ) as caught:
        list(video.read([10, 27, 40]))
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "one.mp4", frames=10)
    video = open_video(path)
    numbered.write(path, frames=12)
    with pytest.raises(LongtakeError, match="changed since it was opened"):
        list(video.read([0]))


def test_nothing_is_left_open(tmp_path: Path) -> None:
    video = open_video(numbered.write(tmp_path / "one.mp4", frames=10))
    frames = video.read([1, 5], chunk=1)
    next(frames)
    frames.close()
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        assert not [link for link in descriptors.iterdir() if link.is_symlink() and link.readlink().name == "one.mp4"]


@pytest.mark.parametrize("percent", [48, 57])
def test_a_stream_cut_inside_a_packet_never_shows_a_damaged_frame(tmp_path: Path, percent: int) -> None:
    options = {"bf": "3", "g": "20", "x264-params": "open-gop=1"}
    whole = numbered.write(tmp_path / "whole.ts", Coding(options=options), frames=90)
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[: len(data) * percent // 100])
    truth = np.concatenate([frames.pixels_TCHW for frames in open_video(whole).read(range(90))])
    for _ in range(8):
        video = open_video(cut)
        try:
            for frames in video.read(video.numbers.tolist(), chunk=1):
                place = round(float(frames.times_s[0]) / 0.04)
                assert np.array_equal(frames.pixels_TCHW[0], truth[place])
        except LongtakeError as error:
            assert error.code in (ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_TRUNCATED)
