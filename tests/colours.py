"""Files whose every sample is known, and the formulas for what they must look like. Knows nothing of longtake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COEFFICIENTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Of red and blue in luma: ITU-R BT.601, BT.709 and BT.2020."""

MATRIX_CODES = {"bt601": 6, "bt709": 1, "bt2020": 9}
PATCH_PX = 32


@dataclass(frozen=True)
class Stored:
    """How samples are stored, and what the file says of their colours (numbers of ITU-T H.273; 2 is "unspecified")."""

    codec: str = "libx264"
    pixel_format: str = "yuv444p"
    options: dict[str, str] = field(default_factory=lambda: {"qp": "0"})
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None

    @property
    def bits(self) -> int:
        return max(component.bits for component in av.VideoFormat(self.pixel_format).components)


def x265(**parameters: str) -> dict[str, str]:
    """Options under which libx265 loses nothing, and its times are as MP4 wants them."""
    told = {
        "lossless": "1",
        "bframes": "0",
        "log-level": "none",
        **{name.replace("_", "-"): text for name, text in parameters.items()},
    }
    return {"preset": "ultrafast", "x265-params": ":".join(f"{name}={text}" for name, text in told.items())}


def encoder(stored: Stored, stream: Any, height_px: int, width_px: int) -> None:
    """Tell a stream or codec context of PyAV all that `stored` says."""
    context = getattr(stream, "codec_context", stream)
    context.width, context.height, context.pix_fmt = width_px, height_px, stored.pixel_format
    context.time_base = Fraction(1, 25)
    context.color_primaries, context.color_trc, context.colorspace = stored.primaries, stored.transfer, stored.matrix
    context.color_range = {None: 0, False: 1, True: 2}[stored.full_range]


def frame_of(planes_HW: Sequence[NDArray[Any]], pixel_format: str) -> av.VideoFrame:
    """A frame with these very samples."""
    height_px, width_px = planes_HW[0].shape
    frame = av.VideoFrame(width_px, height_px, pixel_format)
    for plane, samples_HW in zip(frame.planes, planes_HW, strict=True):
        wide = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
        padded = np.zeros((plane.height, plane.line_size // np.dtype(wide).itemsize), wide)
        padded[: samples_HW.shape[0], : samples_HW.shape[1]] = samples_HW
        plane.update(padded.tobytes())
    return frame


def write(path: Path, pictures: Sequence[Sequence[NDArray[Any]]], stored: Stored) -> Path:
    """A video of 25 frames a second; each picture is its planes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(stored.codec, rate=25, options=dict(stored.options))
        encoder(stored, stream, *pictures[0][0].shape)
        for number, planes_HW in enumerate(pictures):
            frame = frame_of(planes_HW, stored.pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            if stored.full_range is not None:
                frame.color_range = 2 if stored.full_range else 1
            if stored.matrix != 2:
                frame.colorspace = stored.matrix
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def patches(yuv_N3: NDArray[Any], pixel_format: str) -> list[NDArray[Any]]:
    """The planes of a picture that shows each colour in a patch of its own, side by side, from left to right."""
    known = av.VideoFormat(pixel_format)
    planes = []
    for place, component in enumerate(known.components):
        across = known.chroma_width(PATCH_PX) if place in (1, 2) else PATCH_PX
        down = known.chroma_height(PATCH_PX) if place in (1, 2) else PATCH_PX
        wide = np.uint16 if component.bits > 8 else np.uint8
        planes.append(np.tile(np.repeat(yuv_N3[:, place], across).astype(wide), (down, 1)))
    return planes


def seen(image_HWC: NDArray[np.uint8]) -> Floats:
    """(N, 3): the colour in the middle of each patch of `patches`."""
    return image_HWC[PATCH_PX // 2, PATCH_PX // 2 :: PATCH_PX].astype(np.float64)


def yuv_codes(rgb_N3: Floats, matrix: str, *, bits: int, full_range: bool = False) -> NDArray[np.int64]:
    """(N, 3): the codes of R'G'B' of 0 to 1, rounded (ITU-R BT.601, BT.709, BT.2020)."""
    red, blue = COEFFICIENTS[matrix]
    luma = rgb_N3 @ np.array([red, 1 - red - blue, blue])
    u, v = (rgb_N3[:, 2] - luma) / (2 - 2 * blue), (rgb_N3[:, 0] - luma) / (2 - 2 * red)
    step, top = 1 << (bits - 8), (1 << bits) - 1
    if full_range:
        codes = np.stack([luma * top, u * top + 128 * step, v * top + 128 * step], axis=1)
    else:
        codes = np.stack([(219 * luma + 16) * step, (224 * u + 128) * step, (224 * v + 128) * step], axis=1)
    return codes.round().clip(0, top).astype(np.int64)


def rgb_of_codes(yuv_N3: NDArray[Any], matrix: str, *, bits: int, full_range: bool = False) -> Floats:
    """(N, 3): R'G'B' of 0 to 1, clipped, that the codes stand for: the inverse of `yuv_codes`."""
    red, blue = COEFFICIENTS[matrix]
    step, top = 1 << (bits - 8), (1 << bits) - 1
    yuv = np.asarray(yuv_N3, np.float64)
    if full_range:
        y, u, v = yuv[:, 0] / top, (yuv[:, 1] - 128 * step) / top, (yuv[:, 2] - 128 * step) / top
    else:
        y, u, v = (
            (yuv[:, 0] / step - 16) / 219,
            (yuv[:, 1] / step - 128) / 224,
            (yuv[:, 2] / step - 128) / 224,
        )
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], axis=1).clip(0, 1)


def lab(rgb_N3: Floats) -> Floats:
    """(N, 3): CIE L*a*b* of BT.709 R'G'B' of 0 to 255 on a BT.1886 screen; white is D65."""
    to_xyz = np.array([[0.412391, 0.357584, 0.180481], [0.212639, 0.715169, 0.072192], [0.019331, 0.119195, 0.950532]])
    xyz = (rgb_N3 / 255) ** 2.4 @ to_xyz.T / to_xyz.sum(axis=1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def delta_e(ours_N3: Floats, theirs_N3: Floats) -> Floats:
    """(N,) CIE76: the distance in L*a*b*. About 2.3 is a difference that one just sees."""
    return np.asarray(np.linalg.norm(lab(ours_N3) - lab(theirs_N3), axis=1))
