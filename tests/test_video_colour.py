"""Right colours: each way of storing them, through real codecs, against formulas written out in colours.py."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

import colours
from colours import COEFFICIENTS, MATRIX_CODES, Floats, Stored
from longtake.video.display.colour import Colour, colour_of, to_rgb
from longtake.video.opening import open_video
from longtake.video.video_file import VideoFile

_RNG = np.random.default_rng(7)
COLOURS: Floats = np.concatenate(
    [[(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1)], _RNG.random((14, 3))]
)

QUICK, EXACT = 3.0, 1.0
"""Largest error in steps of 255: on swscale's quick road for 8 bits with shared chroma, and on every other."""


def image_of(video: VideoFile, number: int = 0) -> NDArray[np.uint8]:
    return next(video.read([number])).pixels_TCHW[0].transpose(1, 2, 0)


def seen(path: Path) -> Floats:
    return colours.seen(image_of(open_video(path)))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", COEFFICIENTS)
def test_colours_by_matrix_and_range(matrix: str, full_range: bool) -> None:
    colour = Colour("unknown", "unknown", matrix, matrix_assumed=False, full_range=full_range)
    for yuv in [(16, 128, 128), (235, 128, 128), (120, 90, 200), (81, 90, 240), (145, 54, 34), (41, 240, 110)]:
        frame = av.VideoFrame(64, 48, "yuv420p")
        for plane, value in zip(frame.planes, yuv, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        image = to_rgb(frame, VideoReformatter(), colour, height_px=48, width_px=64)
        assert (image == image[0, 0]).all()
        wanted = 255 * colours.rgb_of_codes(np.array([yuv]), matrix, bits=8, full_range=full_range)[0]
        np.testing.assert_allclose(image[0, 0], wanted, atol=QUICK)


@pytest.mark.parametrize("matrix", MATRIX_CODES)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("coding", "bound"),
    [
        (("libx264", "yuv420p"), QUICK),
        (("libx264", "yuv422p"), QUICK),
        (("libx264", "yuv444p"), EXACT),
        (("libx264", "yuv420p10le"), EXACT),
        (("libx264", "yuv422p10le"), EXACT),
        (("libx264", "yuv444p10le"), EXACT),
        (("ffv1", "yuv420p12le"), EXACT),
        (("ffv1", "yuv444p16le"), EXACT),
    ],
)
def test_matrix_and_range_as_stated(
    tmp_path: Path, matrix: str, full_range: bool, coding: tuple[str, str], bound: float
) -> None:
    codec, pixel_format = coding
    options = {"qp": "0"} if codec == "libx264" else {}
    stored = Stored(codec, pixel_format, options, transfer=1, matrix=MATRIX_CODES[matrix], full_range=full_range)
    codes = colours.yuv_codes(COLOURS, matrix, bits=stored.bits, full_range=full_range)
    path = colours.write(tmp_path / "patches.mkv", [colours.patches(codes, pixel_format)], stored)
    wanted = 255 * colours.rgb_of_codes(codes, matrix, bits=stored.bits, full_range=full_range)
    assert np.abs(seen(path) - wanted).max() <= bound


@pytest.mark.parametrize(("height", "matrix"), [(480, "bt601"), (720, "bt709")])
def test_an_unstated_matrix_is_taken_as_players_do(height: int, matrix: str) -> None:
    frame = av.VideoFrame(64, height, "yuv420p")
    codec = av.CodecContext.create("h264", "r")
    assert colour_of(frame, codec) == Colour("unknown", "unknown", matrix, matrix_assumed=True, full_range=False)
    assert colour_of(av.VideoFrame(64, height, "yuvj420p"), codec).full_range
    assert colour_of(av.VideoFrame(64, height, "bgra"), codec).matrix == "rgb"


@pytest.mark.parametrize("full_range", [None, False, True])
@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray12le"])
def test_grey_video_has_a_range_too(tmp_path: Path, pixel_format: str, full_range: bool | None) -> None:
    """HEVC that does not say is of limited range; swscale would take all grey for full."""
    options = colours.x265() if full_range is None else colours.x265(range="full" if full_range else "limited")
    stored = Stored("libx265", pixel_format, options, full_range=full_range)
    step = 1 << (stored.bits - 8)
    values = np.array([[16], [60], [126], [200], [235]]) * step
    path = colours.write(tmp_path / "grey.mkv", [colours.patches(values, pixel_format)], stored)
    video = open_video(path)
    assert video.picture.pixel_format.startswith("gray")
    top = 256 * step - 1
    wanted = values / top if full_range else (values / step - 16) / 219
    assert np.abs(colours.seen(image_of(video)) - 255 * wanted).max() <= EXACT


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [("libx264rgb", "bgr24"), ("ffv1", "gbrp10le"), ("ffv1", "gbrp16le"), ("qtrle", "rgb24")]
)
def test_rgb_is_kept(tmp_path: Path, codec: str, pixel_format: str) -> None:
    container_name = "mov" if codec == "qtrle" else "mkv"
    image = np.tile(np.repeat((COLOURS * 255).round().astype(np.uint8), colours.PATCH_PX, axis=0), (32, 1, 1))
    with av.open(str(tmp_path / f"rgb.{container_name}"), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"qp": "0"} if "264" in codec else {})
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], pixel_format
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=pixel_format)))
        container.mux(stream.encode())
    video = open_video(tmp_path / f"rgb.{container_name}")
    assert video.picture.colour.matrix == "rgb"
    assert np.abs(image_of(video).astype(int) - image).max() <= EXACT


@pytest.mark.parametrize(
    ("name", "pixel_format"), [("a.png", "RGBA"), ("la.png", "LA"), ("p.png", "P"), ("a.gif", "P"), ("a.webp", "RGBA")]
)
def test_what_is_transparent_lies_over_white(tmp_path: Path, name: str, pixel_format: str) -> None:
    """Hidden colours do not come through: a page shows white there."""
    height, width = 32, 64
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[:, :, :3] = 90 if pixel_format == "LA" else (200, 30, 90)
    pixels[:, :32, 3] = 255
    if pixel_format in ("RGBA", "LA"):
        pixels[:16, 32:, 3] = 128
    if pixel_format == "P":
        picture = Image.new("P", (width, height))
        picture.putpalette([200, 30, 90, 0, 0, 0, 0, 0, 0, 0, 255, 0])
        picture.paste(3, (32, 0, 64, 32))
        picture.save(tmp_path / name, transparency=3)
    else:
        Image.fromarray(pixels).convert(pixel_format).save(
            tmp_path / name, **({"lossless": True} if "webp" in name else {})
        )
    page = Image.new("RGBA", (width, height), "white")
    with Image.open(tmp_path / name) as written:
        page.alpha_composite(written.convert("RGBA"))
    image = image_of(open_video(tmp_path / name))
    assert np.abs(image.astype(int) - np.asarray(page.convert("RGB"))).max() <= 1
    assert (image[:, :32] == pixels[:, :32, :3]).all() and (image[16:, 32:] == 255).all()


def test_transparent_video_lies_over_white(tmp_path: Path) -> None:
    """yuva of more than eight bits (as ProRes 4444 has it): black, half transparent on the right."""
    stored = Stored("ffv1", "yuva444p10le", {}, transfer=1, matrix=1, full_range=False)
    values = np.array([[64, 512, 512, 1023], [64, 512, 512, 512], [64, 512, 512, 0]])
    path = colours.write(tmp_path / "alpha.mkv", [colours.patches(values, "yuva444p10le")], stored)
    assert np.abs(seen(path) - [[0] * 3, [127.5] * 3, [255] * 3]).max() <= EXACT


def joined(path: Path, parts: Sequence[tuple[list[NDArray[np.int64]], Stored]]) -> Path:
    """One transport stream of H.264 whose parts each say of themselves how they are to be shown."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = None
        for place, (planes_HW, stored) in enumerate(parts):
            height, width = planes_HW[0].shape
            codec = av.CodecContext.create(stored.codec, "w")
            colours.encoder(stored, codec, height, width)
            codec.options = dict(stored.options)
            frame = colours.frame_of(planes_HW, stored.pixel_format)
            frame.pts, frame.time_base = place, Fraction(1, 25)
            if stored.full_range is not None:
                frame.color_range = 2 if stored.full_range else 1
            frame.colorspace = stored.matrix
            packets = [*codec.encode(frame), *codec.encode(None)]
            if stream is None:
                stream = container.add_stream(stored.codec, rate=25)
                colours.encoder(stored, stream, height, width)
            for packet in packets:
                packet.pts = packet.dts = place
                packet.time_base, packet.stream = Fraction(1, 25), stream
                container.mux(packet)
    return path


def test_a_frame_that_says_otherwise_is_shown_by_what_it_says(tmp_path: Path) -> None:
    """Range, matrix, bits and high dynamic range change inside one stream."""
    kinds = [
        Stored(pixel_format="yuv444p", transfer=1, matrix=1, full_range=False),
        Stored(pixel_format="yuv444p", transfer=1, matrix=1, full_range=True),
        Stored(pixel_format="yuv444p", transfer=1, matrix=6, full_range=False),
        Stored(pixel_format="yuv444p10le", transfer=1, matrix=9, full_range=False),
    ]
    names = {code: name for name, code in MATRIX_CODES.items()}
    parts, wanted = [], []
    for kind in kinds:
        matrix, full = names[kind.matrix], bool(kind.full_range)
        codes = colours.yuv_codes(COLOURS, matrix, bits=kind.bits, full_range=full)
        parts.append((colours.patches(codes, kind.pixel_format), kind))
        wanted.append(255 * colours.rgb_of_codes(codes, matrix, bits=kind.bits, full_range=full))
    video = open_video(joined(tmp_path / "joined.ts", parts))
    assert len(video.times_s) == 4
    for number in (0, 3, 1, 2):
        assert np.abs(colours.seen(image_of(video, number)) - wanted[number]).max() <= EXACT, number


@pytest.mark.skipif(av.__version__.startswith("16."), reason="PyAV 16 does not tell the transfer of a frame")
def test_standard_and_high_dynamic_range_in_one_stream(tmp_path: Path) -> None:
    white = colours.yuv_codes(np.full((4, 3), 0.5806888), "bt2020", bits=10)
    plain = Stored(pixel_format="yuv444p10le", transfer=1, matrix=1, primaries=1, full_range=False)
    bright = Stored(pixel_format="yuv444p10le", transfer=16, matrix=9, primaries=9, full_range=False)
    parts = [(colours.patches(white, "yuv444p10le"), kind) for kind in (plain, bright, plain)]
    video = open_video(joined(tmp_path / "mixed.ts", parts))
    means = [float(image_of(video, number).mean()) for number in range(3)]
    assert np.abs(np.array(means) - [148, 230, 148]).max() < 1.5, (
        "203 cd/m2 is 230 by the curve, 148 if taken for video"
    )


def test_sizes_change_inside_a_stream(tmp_path: Path) -> None:
    kind = Stored(pixel_format="yuv444p", transfer=1, matrix=1, full_range=False)
    codes = [colours.yuv_codes(COLOURS[:count], "bt709", bits=8) for count in (6, 9)]
    parts = [(colours.patches(some, "yuv444p"), kind) for some in codes]
    video = open_video(joined(tmp_path / "sizes.ts", parts))
    for number, some in enumerate(codes):
        image = image_of(video, number)
        assert image.shape == (32, 32 * len(some), 3), "each frame keeps its own size"
        assert np.abs(colours.seen(image) - 255 * colours.rgb_of_codes(some, "bt709", bits=8)).max() <= EXACT
    with pytest.raises(ValueError, match="change size"):
        next(video.read([0, 1]))
