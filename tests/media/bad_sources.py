"""media/bad_sources: sound videos, each encoded once and kept as bytes, which the other files of the corpus damage."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from . import numbered
from .bad_case import FRAMES
from .numbered import Coding

_X264 = {"g": "20", "sc_threshold": "0", "threads": "1", "mbtree": "0"}
"""With its macroblock tree x264 gives other bytes now and then."""

_EXACT = {"fflags": "+bitexact"}
"""Without it Matroska and Ogg files get random numbers."""

_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_WEBM = {"deadline": "realtime", "cpu-used": "8", "g": "20", "lag-in-frames": "0", "threads": "1"}

SOURCES: dict[str, Coding] = {
    "plain.mp4": Coding(options=_X264),
    "front.mp4": Coding(options=_X264, container_options={"movflags": "faststart"}),
    "frag.mp4": Coding(options=_X264, container_options=_FRAGMENTS),
    "no_b.mp4": Coding(options={**_X264, "bf": "0"}),
    "one_group.mp4": Coding(options={**_X264, "g": "500", "bf": "0"}),
    "no_b.mkv": Coding(options={**_X264, "bf": "0"}),
    "plain.mov": Coding(options=_X264),
    "plain.mkv": Coding(options=_X264),
    "live.mkv": Coding(options=_X264, container_options={"live": "1"}),
    "vp8.webm": Coding(codec="libvpx", options=_WEBM),
    "vp9.webm": Coding(codec="libvpx-vp9", options=_WEBM),
    "vp8.ogg": Coding(codec="libvpx", options=_WEBM),
    "av1.mkv": Coding(codec="libsvtav1", options={"preset": "8", "g": "20", "crf": "5"}),
    "mpeg4.avi": Coding(codec="mpeg4", options={"g": "20", "b": "2000000", "threads": "1"}),
    "h264.avi": Coding(options={**_X264, "bf": "0"}),
    "b.avi": Coding(options=_X264),
    "mjpeg.avi": Coding(codec="mjpeg", pixel_format="yuvj420p", options={"qmin": "2", "qmax": "4", "threads": "1"}),
    "plain.ts": Coding(options=_X264),
    "no_b.ts": Coding(options={**_X264, "bf": "0"}),
    "wide.ts": Coding(options=_X264, width=192, height=160),
    "mpeg2.ts": Coding(codec="mpeg2video", options={"bf": "2", "g": "20", "b": "2000000", "threads": "1"}),
    "plain.m2ts": Coding(options=_X264, container="mpegts", container_options={"mpegts_m2ts_mode": "1"}),
    "mpeg2.mpg": Coding(codec="mpeg2video", options={"bf": "2", "g": "12", "b": "2000000", "threads": "1"}),
    "plain.flv": Coding(options=_X264),
    "plain.h264": Coding(options=_X264, container="h264"),
    "no_b.h264": Coding(options={**_X264, "bf": "0"}, container="h264"),
    "hevc.mp4": Coding(codec="libx265", options={"x265-params": "log-level=none:keyint=20:pools=1:frame-threads=1"}),
    "ffv1.mkv": Coding(codec="ffv1", options={"slicecrc": "1", "level": "3", "threads": "1"}),
    "png.mov": Coding(codec="png", pixel_format="rgb24", options={"threads": "1"}),
    "ten.mp4": Coding(options=_X264, pixel_format="yuv420p10le"),
    "pq.mp4": Coding(options=_X264, transfer=16),
    "hlg.mkv": Coding(options=_X264, transfer=18),
    "wide_pixels.mp4": Coding(options=_X264, sample_aspect=Fraction(2)),
    "odd_size.mkv": Coding(options=_X264, width=321, height=241, pixel_format="yuv444p"),
    "woven.mp4": Coding(options={**_X264, "flags": "+ildct+ilme", "x264-params": "tff=1"}),
    "small.mkv": Coding(codec="mjpeg", pixel_format="yuvj420p", width=32, height=32, options={"threads": "1"}),
    "cenc.mp4": Coding(
        options=_X264,
        container_options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "76" * 16,
            "encryption_kid": "a7" * 16,
        },
    ),
}


@cache
def source(name: str, frames: int = FRAMES, times_ms: tuple[int, ...] | None = None) -> bytes:
    """The bytes of one of `SOURCES`, showing 0, 1, 2, ...; the same on every call and in every process."""
    os.environ.setdefault("SVT_LOG", "1")  # else the AV1 encoder tells of itself on standard error
    coding = SOURCES[name]
    coding = replace(coding, container_options={**_EXACT, **coding.container_options})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        numbered.write(path, coding, frames=frames, times_ms=times_ms)
        return path.read_bytes()


@cache
def solid(suffix: str, width: int, height: int, *, frames: int = 1, codec: str = "libx264") -> bytes:
    """A video of `frames` black pictures, so small on disk that its size says nothing of its pixels."""
    formats = {"libx264": "yuv444p" if width % 2 or height % 2 else "yuv420p", "mjpeg": "yuvj420p"}
    options = {"threads": "1", "preset": "ultrafast"} if codec == "libx264" else {"threads": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"solid.{suffix}"
        with av.open(str(path), "w", options=_EXACT) as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, formats[codec]
            picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), dtype=np.uint8))
            picture = picture.reformat(format=stream.pix_fmt)
            for place in range(frames):
                picture.pts = place
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path.read_bytes()
