"""video/display/deinterlacing: a decoded frame of two fields in, one made of its first field out."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from av.filter import Graph
from av.video.frame import VideoFrame

_FILTER = ("estdif", "mode=frame:parity=auto:deint=all")


def first_field(frame: VideoFrame) -> VideoFrame:
    """The lines of the field that is shown first, and between them lines interpolated along edges.

    By FFmpeg's `estdif` (Li and others, "Edge slope tracing for deinterlacing"), which looks at this frame alone: so a
    frame is the same however one came to it. Plain averaging of neighbouring lines would break slanted edges into
    steps. The frame itself says which field is first.

    Raises:
        FFmpegError: if the filter cannot take the frame's pixel format.
    """
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    deinterlacer = graph.add(*_FILTER)
    sink = graph.add("buffersink")
    source.link_to(deinterlacer)
    deinterlacer.link_to(sink)
    graph.configure()
    source.push(frame)
    source.push(None)
    return cast(VideoFrame, sink.pull())
