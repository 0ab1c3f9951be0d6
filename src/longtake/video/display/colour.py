"""video/display/colour: a decoded frame in, 8-bit RGB as a BT.709 screen shows it out. Knows no orientation.

Each frame is converted by what it says itself; what it leaves unsaid is as in the first frame of its stream.

    8 bits, ordinary colours         swscale's quick road to RGB
    more bits                        swscale to 16-bit RGB, rounded once
    PQ, HLG, BT.2020, display P3     swscale to 16-bit RGB, then tonemap
    transparent                      one of these, then laid over white

Transparency that a container keeps apart from the picture (VP9, AVIF) does not reach a frame: there all is opaque.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from longtake.video.display.tonemap import (
    USUAL_PEAK_CD_M2,
    WHITE_CD_M2,
    WIDE_PRIMARIES,
    Rendering,
    signal_of_codes,
    to_bt709,
)

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
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
_FOREIGN_MATRICES = {
    8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "Y'D'zD'x", 12: "a matrix derived from primaries",
    13: "a matrix derived from primaries, with constant luminance", 14: "ICtCp",
    15: "IPT-PQ-C2 (Dolby Vision profile 5)", 16: "YCgCo-Re", 17: "YCgCo-Ro",
}  # fmt: skip
"""ITU-T H.273, table 4: stated, but not known to swscale, which would take them for another."""

_SWSCALE_MATRICES = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
"""SWS_CS_* of libswscale/swscale.h; not all are in the enum of each PyAV."""

_LIMITED_RANGE, _FULL_RANGE = 1, 2
_HD_LINES = 720
_LIMITED_UNLESS_STATED = frozenset({"h264", "hevc", "vvc"})
"""Their standards say so for grey too (H.264, E.2.1: video_full_range_flag is inferred to be 0)."""

_DOLBY_VISION_TAGS = frozenset({"dvh1", "dvhe", "dva1", "dvav", "dav1"})
"""Names of codecs in MP4 ("Dolby Vision Streams Within the ISO Base Media File Format", 5.3)."""

_DEEP_FORMAT, _DEEP_WHITE = "gbrp16le", 255 << 8
"""swscale puts the white of limited range there, and black at 0."""

HDR_TRANSFERS = frozenset({"pq", "hlg"})
CURVE = "BT.2390"


class UnknownColours(ValueError):
    """A frame whose numbers longtake cannot turn into the colours that they stand for; says why, without the file."""


@dataclass(frozen=True)
class Colour:
    """How the numbers of a decoded frame stand for colours. Numbers are those of ITU-T H.273.

    Attributes:
        primaries, transfer: names, "unknown" where the file does not say.
        matrix: the name of the YUV matrix, "rgb" for none.
        matrix_assumed: the file does not say: BT.2020 for PQ and HLG, else BT.709 from 720 lines up and BT.601 below,
            as players take it.
        full_range: 0 to 255 rather than 16 to 235.
        peak_cd_m2: the brightest that the master shows, as the first frame states it: the lower of the content's
            maximum and the mastering display's. None where it does not.
    """

    primaries: str
    transfer: str
    matrix: str
    matrix_assumed: bool
    full_range: bool
    peak_cd_m2: float | None = None

    @property
    def source_peak_cd_m2(self) -> float:
        """From where PQ is mapped to 203 cd/m2."""
        return max(self.peak_cd_m2 or USUAL_PEAK_CD_M2, WHITE_CD_M2)

    @property
    def tone_curve(self) -> str | None:
        """The name of the curve that brings high dynamic range to standard, None where none is needed."""
        return CURVE if self.transfer in HDR_TRANSFERS else None

    @property
    def wide_primaries(self) -> str | None:
        """The primaries from which light is brought to those of BT.709; None where numbers are kept."""
        if self.transfer in HDR_TRANSFERS and self.primaries == "unknown":
            return "bt2020"
        return self.primaries if self.primaries in WIDE_PRIMARIES else None

    @property
    def conversion(self) -> str | None:
        """What is done to show the colours on a BT.709 screen, in words; None where numbers are kept."""
        if self.tone_curve is None:
            return f"brought from {self.primaries} to bt709 primaries" if self.wide_primaries else None
        peak_cd_m2 = self.source_peak_cd_m2 if self.transfer == "pq" else USUAL_PEAK_CD_M2
        stated = "" if self.transfer == "hlg" or self.peak_cd_m2 else " (assumed: not stated)"
        return f"tone-mapped: {self.tone_curve}, {peak_cd_m2:,.0f}{stated} to {WHITE_CD_M2:.0f} cd/m2, bt709 primaries"


def colour_of(frame: VideoFrame, codec: VideoCodecContext) -> Colour:
    """What the first frame of a stream, and its decoder after it, say.

    Raises:
        UnknownColours: if that is a matrix that is not known here, or Dolby Vision's own colours.
    """
    unsaid = Colour(
        primaries=_PRIMARIES.get(int(codec.color_primaries), "unknown"),
        transfer=_TRANSFERS.get(int(codec.color_trc), "unknown"),
        matrix="unknown",
        matrix_assumed=True,
        full_range=_format(frame.format.name).grey and codec.name not in _LIMITED_UNLESS_STATED,
        peak_cd_m2=_peak_cd_m2(frame),
    )
    colour = colour_within(frame, unsaid)
    if _is_dolby_vision(frame, codec) and (colour.matrix_assumed or colour.transfer == "unknown"):
        # Profiles with a plain picture inside say what it is; profile 5 has none and looks green and violet as such.
        raise UnknownColours("is Dolby Vision without an HDR10, HLG or standard picture inside")
    return colour


def colour_within(frame: VideoFrame, stream: Colour) -> Colour:
    """What `frame` says of itself; what it leaves unsaid is as in `stream`, the colour of its stream's first frame.

    Raises:
        UnknownColours: if that is a matrix that is not known here.
    """
    # PyAV 16 does not tell these of a frame.
    primaries = _PRIMARIES.get(int(getattr(frame, "color_primaries", 2)), stream.primaries)
    transfer = _TRANSFERS.get(int(getattr(frame, "color_trc", 2)), stream.transfer)
    kind, stated, range_code = _format(frame.format.name), int(frame.colorspace), int(frame.color_range)
    if not kind.rgb and stated in _FOREIGN_MATRICES:
        raise UnknownColours(f"its colours are coded in {_FOREIGN_MATRICES[stated]}, which longtake cannot convert")
    said = _MATRICES.get(stated) or (None if stream.matrix_assumed or stream.matrix == "rgb" else stream.matrix)
    return Colour(
        primaries=primaries,
        transfer=transfer,
        matrix="rgb" if kind.rgb else said or _usual_matrix(frame, transfer),
        matrix_assumed=said is None and not kind.rgb,
        full_range=kind.full or {_LIMITED_RANGE: False, _FULL_RANGE: True}.get(range_code, stream.full_range),
        peak_cd_m2=stream.peak_cd_m2,
    )


def to_rgb(
    frame: VideoFrame, reformatter: VideoReformatter, colour: Colour, *, height_px: int, width_px: int
) -> NDArray[np.uint8]:
    """(height_px, width_px, 3) uint8 RGB of a decoded frame, scaled to that size (bicubic) where it has another.

    swscale's quick road: against the exact formula about one step of 255 too dark, three at most. The others are exact
    to a step (tests/test_video_colour.py).
    """
    kind = _format(frame.format.name)
    target = _Target(reformatter, colour, height_px, width_px)
    rendering = _rendering(kind, colour)
    if rendering is not None:
        image_HWC = to_bt709(target.codes(frame), rendering)
    elif kind.deep:
        image_HWC = _rounded(*_ends(kind, colour))[target.codes(frame)].transpose(1, 2, 0)
    else:
        image_HWC = target.image(frame, "rgb24")
        if kind.grey and not colour.full_range:
            image_HWC = _rounded(16, 235)[image_HWC]
    if not kind.alpha:
        return image_HWC
    return _over_white(image_HWC, target.image(frame, "rgba")[:, :, 3:])


@dataclass(frozen=True)
class _Format:
    """What the name of a pixel format stands for."""

    bits: int
    rgb: bool
    grey: bool
    alpha: bool
    full: bool

    @property
    def deep(self) -> bool:
        """YUV or grey of more than 8 bits. RGB of more is rounded by swscale well enough."""
        return self.bits > 8 and not self.rgb


@lru_cache(maxsize=64)
def _format(name: str) -> _Format:
    known = VideoFormat(name)
    # X'Y'Z' (digital cinema) is made RGB by swscale, without a matrix of ours.
    rgb = known.is_rgb or known.has_palette or name.startswith("xyz")
    return _Format(
        bits=min(16, max(component.bits for component in known.components)),
        rgb=rgb,
        grey=name.startswith(("gray", "ya8", "ya16")),
        alpha=known.has_palette or any(component.is_alpha for component in known.components),
        full=rgb or name.startswith(("yuvj", "mono")),
    )


@dataclass(frozen=True)
class _Target:
    """swscale with all that it must be told."""

    reformatter: VideoReformatter
    colour: Colour
    height_px: int
    width_px: int

    def image(self, frame: VideoFrame, pixel_format: str) -> NDArray[np.uint8]:
        return np.asarray(self._converted(frame, pixel_format).to_ndarray(), dtype=np.uint8)

    def codes(self, frame: VideoFrame) -> NDArray[np.uint16]:
        """(3, H, W) R'G'B', 16 bits."""
        planes = self._converted(frame, _DEEP_FORMAT).planes
        rows = [np.frombuffer(memoryview(plane), "<u2").reshape(-1, plane.line_size // 2) for plane in planes]
        green, blue, red = (plane_HW[: self.height_px, : self.width_px] for plane_HW in rows)
        return np.stack([red, green, blue])

    def _converted(self, frame: VideoFrame, pixel_format: str) -> VideoFrame:
        scaled = (frame.height, frame.width) != (self.height_px, self.width_px)
        interpolation = "BICUBIC" if scaled else "BILINEAR"
        size_px = self.width_px, self.height_px
        if self.colour.matrix == "rgb":
            return self.reformatter.reformat(frame, *size_px, pixel_format, interpolation=interpolation)
        matrix = _SWSCALE_MATRICES[self.colour.matrix]
        return self.reformatter.reformat(
            frame,
            *size_px,
            pixel_format,
            interpolation=interpolation,
            src_colorspace=matrix,
            # RGB has no matrix; but where this equals the source's, PyAV 16 hands neither on.
            dst_colorspace=next(other for other in _SWSCALE_MATRICES.values() if other != matrix),
            # Some versions of swscale take grey of 8 bits, others all grey for full range: it is stretched here.
            src_color_range="JPEG" if self.colour.full_range or _format(frame.format.name).grey else "MPEG",
            dst_color_range="JPEG",
        )


def _rendering(kind: _Format, colour: Colour) -> Rendering | None:
    """None where numbers are shown as they are."""
    if colour.tone_curve is None and colour.wide_primaries is None:
        return None
    transfer = colour.transfer if colour.tone_curve else "bt1886"
    return Rendering(
        cast(Literal["pq", "hlg", "bt1886"], transfer),
        colour.wide_primaries or "bt709",
        colour.source_peak_cd_m2,
        *_ends(kind, colour),
    )


def _ends(kind: _Format, colour: Colour) -> tuple[int, int]:
    """The codes of black and white that swscale makes of `kind` in its 16-bit format (measured: the tests hold it)."""
    if colour.full_range:
        return 0, ((1 << kind.bits) - 1) << (16 - kind.bits)
    return (16 << 8, 235 << 8) if kind.grey else (0, _DEEP_WHITE)


@lru_cache(maxsize=8)
def _rounded(black_code: int, white_code: int) -> NDArray[np.uint8]:
    """(65536,) each code's step of 255."""
    return (signal_of_codes(black_code, white_code) * 255).round().astype(np.uint8)


def _over_white(image_HWC: NDArray[np.uint8], alpha_HW1: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A page is white, and so it shows a picture that is transparent; colours that nobody sees are not let through."""
    if alpha_HW1.min() == 255:
        return image_HWC
    alpha = alpha_HW1.astype(np.uint16)
    return ((image_HWC * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _usual_matrix(frame: VideoFrame, transfer: str) -> str:
    if transfer in HDR_TRANSFERS:
        return "bt2020"
    return "bt709" if frame.height >= _HD_LINES or frame.width >= 2 * _HD_LINES else "bt601"


def _peak_cd_m2(frame: VideoFrame) -> float | None:
    """From FFmpeg's AVContentLightMetadata and AVMasteringDisplayMetadata (mastering_display_metadata.h)."""
    stated = []
    light = _side_data(frame, "CONTENT_LIGHT_LEVEL")
    if light is not None:
        stated.append(float(struct.unpack_from("I", light)[0]))
    mastering = _side_data(frame, "MASTERING_DISPLAY_METADATA")
    if mastering is not None:
        # Ten rationals: x and y of three primaries and white, least and most light; then whether each half is set.
        *_, most, per, _, has_light = struct.unpack_from("20i2i", mastering)
        stated.append(most / per if has_light and per else 0.0)
    return min((peak for peak in stated if peak > 0), default=None)


def _tag(codec: VideoCodecContext) -> str:
    """The codec's name in its container; "" where that is no text."""
    try:
        return codec.codec_tag
    except UnicodeDecodeError:
        return ""


def _is_dolby_vision(frame: VideoFrame, codec: VideoCodecContext) -> bool:
    return _tag(codec) in _DOLBY_VISION_TAGS or any(
        _side_data(frame, kind) is not None for kind in ("DOVI_RPU_BUFFER", "DOVI_METADATA")
    )


def _side_data(frame: VideoFrame, kind: str) -> bytes | None:
    try:
        # `frame.side_data` ties a knot: frame and list hold each other, and pile up until the garbage collector comes.
        # PyAV's stub leaves out the argument that its constructor takes.
        found = SideDataContainer(frame).get(kind)  # type: ignore[call-arg]
    except ValueError:
        # PyAV lists no side data at all where one kind is newer than itself.
        return None
    return None if found is None else bytes(cast(SideData, found))
