"""world/film: pictures in, an ordinary H.264 file out. Knows nothing of what the pictures show."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_film(
    path: Path, pictures: Iterable[NDArray[np.uint8]], *, fps: Fraction, crf: int = 23, repeatable: bool = False
) -> None:
    """Write (H, W, 3) uint8 RGB pictures as H.264 in mp4, the index in front.

    Args:
        path: ends in .mp4.
        pictures: all of one size, even in both directions.
        fps: pictures a second.
        crf: quality of the encoder; smaller is better and larger.
        repeatable: the same pictures make the same bytes, every time and on any number of cores. Else x264 (core 165,
            of av 18.1) was seen to write others from time to time: its `mbtree` together with weighted B-frames.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        steady = {"threads": "1", "x264-params": "mbtree=0"} if repeatable else {}
        stream.options = {"crf": str(crf), "preset": "medium", "g": "250", **steady}
        for number, picture_HWC in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture_HWC.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")
            frame.pts = number
            frame.time_base = 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
