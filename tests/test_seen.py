"""What came of the frames that were asked for: lost spans, degraded answers, pictures that show nothing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import Frames
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from longtake.video.seen import Seen, lost_spans, told
from media import numbered
from media.numbered import Coding

SKIP = ReadOptions(on_corrupt="skip")


def frames_of(values: list[int], *, size: int = 6) -> list[Frames]:
    """One chunk for each value: a plain grey picture."""
    return [
        Frames(np.full((1, 3, size, size), value, np.uint8), np.array([0.04 * place]), np.array([place]))
        for place, value in enumerate(values)
    ]


def notes_of(path: Path, chunks: list[Frames]) -> list[str]:
    seen = Seen(open_video(path), list(range(len(chunks))))
    assert [chunk.numbers[0] for chunk in seen.passing(chunks)] == list(range(len(chunks)))
    return list(seen.notes())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered.write(tmp_path_factory.mktemp("seen") / "v.mp4", Coding(options={"g": "10"}))


def test_neighbours_that_were_lost_make_one_span(video: Path) -> None:
    opened = open_video(video)
    asked, got = [0, 10, 11, 12, 20, 40, 59], [0, 40]
    wanted = ((0.4, 0.52), (0.8, 0.84), (2.36, 2.4))
    assert lost_spans(opened, asked, got) == tuple(map(pytest.approx, wanted))
    assert lost_spans(opened, asked, asked) == ()


def test_spans_in_words() -> None:
    assert told([(2, 4.5), (70, None)]) == "0:00:02 to 0:00:04.5, 0:01:10 to the end"


def test_plain_and_frozen_pictures_are_told(video: Path) -> None:
    assert notes_of(video, frames_of([16, 16, 17])) == ["low information: all 3 seen frames are plain colour"]
    assert notes_of(video, frames_of([16, 200])) == ["low information: all 2 seen frames are plain colour"]
    assert notes_of(video, frames_of([16])) == ["low information: the one seen frame is plain colour"]
    picture = numbered.draw(7).transpose(2, 0, 1)[None]
    frozen = [Frames(picture, np.array([0.04 * place]), np.array([place])) for place in range(3)]
    assert notes_of(video, frozen) == ["low information: all 3 seen frames show the same picture"]
    assert notes_of(video, frozen[:1]) == []
    moving = [frozen[0], Frames(numbered.draw(8).transpose(2, 0, 1)[None], np.array([0.04]), np.array([1]))]
    assert notes_of(video, moving) == []


def test_nothing_at_all_is_refused(video: Path) -> None:
    seen = Seen(open_video(video, options=SKIP), [3, 4])
    with pytest.raises(LongtakeError) as caught:
        list(seen.passing([]))
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT
    assert "none of the 2" in caught.value.reason


def test_a_start_in_the_middle_is_told_but_not_degraded(video: Path, tmp_path: Path) -> None:
    whole = numbered.write(tmp_path / "whole.ts", Coding(options={"g": "20"})).read_bytes()
    headless = tmp_path / "headless.ts"
    headless.write_bytes(whole[: 2 * 188] + whole[len(whole) // 4 // 188 * 188 :])
    opened = open_video(headless)
    assert len(opened.lost_s) == 1
    start_s, end_s = opened.lost_s[0]
    assert -0.8 <= start_s < 0 and end_s == 0
    seen = Seen(opened, [0])
    list(seen.passing(opened.read([0])))
    assert not seen.degraded and seen.lost_s == opened.lost_s


@pytest.mark.parametrize(("name", "options"), [("b.mp4", {"movflags": "faststart"}), ("b.mkv", {})])
def test_after_a_cut_only_frames_with_nothing_missing_before_them(tmp_path: Path, name: str, options: dict) -> None:
    coding = Coding(options={"g": "60", "bf": "3"}, container_options=options)
    data = numbered.write(tmp_path / f"whole.{name}", coding).read_bytes()
    for share in (45, 55, 60, 65, 70, 85, 95):
        path = tmp_path / name
        path.write_bytes(data[: len(data) * share // 100])
        video = open_video(path, options=SKIP)
        shown = [
            numbered.read(image.transpose(1, 2, 0)) for some in video.read(video.numbers) for image in some.pixels_TCHW
        ]
        assert shown == list(range(len(shown))), "a frame between two shown ones was stored behind the cut"
        assert len(shown) == len(video.times_s)
        assert video.lost_s[0][0] == pytest.approx(0.04 * len(shown))


def test_a_damaged_packet_keeps_its_moment_where_no_times_are_stored(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "d.avi", Coding(options={"g": "5", "bf": "2", "sc_threshold": "0"}), frames=40)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    start, size = places[20]
    data[start + size // 2 : start + size] = bytes(size - size // 2)
    path.write_bytes(data)
    with pytest.raises(LongtakeError, match=r"error\[media.corrupt\].*is damaged: nothing is known of 0:00:00.7"):
        open_video(path)
    video = open_video(path, options=SKIP)
    seen = Seen(video, list(range(len(video.times_s))))
    for some in seen.passing(video.read(video.numbers)):
        for image, time_s in zip(some.pixels_TCHW, some.times_s, strict=True):
            assert numbered.read(image.transpose(1, 2, 0)) * 0.04 == pytest.approx(time_s, abs=5e-3)
    assert 25 < len(seen.numbers) < 40 and seen.degraded
