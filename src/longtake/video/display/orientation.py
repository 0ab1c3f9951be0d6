"""video/display/orientation: a decoded picture in, the picture upright out. Knows nothing of files or colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_MOST_STRETCH = 16


@dataclass(frozen=True)
class Orientation:
    """First mirrored left to right, if at all, then turned clockwise by 0, 90, 180 or 270 degrees."""

    rotation_deg: int = 0
    mirrored: bool = False

    def apply(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture, a view of `image_HWC`."""
        if self.mirrored:
            image_HWC = image_HWC[:, ::-1]
        return np.rot90(image_HWC, k=-(self.rotation_deg // 90))

    def size_px(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Height and width after turning."""
        return (width_px, height_px) if self.rotation_deg % 180 else (height_px, width_px)


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """What the frame's display matrix asks for, to the nearest quarter turn; None where it has none.

    The matrix is nine 32-bit numbers [a b u; c d v; x y w]; a stored place (x, y) is shown at (a x + c y, b x + d y),
    with y downwards (ISO/IEC 14496-12, 6.2.2; FFmpeg's libavutil/display.h).
    """
    try:
        # `frame.side_data` ties a knot: frame and list hold each other, and pile up until the garbage collector comes.
        # PyAV's stub leaves out the argument that its constructor takes.
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    except ValueError:
        # PyAV lists no side data at all where one kind is newer than itself; the angle it finds by another road.
        return Orientation(rotation_deg=round(-frame.rotation / 90) % 4 * 90) if frame.rotation else None
    if matrix is None:
        return None
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(cast(SideData, matrix)), np.int32)[:5])
    mirrored = a * d - b * c < 0
    angle = math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
    return Orientation(rotation_deg=round(angle / 90) % 4 * 90, mirrored=mirrored)


def stretched_size_px(height_px: int, width_px: int, sample_aspect: Fraction) -> tuple[int, int]:
    """Height and width with square pixels: the side that is too short grows, so that nothing seen is lost."""
    if sample_aspect > 1:
        return height_px, max(1, round(width_px * sample_aspect))
    return max(1, round(height_px / sample_aspect)), width_px


def sensible_aspect(sample_aspect: Fraction | None) -> Fraction:
    """The width of one stored pixel over its height; 1 where none, or a senseless one, is stored."""
    if not sample_aspect or not Fraction(1, _MOST_STRETCH) <= sample_aspect <= _MOST_STRETCH:
        return Fraction(1)
    return sample_aspect
