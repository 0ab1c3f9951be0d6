"""video/display/picture: a stream's first decoded frame in, how to show every frame of it out. Knows no files."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.video.display.colour import Colour, colour_of, colour_within, to_rgb
from longtake.video.display.deinterlacing import first_field
from longtake.video.display.orientation import Orientation, orientation_of, sensible_aspect, stretched_size_px
from longtake.video.options import Deinterlace


@dataclass(frozen=True)
class Picture:
    """How the stored frames of one stream become the frames that a player shows.

    Attributes:
        coded_height_px, coded_width_px: as the first frame is stored.
        sample_aspect: width of a stored pixel over its height.
        orientation: what to do to a stored frame so that it stands upright, where it does not say so itself.
        pixel_format: FFmpeg's name.
        colour: how numbers stand for colours, where a frame does not say so itself.
        interlaced: the first frame is two fields.
        deinterlace: frames of two fields are made whole from the first; else they are given as stored.
    """

    coded_height_px: int
    coded_width_px: int
    sample_aspect: Fraction
    orientation: Orientation
    pixel_format: str
    colour: Colour
    interlaced: bool
    deinterlace: bool

    @property
    def size_px(self) -> tuple[int, int]:
        """Displayed height and width."""
        return self.orientation.size_px(
            *stretched_size_px(self.coded_height_px, self.coded_width_px, self.sample_aspect)
        )

    def show(self, frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, square pixels, contiguous. A frame of another stored size keeps its own.

        Raises:
            UnknownColours: if the frame's numbers stand for colours that cannot be made RGB.
        """
        # Read before deinterlacing: a filter need not hand on what the frame says of itself.
        colour = colour_within(frame, self.colour)
        orientation = orientation_of(frame) or self.orientation
        height_px, width_px = stretched_size_px(frame.height, frame.width, self.sample_aspect)
        whole = first_field(frame) if self.deinterlace and frame.interlaced_frame else frame
        stored_HWC = to_rgb(whole, reformatter, colour, height_px=height_px, width_px=width_px)
        return np.ascontiguousarray(orientation.apply(stored_HWC))


def picture_of(frame: VideoFrame, stream: VideoStream, *, deinterlace: Deinterlace = "off") -> Picture:
    """What the first frame of `stream`, decoded, and its header say.

    Raises:
        UnknownColours: as `Picture.show`.
    """
    return Picture(
        coded_height_px=frame.height,
        coded_width_px=frame.width,
        sample_aspect=sensible_aspect(stream.sample_aspect_ratio),
        orientation=orientation_of(frame) or Orientation(),
        pixel_format=frame.format.name,
        colour=colour_of(frame, stream.codec_context),
        interlaced=frame.interlaced_frame,
        deinterlace=deinterlace == "auto",
    )
