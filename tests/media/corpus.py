"""media/corpus: sound numbered videos of many codecs and containers, with what each frame shows and when, out.

Nothing here is damaged. The truth of a file comes from how it was written, never from reading it back. Theora is not
among them: PyAV has no encoder for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import numbered
from .numbered import Coding

FPS = 25
Change = Callable[[Path, Path], int]
"""From a written file to the file that is tested; returns the number that its first frame shows."""


@dataclass(frozen=True)
class Sound:
    """A video without damage.

    Attributes:
        name: of the file; its ending chooses the container where `coding` names none.
        coding: how it is stored.
        most: frames that it may have: slow encoders are kept short.
        pauses_ms: what is added to the time of a frame and all after it, by its number.
        source, change: where the file is made from another one, that one's name and how.
        turns: how many quarters clockwise a player turns what was drawn.
    """

    name: str
    coding: Coding = field(default_factory=Coding)
    most: int = 10_000
    pauses_ms: tuple[tuple[int, int], ...] = ()
    source: str = ""
    change: Change | None = None
    turns: int = 0


@dataclass(frozen=True)
class Written:
    """A written file and the truth of it.

    Attributes:
        numbers, times_s: of every frame that a player shows.
        turns: how many quarters clockwise a player turns what was drawn.
    """

    path: Path
    numbers: tuple[int, ...]
    times_s: tuple[float, ...]
    turns: int = 0

    def read(self, image_HWC: NDArray[np.uint8]) -> int:
        """The number that a displayed picture of this file shows; -1 if none can be read."""
        try:
            return numbered.read(np.rot90(image_HWC, k=self.turns))
        except ValueError:
            return -1


def write(sound: Sound, folder: Path, *, frames: int, width: int = 160, height: int = 128) -> Written:
    """Write the video with at most `frames` frames, each showing its own number."""
    frames = min(frames, sound.most)
    times_ms = [number * 1000 // FPS for number in range(frames)]
    for place, more_ms in sound.pauses_ms:
        times_ms = [time_ms + (more_ms if number >= place else 0) for number, time_ms in enumerate(times_ms)]
    path, first = folder / sound.name, 0
    # Those that have a size of their own keep it.
    coding = replace(sound.coding, width=width, height=height) if sound.coding.width == 160 else sound.coding
    if path.suffix == ".gif" and coding.codec == "gif":
        numbered.write_gif(path, [1000 // FPS] * frames)
    elif sound.change:
        source = numbered.write(folder / sound.source, coding, times_ms=times_ms)
        first = sound.change(source, path)
        source.unlink()
    else:
        numbered.write(path, coding, times_ms=times_ms)
    times_s = tuple((time_ms - times_ms[first]) / 1000 for time_ms in times_ms[first:])
    return Written(path, tuple(range(first, frames)), times_s, sound.turns)


def _later(source: Path, path: Path) -> int:
    numbered.remux(source, path, first_pts_s=-7.3)
    return 0


def _trimmed(source: Path, path: Path) -> int:
    """A lossless trim inside a group: frames before the first that is shown get negative times."""
    numbered.remux(source, path, first_pts_s=0.4)
    return 10


def _without_first_group(source: Path, path: Path) -> int:
    """A transport stream that starts after its first key frame; the second is frame `G`."""
    data = source.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    # random_access_indicator (ISO/IEC 13818-1, 2.4.3.5) of the packets that carry the video.
    keys = [place for place, packet in enumerate(packets) if packet[3] & 0x20 and packet[4] and packet[5] & 0x40]
    path.write_bytes(b"".join(packets[: keys[0]] + packets[keys[0] + (keys[1] - keys[0]) // 2 :]))
    return G


def _turned(source: Path, path: Path) -> int:
    numbered.remux(source, path)
    numbered.set_display_matrix(path, (0, 1, -1, 0))
    return 0


G = 25
_1S = {"g": str(G), "sc_threshold": "0", "preset": "veryfast", "threads": "1"}
_10S = {**_1S, "g": "250"}
_OPEN = {**_1S, "x264-params": "open-gop=1:scenecut=0:bframes=3:b-adapt=0:keyint=25:min-keyint=25"}
_PYRAMID = {**_1S, "g": "60", "x264-params": "bframes=7:b-adapt=0:b-pyramid=normal:ref=4:scenecut=0"}
_REFRESH = {**_1S, "x264-params": "intra-refresh=1:keyint=20:bframes=0"}
_SLICES = {**_1S, "x264-params": "slices=4"}
_WOVEN = {**_1S, "flags": "+ildct+ilme", "x264-params": "tff=1"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_X265 = "log-level=none:keyint=25:min-keyint=25:scenecut=0:pools=1:frame-threads=1"
_HEVC = {"preset": "superfast", "x265-params": _X265 + ":open-gop=0"}
_HEVC_OPEN = {"preset": "superfast", "x265-params": _X265 + ":open-gop=1:bframes=4:b-adapt=0:b-pyramid=1"}
_VPX = {"deadline": "realtime", "cpu-used": "8", "g": "25", "threads": "1"}
_ALT = {**_VPX, "deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"}
_SVT = {"preset": "6", "crf": "20", "g": "25"}
_MPEG = {"g": "12", "bf": "2", "b": "3000000", "threads": "1"}
_MPEG_CLOSED = {**_MPEG, "g": "25", "bf": "0"}
_MPEG4 = {"g": "25", "b": "2000000", "threads": "1"}
_ONE = {"threads": "1"}
_GOOD_MJPEG = {"qmin": "2", "qmax": "4", "threads": "1"}


def _h264(name: str, options: dict[str, str] | None = None, **more: object) -> Sound:
    return Sound(name, replace(Coding(options=options or _1S), **more))  # type: ignore[arg-type]


H264 = (
    _h264("h264_1s.mp4"),
    _h264("h264_10s.mp4", _10S),
    _h264("h264_one_key.mkv", {**_10S, "g": "9999"}),
    _h264("h264_no_b.mp4", {**_1S, "bf": "0"}),
    _h264("h264_open.mp4", _OPEN),
    _h264("h264_open.ts", _OPEN),
    _h264("h264_open.mkv", _OPEN),
    _h264("h264_pyramid.mp4", _PYRAMID),
    _h264("h264_pyramid.avi", _PYRAMID),
    _h264("h264_refresh.mp4", _REFRESH),
    _h264("h264_slices.mkv", _SLICES),
    _h264("h264_woven.mp4", _WOVEN),
    _h264("h264_ten.mp4", pixel_format="yuv420p10le"),
    _h264("h264_444.mkv", pixel_format="yuv444p"),
    _h264("h264_fragments.mp4", container_options=_FRAGMENTS),
    _h264("h264.mov"),
    _h264("h264.mkv"),
    _h264("h264.flv"),
    _h264("h264.ts"),
    _h264("h264.m2ts", container="mpegts", container_options={"mpegts_m2ts_mode": "1"}),
    _h264("h264.mpg", container="mpeg", ticks_per_s=FPS),
    _h264("h264.avi"),
    _h264("h264.nut"),
    _h264("h264.3gp"),
    _h264("h264.h264", container="h264"),
    _h264("h264_open.h264", _OPEN, container="h264"),
)
HEVC = tuple(
    Sound(name, Coding(codec="libx265", options=options, pixel_format=pixels), most=300)
    for name, options, pixels in (
        ("hevc.mp4", _HEVC, "yuv420p"),
        ("hevc_open.mp4", _HEVC_OPEN, "yuv420p"),
        ("hevc_open.mkv", _HEVC_OPEN, "yuv420p"),
        ("hevc_open.ts", _HEVC_OPEN, "yuv420p"),
        ("hevc_ten.mkv", _HEVC, "yuv420p10le"),
        ("hevc.hevc", _HEVC_OPEN, "yuv420p"),
    )
)
WEB = (
    Sound("vp8.webm", Coding(codec="libvpx", options=_VPX)),
    Sound("vp8_alt.webm", Coding(codec="libvpx", options=_ALT)),
    Sound("vp8.ogg", Coding(codec="libvpx", options=_VPX, ticks_per_s=FPS)),
    Sound("vp8_alt.ivf", Coding(codec="libvpx", options=_ALT)),
    Sound("vp9.webm", Coding(codec="libvpx-vp9", options=_VPX)),
    Sound("vp9_alt.webm", Coding(codec="libvpx-vp9", options=_ALT)),
    Sound("vp9_alt.mp4", Coding(codec="libvpx-vp9", options=_ALT)),
    Sound("av1.mkv", Coding(codec="libsvtav1", options=_SVT), most=150),
    Sound("av1.mp4", Coding(codec="libsvtav1", options=_SVT), most=150),
    Sound("av1.obu", Coding(codec="libsvtav1", options=_SVT), most=150),
)
OLDER = (
    Sound("mpeg2.mpg", Coding(codec="mpeg2video", options=_MPEG)),
    Sound("mpeg2.ts", Coding(codec="mpeg2video", options=_MPEG)),
    Sound("mpeg2.mkv", Coding(codec="mpeg2video", options=_MPEG)),
    Sound("mpeg2.mxf", Coding(codec="mpeg2video", options=_MPEG)),
    Sound("mpeg2.m2v", Coding(codec="mpeg2video", options=_MPEG, container="mpeg2video")),
    Sound("mpeg1.mpg", Coding(codec="mpeg1video", options=_MPEG)),
    Sound("mpeg4.mp4", Coding(codec="mpeg4", options={**_MPEG4, "bf": "2"})),
    Sound("mpeg4.avi", Coding(codec="mpeg4", options=_MPEG4)),
    Sound("mpeg4_b.avi", Coding(codec="mpeg4", options={**_MPEG4, "bf": "2"})),
    Sound("mpeg4.m4v", Coding(codec="mpeg4", options={**_MPEG4, "bf": "2"}, container="m4v")),
    Sound("msmpeg4.avi", Coding(codec="msmpeg4", options=_MPEG4, width=192)),
    Sound("flv1.flv", Coding(codec="flv", options=_MPEG4)),
    Sound("wmv2.asf", Coding(codec="wmv2", options=_MPEG4)),
    Sound("svq1.mov", Coding(codec="svq1", pixel_format="yuv410p", options=_ONE), most=60),
    Sound("h263.mov", Coding(codec="h263", options=_MPEG4, width=176, height=144)),
)
INTRA = (
    Sound("mjpeg.avi", Coding(codec="mjpeg", pixel_format="yuvj420p", options=_GOOD_MJPEG)),
    Sound("mjpeg.mov", Coding(codec="mjpeg", pixel_format="yuvj420p", options=_GOOD_MJPEG)),
    Sound("ffv1.mkv", Coding(codec="ffv1", options={"level": "3", "slicecrc": "1", **_ONE})),
    Sound("ffv1_one_key.avi", Coding(codec="ffv1", options={"level": "3", "slicecrc": "1", "g": "9999", **_ONE})),
    Sound("prores.mov", Coding(codec="prores_ks", pixel_format="yuv422p10le", options=_ONE), most=100),
    Sound("huffyuv.avi", Coding(codec="huffyuv", pixel_format="yuv422p", options=_ONE), most=150),
    Sound("ffvhuff.avi", Coding(codec="ffvhuff", options=_ONE), most=150),
    Sound("utvideo.avi", Coding(codec="utvideo", options=_ONE), most=150),
    Sound("magicyuv.avi", Coding(codec="magicyuv", options=_ONE), most=150),
    Sound("png.mov", Coding(codec="png", pixel_format="rgb24", options=_ONE), most=150),
    Sound("qtrle.mov", Coding(codec="qtrle", pixel_format="rgb24", options={**_ONE, "g": "25"}), most=150),
    Sound("zmbv.avi", Coding(codec="zmbv", pixel_format="bgr0", options={**_ONE, "g": "25"}), most=150),
    Sound("raw.nut", Coding(codec="rawvideo", options=_ONE), most=100),
    Sound("raw.y4m", Coding(codec="wrapped_avframe", options=_ONE, container="yuv4mpegpipe"), most=100),
    Sound("jpeg2000.mov", Coding(codec="jpeg2000", options=_ONE), most=50),
    Sound(
        "dnxhr.mov", Coding(codec="dnxhd", pixel_format="yuv422p", options={"profile": "dnxhr_sq"}, width=256), most=50
    ),
    Sound("cineform.mov", Coding(codec="cfhd", pixel_format="yuv422p10le", options=_ONE), most=50),
    Sound("drawn.gif", Coding(codec="gif"), most=100),
    Sound("drawn.apng", Coding(codec="apng", pixel_format="rgb24", options=_ONE), most=100),
)
TIMED = (
    Sound("gaps.mp4", Coding(options=_1S), pauses_ms=((7, 400), (30, 36_000), (31, 15))),
    Sound("gaps.mkv", Coding(options=_1S), pauses_ms=((7, 400), (30, 36_000), (31, 15))),
    Sound("gaps.ts", Coding(options=_1S), pauses_ms=((7, 400), (30, 5_000))),
    Sound("gaps_vp9.webm", Coding(codec="libvpx-vp9", options=_ALT), pauses_ms=((11, 333), (40, 9_000))),
    Sound("later.mp4", Coding(options=_1S), source="later.src.mp4", change=_later),
    Sound("later.mkv", Coding(options=_1S), source="later.src.mp4", change=_later),
    Sound("later.ts", Coding(options=_1S), source="later.src.mp4", change=_later),
    Sound("trimmed.mp4", Coding(options=_10S), source="trimmed.src.mp4", change=_trimmed),
    Sound("trimmed_hevc.mp4", Coding(codec="libx265", options=_HEVC), most=200, source="t.src.mp4", change=_trimmed),
    Sound("headless.ts", Coding(options=_1S), source="headless.src.ts", change=_without_first_group),
    Sound(
        "headless_mpeg2.ts",
        Coding(codec="mpeg2video", options=_MPEG_CLOSED),
        source="headless.src.ts",
        change=_without_first_group,
    ),
    Sound("turned.mp4", Coding(options=_1S), source="turned.src.mp4", change=_turned, turns=1),
)
SOUND: tuple[Sound, ...] = (*H264, *HEVC, *WEB, *OLDER, *INTRA, *TIMED)
