"""Upright, square pixels, right colours: what a player shows, against formulas written out here."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from longtake.video.display.orientation import Orientation, sensible_aspect, stretched_size_px
from longtake.video.opening import open_video
from longtake.video.video_file import VideoFile
from media import numbered
from media.numbered import Coding

CORNERS = {"red": numbered.RED, "green": numbered.GREEN, "blue": numbered.BLUE}


def first_frame(video: VideoFile) -> NDArray[np.uint8]:
    return next(video.read([0])).pixels_TCHW[0].transpose(1, 2, 0)


def corners(image_HWC: NDArray[np.uint8]) -> dict[str, str]:
    """Which corner of the picture has which of the drawn colours."""
    height, width = image_HWC.shape[:2]
    rows, columns = (
        {"top": height // 20, "bottom": height - height // 20},
        {"left": width // 20, "right": width - width // 20},
    )
    found = {}
    for vertical, row in rows.items():
        for horizontal, column in columns.items():
            pixel = image_HWC[row, column].astype(int)
            for name, colour in CORNERS.items():
                if np.abs(pixel - colour).max() < 40:
                    found[name] = f"{vertical} {horizontal}"
    return found


UPRIGHT = {"red": "top left", "green": "top right", "blue": "bottom left"}
TURNS = {  # display matrix a b c d: where the drawn corners must come to lie, degrees clockwise, mirrored
    (1, 0, 0, 1): (UPRIGHT, 0, False),
    (0, 1, -1, 0): ({"red": "top right", "green": "bottom right", "blue": "top left"}, 90, False),
    (-1, 0, 0, -1): ({"red": "bottom right", "green": "bottom left", "blue": "top right"}, 180, False),
    (0, -1, 1, 0): ({"red": "bottom left", "green": "top left", "blue": "bottom right"}, 270, False),
    (-1, 0, 0, 1): ({"red": "top right", "green": "top left", "blue": "bottom right"}, 0, True),
    (1, 0, 0, -1): ({"red": "bottom left", "green": "bottom right", "blue": "top left"}, 180, True),
    (0, 1, 1, 0): ({"red": "top left", "green": "bottom left", "blue": "top right"}, 270, True),
    (0, -1, -1, 0): ({"red": "bottom right", "green": "top right", "blue": "bottom left"}, 90, True),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_display_matrix_turns_and_mirrors(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = numbered.set_display_matrix(numbered.write(tmp_path / "turned.mp4", frames=2), matrix)
    where, rotation_deg, mirrored = TURNS[matrix]
    video = open_video(path)
    assert video.picture.orientation == Orientation(rotation_deg, mirrored)
    image = first_frame(video)
    assert corners(image) == where
    assert image.shape[:2] == (video.height_px, video.width_px) == ((160, 128) if matrix[0] == 0 else (128, 160))


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_orientation_moves_pixels_as_its_matrix_says(rotation_deg: int, mirrored: bool) -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    out = Orientation(rotation_deg, mirrored).apply(image)
    assert out.shape[:2] == Orientation(rotation_deg, mirrored).size_px(2, 3)
    turn = np.deg2rad(rotation_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]).round()
    matrix = matrix @ np.diag([-1 if mirrored else 1, 1])
    # A pixel's centre relative to the picture's, x to the right and y down, goes where the matrix takes it.
    for row in range(2):
        for column in range(3):
            x, y = matrix @ (column - 1, row - 0.5)
            place = round(y + (out.shape[0] - 1) / 2), round(x + (out.shape[1] - 1) / 2)
            assert (out[place] == image[row, column]).all()


def test_real_rotations_agree_with_each_other(shared: Path) -> None:
    upright = first_frame(open_video(shared / "media" / "rotated_0.mov"))
    assert upright.shape == (320, 568, 3)
    for degrees in (90, 180, 270):
        video = open_video(shared / "media" / f"rotated_{degrees}.mov")
        assert video.picture.orientation == Orientation(degrees, mirrored=False)
        image = first_frame(video)
        assert image.shape[:2] == ((320, 568) if degrees == 180 else (568, 320))


def test_exif_orientation_of_a_photograph(tmp_path: Path) -> None:
    photo = Image.fromarray(numbered.draw(5))
    exif = photo.getexif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    video = open_video(tmp_path / "photo.jpg")
    assert (video.height_px, video.width_px) == (160, 128)
    assert corners(first_frame(video)) == {"red": "top right", "green": "bottom right", "blue": "top left"}


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(2), (128, 320)), (Fraction(1, 2), (256, 160)), (Fraction(16, 11), (128, 233))]
)
def test_pixels_that_are_not_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    video = open_video(numbered.write(tmp_path / "wide.mp4", Coding(sample_aspect=aspect), frames=3))
    assert (video.height_px, video.width_px) == size
    images = [image.transpose(1, 2, 0) for some in video.read(video.numbers) for image in some.pixels_TCHW]
    assert [numbered.read(image) for image in images] == [0, 1, 2]
    assert images[0].shape[:2] == size
    assert corners(images[0]) == UPRIGHT


def test_aspect_and_turn_together(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "both.mp4", Coding(sample_aspect=Fraction(2)), frames=2)
    video = open_video(numbered.set_display_matrix(path, (0, 1, -1, 0)))
    assert (video.height_px, video.width_px) == (320, 128), "stretched as stored, then turned"
    assert first_frame(video).shape == (320, 128, 3)


def test_senseless_aspects_are_square() -> None:
    assert sensible_aspect(None) == sensible_aspect(Fraction(0)) == sensible_aspect(Fraction(1, 65_535)) == 1
    assert sensible_aspect(Fraction(64, 45)) == Fraction(64, 45)
    assert stretched_size_px(480, 720, Fraction(8, 9)) == (540, 720)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16"])
def test_still_pictures_keep_their_very_pixels(tmp_path: Path, mode: str) -> None:
    drawn = Image.fromarray(numbered.draw(77))
    if mode == "I;16":
        grey = np.asarray(drawn.convert("L"))
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "still.png")
        expected = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        drawn.convert(mode).save(tmp_path / "still.png")
        expected = np.asarray(drawn.convert(mode).convert("RGB"))
    image = first_frame(open_video(tmp_path / "still.png"))
    assert np.abs(image.astype(int) - expected).max() <= 1


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    down, across = np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)[None]
    planes = np.broadcast_arrays(down, across, np.float64(90))
    return np.stack(planes, axis=-1).round().astype(np.uint8)


SIZES = [(2, 2), (1, 1), (1, 1080), (1080, 1), (321, 241), (3, 5), (16384, 16), (16, 16384)]
CODECS = ["ffv1", "libx264", "libvpx-vp9", "png", "gif"]
# FFmpeg's FFV1 encoder makes no pictures as narrow as one pixel and so high.
CODED_SIZES = [(codec, *size) for codec in CODECS for size in SIZES if (codec, *size) != ("ffv1", 1, 1080)]


@pytest.mark.parametrize(("codec", "width", "height"), CODED_SIZES)
def test_odd_sizes_are_shown_whole(tmp_path: Path, codec: str, width: int, height: int) -> None:
    image = gradient(height, width)
    path = tmp_path / ("odd." + {"png": "png", "gif": "gif"}.get(codec, "mkv"))
    if codec in ("png", "gif"):
        Image.fromarray(image).save(path)
    else:
        pixel_format = {"ffv1": "bgr0", "libx264": "yuv444p"}.get(codec, "yuv420p")
        options = {"libx264": {"qp": "0"}, "libvpx-vp9": {"crf": "4", "b": "0", "deadline": "realtime"}}.get(codec, {})
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            # Without a statement the matrix goes by the size, so this is what an encoder would take.
            stream.codec_context.colorspace = 1 if height >= 720 or width >= 1440 else 6
            matrix = "ITU709" if height >= 720 or width >= 1440 else "ITU601"
            for _ in range(2):
                frame = av.VideoFrame.from_ndarray(image).reformat(format=pixel_format, dst_colorspace=matrix)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    video = open_video(path)
    shown = first_frame(video)
    assert (video.height_px, video.width_px) == shown.shape[:2] == (height, width)
    # Small pictures with shared chroma keep their brightness only; a GIF has 256 colours.
    error = np.abs(shown.astype(int) - image)
    bound = {"ffv1": 0, "png": 0, "libx264": 3, "gif": 24}.get(codec)
    if bound is not None:
        assert error.max() <= bound
    else:
        assert np.abs(shown.mean(axis=2).mean() - image.mean(axis=2).mean()) < 12


def test_a_frame_that_is_turned_otherwise_says_so_itself(tmp_path: Path) -> None:
    """Motion JPEG, each of whose pictures may be turned by its own Exif."""
    path = tmp_path / "turning.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuvj420p"
        for number, exif_orientation in enumerate([1, 6, 3, 1]):
            photo = Image.fromarray(numbered.draw(number + 5))
            exif = photo.getexif()
            exif[0x0112] = exif_orientation
            file = io.BytesIO()
            photo.save(file, "JPEG", exif=exif, quality=95)
            packet = av.Packet(file.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    video = open_video(path)
    shown = [next(video.read([number])).pixels_TCHW[0].transpose(1, 2, 0) for number in video.numbers]
    turned = corners(shown[1])
    assert turned == {"red": "top right", "green": "bottom right", "blue": "top left"}
    assert corners(shown[2]) == {"red": "bottom right", "green": "bottom left", "blue": "top right"}
    assert corners(shown[0]) == corners(shown[3]) == UPRIGHT
    assert [image.shape[:2] for image in shown] == [(128, 160), (160, 128), (128, 160), (128, 160)]
