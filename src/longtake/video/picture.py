"""video/picture: the first decoded frame in, how to show every frame of its stream out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.video.colour import Colour, colour_of, to_rgb
from longtake.video.orientation import Orientation, orientation_of, sensible_aspect, stretched_size_px


@dataclass(frozen=True)
class Picture:
    """How the stored frames of one stream become the frames that a player shows.

    Attributes:
        coded_height_px, coded_width_px: as the first frame is stored.
        sample_aspect: width of a stored pixel over its height.
        orientation: what to do to a stored frame so that it stands upright.
        pixel_format: FFmpeg's name.
        colour: how numbers stand for colours.
        interlaced: the first frame is two fields; frames are given as stored.
    """

    coded_height_px: int
    coded_width_px: int
    sample_aspect: Fraction
    orientation: Orientation
    pixel_format: str
    colour: Colour
    interlaced: bool

    @property
    def size_px(self) -> tuple[int, int]:
        """Displayed height and width."""
        return self.orientation.size_px(
            *stretched_size_px(self.coded_height_px, self.coded_width_px, self.sample_aspect)
        )

    def show(self, frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, square pixels, contiguous. A frame of another stored size keeps its own."""
        height_px, width_px = stretched_size_px(frame.height, frame.width, self.sample_aspect)
        stored_HWC = to_rgb(frame, reformatter, self.colour, height_px=height_px, width_px=width_px)
        return np.ascontiguousarray(self.orientation.apply(stored_HWC))


def picture_of(frame: VideoFrame, stream: VideoStream) -> Picture:
    """What the first frame of `stream`, decoded, and its header say."""
    return Picture(
        coded_height_px=frame.height,
        coded_width_px=frame.width,
        sample_aspect=sensible_aspect(stream.sample_aspect_ratio),
        orientation=orientation_of(frame),
        pixel_format=frame.format.name,
        colour=colour_of(frame, stream.codec_context),
        interlaced=frame.interlaced_frame,
    )
