"""video/colour: a decoded frame in, RGB out, by the matrix and range that the file states. Knows no orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    12: "display-p3",
}
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "xvycc", 13: "srgb",
    14: "bt2020-10", 15: "bt2020-12", 16: "pq", 18: "hlg",
}  # fmt: skip
_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_SWSCALE_MATRICES = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
"""SWS_CS_* of libswscale/swscale.h; not all are in the enum of each PyAV."""

_FULL_RANGE = 2
_HD_LINES = 720

HDR_TRANSFERS = frozenset({"pq", "hlg"})


@dataclass(frozen=True)
class Colour:
    """How the numbers of a decoded frame stand for colours. Numbers are those of ITU-T H.273.

    Attributes:
        primaries, transfer: names, "unknown" where the file does not say.
        matrix: the name of the YUV matrix, "rgb" for none.
        matrix_assumed: the file does not say: BT.709 from 720 lines up and BT.601 below, as players take it.
        full_range: 0 to 255 rather than 16 to 235.
    """

    primaries: str
    transfer: str
    matrix: str
    matrix_assumed: bool
    full_range: bool


def colour_of(frame: VideoFrame, codec: VideoCodecContext) -> Colour:
    """What `frame`, and its decoder after it, say."""
    known = _MATRICES.get(int(frame.colorspace))
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    matrix = "rgb" if is_rgb else known
    if matrix is None or (matrix == "rgb" and not is_rgb):
        matrix = "bt709" if frame.height >= _HD_LINES or frame.width >= 2 * _HD_LINES else "bt601"
    return Colour(
        primaries=_PRIMARIES.get(int(codec.color_primaries), "unknown"),
        transfer=_TRANSFERS.get(int(codec.color_trc), "unknown"),
        matrix=matrix,
        matrix_assumed=known is None and not is_rgb,
        full_range=is_rgb or int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj"),
    )


def to_rgb(
    frame: VideoFrame, reformatter: VideoReformatter, colour: Colour, *, height_px: int, width_px: int
) -> NDArray[np.uint8]:
    """(height_px, width_px, 3) uint8 RGB of a decoded frame, scaled to that size (bicubic) where it has another.

    swscale's quick road: against the exact formula about one step of 255 too dark (tests/test_video_colour.py).
    """
    scaled = (frame.height, frame.width) != (height_px, width_px)
    interpolation = "BICUBIC" if scaled else "BILINEAR"
    if colour.matrix == "rgb":
        out = reformatter.reformat(frame, width_px, height_px, "rgb24", interpolation=interpolation)
    else:
        out = reformatter.reformat(
            frame,
            width_px,
            height_px,
            "rgb24",
            interpolation=interpolation,
            src_colorspace=_SWSCALE_MATRICES[colour.matrix],
            src_color_range="JPEG" if colour.full_range else "MPEG",
            dst_color_range="JPEG",
        )
    return np.asarray(out.to_ndarray(), dtype=np.uint8)
