"""Frames of two fields, really coded as such: given as stored and flagged, or made whole from the field shown first."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from longtake.video.opening import open_video
from longtake.video.options import Deinterlace, ReadOptions
from longtake.video.video_file import VideoFile

HEIGHT, WIDTH, STEP_PX, FRAMES = 240, 320, 8, 8
BAR_TOP, BAR_BOTTOM, BAR_PX = 60, 120, 40
KINDS = {  # codec, its options, the container
    "h264": ("libx264", {"flags": "+ildct+ilme", "crf": "4"}, "mkv"),
    "h264-10bit": ("libx264", {"flags": "+ildct+ilme", "crf": "4"}, "mp4"),
    "mpeg2": ("mpeg2video", {"flags": "+ildct+ilme", "b": "20M"}, "mpg"),
}


def bar_left(field: int) -> int:
    """Where the moving bar begins in the field shown `field`-th."""
    return 20 + STEP_PX * field


def drawn(number: int, *, top_first: bool) -> NDArray[np.uint8]:
    """Luma of frame `number`: a bar that moves from field to field above, a slanted edge that stays below."""
    image = np.full((HEIGHT, WIDTH), 60, np.uint8)
    for place in (0, 1):
        rows = slice(place if top_first else 1 - place, None, 2)
        left = bar_left(2 * number + place)
        image[rows][BAR_TOP // 2 : BAR_BOTTOM // 2, left : left + BAR_PX] = 200
    columns, rows_below = np.arange(WIDTH), np.arange(140, HEIGHT)
    image[140:] = np.where(columns[None] < 60 + rows_below[:, None], 200, 60)
    return image


def flagged(frame: VideoFrame, *, top_first: bool) -> VideoFrame:
    """The frame, saying which of its fields is first."""
    graph = Graph()
    source = graph.add_buffer(width=WIDTH, height=HEIGHT, format=frame.format, time_base=Fraction(1, 25))
    field, sink = graph.add("setfield", f"mode={'tff' if top_first else 'bff'}"), graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    source.push(frame)
    return cast(VideoFrame, sink.pull())


def written(folder: Path, kind: str, *, top_first: bool) -> Path:
    codec, options, suffix = KINDS[kind]
    pixel_format = "yuv420p10le" if "10bit" in kind else "yuv420p"
    path = folder / f"{kind}.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(FRAMES):
            grey = VideoFrame.from_ndarray(drawn(number, top_first=top_first), format="gray")
            grey.color_range = 2
            frame = grey.reformat(format=pixel_format, src_color_range="JPEG", dst_color_range="MPEG")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(flagged(frame, top_first=top_first)))
        container.mux(stream.encode())
    return path


def images(path: Path, deinterlace: Deinterlace) -> tuple[VideoFile, NDArray[np.int64]]:
    """The video and its frames, (T, H, W) grey."""
    video = open_video(path, options=ReadOptions(deinterlace=deinterlace))
    pixels = np.concatenate([some.pixels_TCHW for some in video.read(video.numbers)])
    return video, pixels[:, 1].astype(np.int64)


def combing(image_HW: NDArray[np.int64]) -> float:
    """By how much lines differ from both neighbours in the same sense, on average."""
    above, here, below = image_HW[:-2], image_HW[1:-1], image_HW[2:]
    return float(np.clip(np.minimum((here - above) * np.sign(here - below), abs(here - below)), 0, None).mean())


def left_edges(image_HW: NDArray[np.int64]) -> list[int]:
    """Where the bar begins, in each line of its middle."""
    return [int(np.flatnonzero(line > 130)[0]) for line in image_HW[BAR_TOP + 8 : BAR_BOTTOM - 8]]


@pytest.mark.parametrize("top_first", [False, True], ids=["bottom first", "top first"])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_made_whole_from_the_field_shown_first(tmp_path: Path, kind: str, top_first: bool) -> None:
    path = written(tmp_path, kind, top_first=top_first)
    stored_video, stored = images(path, "off")
    video, whole = images(path, "auto")
    assert video.picture.interlaced and stored_video.picture.interlaced
    assert "as stored" in " ".join(stored_video.notes) and "first field" in " ".join(video.notes)
    assert len(stored) == len(whole) == FRAMES, "one frame for each coded frame, never two"
    for number in range(FRAMES):
        woven, alone = bar_left(2 * number), left_edges(whole[number])
        assert {*left_edges(stored[number])} >= {woven, bar_left(2 * number + 1)}, "both fields are there as stored"
        assert max(abs(left - woven) for left in alone) <= 1, "only the field shown first"
        first = slice(0 if top_first else 1, None, 2)
        assert (whole[number][first] == stored[number][first]).mean() > 0.99, "its lines are kept as they are"
        moving = slice(BAR_TOP + 8, BAR_BOTTOM - 8)
        assert combing(stored[number][moving]) > 3
        assert combing(whole[number][moving]) < 0.1 * combing(stored[number][moving])


def test_what_stands_still_keeps_its_detail(tmp_path: Path) -> None:
    """A slanted edge, which averaging of lines would break into steps: where the true edge is, to a pixel."""
    _, whole = images(written(tmp_path, "h264", top_first=True), "auto")
    for row in range(150, HEIGHT - 10):
        edge = int(np.flatnonzero(whole[3][row] < 130)[0])
        assert abs(edge - (60 + row)) <= 1, row


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_the_same_however_one_comes_to_it(tmp_path: Path, kind: str) -> None:
    video, in_order = images(written(tmp_path, kind, top_first=True), "auto")
    for number in (5, 0, 7, 2):
        alone = next(video.read([number])).pixels_TCHW[0, 1]
        assert (alone == in_order[number]).all()


def test_progressive_frames_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "whole.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            container.mux(stream.encode(VideoFrame.from_ndarray(drawn(number, top_first=True), format="gray")))
        container.mux(stream.encode())
    video, given = images(path, "auto")
    assert not video.picture.interlaced
    assert (given == images(path, "off")[1]).all()
