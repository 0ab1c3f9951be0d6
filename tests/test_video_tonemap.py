"""High dynamic range and wide gamuts through real codecs, against the formulas written out once more, in float64."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import colours
from colours import Floats, Stored, delta_e
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.display.colour import UnknownColours, colour_of
from longtake.video.info import info
from longtake.video.opening import open_video
from longtake.video.video_file import VideoFile
from media import numbered
from running import Cli

PQ, HLG, BT2020, P3 = 16, 18, 9, 12
HDR10 = Stored("libx265", "yuv444p10le", colours.x265(), primaries=BT2020, transfer=PQ, matrix=BT2020, full_range=False)

COLOURS: Floats = np.array(
    [
        (0, 0, 0), (1, 1, 1), (0.75, 0.75, 0.75), (0.5807, 0.5807, 0.5807), (0.3, 0.3, 0.3), (0.1, 0.1, 0.1),
        (0.58, 0, 0), (0, 0.58, 0), (0, 0, 0.58), (0.5, 0.45, 0.4), (0.3, 0.42, 0.35), (0.2, 0.25, 0.5),
        (0.75, 0.7, 0.3), (0.4, 0.55, 0.6), (0.7, 0.2, 0.5),
    ]
)  # fmt: skip
"""R'G'B' signals: greys, the corners of BT.2020, and what lies between."""

FROM_2020 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.11873]]
)
"""ITU-R BT.2407, 2.2: BT.2020 to BT.709."""

FROM_P3 = np.array([[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098273]])


def pq_light(signal: Floats) -> Floats:
    """SMPTE ST 2084, in cd/m2."""
    power = np.power(signal, 32 / 2523)
    return 10_000 * np.power(np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power), 16384 / 2610)


def pq_signal(light: Floats | float) -> Floats:
    power = np.power(np.asarray(light) / 10_000, 2610 / 16384)
    return np.power((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 2523 / 32)


def kneed(light: Floats, peak: float) -> Floats:
    """BT.2390, 5.4.1: E1 to E2 to light again; 203 cd/m2 is the target's peak and both blacks are 0."""
    source, target = pq_signal(peak), pq_signal(203.0)
    e1, max_lum = np.minimum(pq_signal(light) / source, 1), target / source
    ks = 1.5 * max_lum - 0.5
    t = (e1 - ks) / (1 - ks)
    p = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * max_lum
    return pq_light(np.where(e1 < ks, e1, p) * source)


def hlg_light(signal: Floats) -> Floats:
    """BT.2100 on a screen of 1,000 cd/m2, in cd/m2."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return 1000 * (scene @ np.array([0.2627, 0.6780, 0.0593]))[:, None] ** 0.2 * scene


def expected(light_N3: Floats, peak: float) -> Floats:
    """0 to 255, unrounded."""
    return 255 * np.power((kneed(light_N3, peak) / 203 @ FROM_2020.T).clip(0, 1), 1 / 2.4)


def opened(path: Path, signal_N3: Floats, stored: Stored) -> tuple[VideoFile, Floats, Floats]:
    """The opened video, its colours as longtake gives them, and the signals that were really stored."""
    full = bool(stored.full_range)
    codes = colours.yuv_codes(signal_N3, "bt2020", bits=stored.bits, full_range=full)
    video = open_video(colours.write(path, [colours.patches(codes, stored.pixel_format)] * 2, stored))
    image = next(video.read([1])).pixels_TCHW[0].transpose(1, 2, 0)
    return video, colours.seen(image), colours.rgb_of_codes(codes, "bt2020", bits=stored.bits, full_range=full)


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le"])
@pytest.mark.parametrize("full_range", [False, True])
def test_pq_is_mapped_as_the_formulas_say(tmp_path: Path, pixel_format: str, full_range: bool) -> None:
    options = colours.x265(range="full" if full_range else "limited")
    stored = Stored("libx265", pixel_format, options, BT2020, PQ, BT2020, full_range)
    video, shown, signal = opened(tmp_path / "pq.mkv", COLOURS, stored)
    assert video.picture.colour.transfer == "pq" and video.picture.colour.full_range is full_range
    # Half a step of 255 in each channel is up to 0.7 in the dark; nothing else may be added to that.
    assert delta_e(shown, expected(pq_light(signal), 1000)).max() < 1
    assert np.abs(shown - expected(pq_light(signal), 1000)).max() < 1


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hlg_is_mapped_as_the_formulas_say(tmp_path: Path, codec: str) -> None:
    options = colours.x265() if codec == "libx265" else {"qp": "0"}
    stored = Stored(codec, "yuv420p10le", options, BT2020, HLG, BT2020, full_range=False)
    video, shown, signal = opened(tmp_path / "hlg.mkv", COLOURS, stored)
    assert info(video).colour_conversion == "tone-mapped: BT.2390, 1,000 to 203 cd/m2, bt709 primaries"
    assert delta_e(shown, expected(hlg_light(signal), 1000)).max() < 1
    assert np.abs(shown - expected(hlg_light(signal), 1000)).max() < 1


@pytest.mark.parametrize(
    ("stated", "peak"),
    [
        ({}, 1000),
        ({"max_cll": "2500,200"}, 2500),
        ({"master_display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"}, 4000),
        (
            {
                "master_display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)",
                "max_cll": "600,100",
            },
            600,
        ),
        ({"max_cll": "120,60"}, 203),
    ],
    ids=["unstated", "content", "master", "both", "dark"],
)
def test_the_source_says_how_bright_it_is(tmp_path: Path, stated: dict[str, str], peak: int) -> None:
    stored = Stored("libx265", "yuv444p10le", colours.x265(**stated), BT2020, PQ, BT2020, full_range=False)
    video, shown, signal = opened(tmp_path / "pq.mkv", COLOURS, stored)
    assert video.picture.colour.source_peak_cd_m2 == peak
    wanted = expected(pq_light(signal), peak) if peak > 203 else expected(pq_light(signal).clip(0, 203), 203.0001)
    assert delta_e(shown, wanted).max() < 1
    assumed = "" if stated else " (assumed: not stated)"
    assert info(video).colour_conversion == (f"tone-mapped: BT.2390, {peak:,}{assumed} to 203 cd/m2, bt709 primaries")


def in_pq(rgb: NDArray[np.uint8] | Floats) -> Floats:
    """BT.709 R'G'B' of 0 to 255 as BT.2020 PQ signals, its white at 203 cd/m2."""
    light = np.power(np.asarray(rgb, np.float64) / 255, 2.4) * 203
    return pq_signal((light @ np.linalg.inv(FROM_2020).T).clip(0, None))


def test_standard_video_in_pq_comes_back(tmp_path: Path) -> None:
    """Up to the knee, 87 cd/m2 for a source of 1,000, it is the same video; above, the knee makes room for highlights.

    White at 203 cd/m2 is shown at 159 of 203, which is code 230: that is what BT.2390 does, not an error.
    """
    darker = np.array([(0, 0, 0), (20, 20, 20), (128, 128, 128), (170, 170, 170), (160, 40, 60), (90, 140, 30)])
    _, shown, _ = opened(tmp_path / "sdr.mkv", in_pq(darker), HDR10)
    assert delta_e(shown, darker.astype(np.float64)).max() < 2, "10 bits of PQ are coarser in the dark than 8 of video"
    assert np.abs(shown - darker).max() <= 2
    _, shown, _ = opened(tmp_path / "white.mkv", in_pq(np.full((1, 3), 255)), HDR10)
    assert np.abs(shown - 230.3).max() < 1.5
    stored = Stored("libx265", "yuv444p10le", colours.x265(max_cll="203,100"), BT2020, PQ, BT2020, full_range=False)
    _, shown, _ = opened(tmp_path / "all.mkv", in_pq(np.array([(255, 255, 255), (255, 200, 60), (0, 0, 0)])), stored)
    assert np.abs(shown - [(255, 255, 255), (255, 200, 60), (0, 0, 0)]).max() <= 2, "nothing above white: no knee"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_ramps_rise_and_stay_grey(tmp_path: Path, transfer: int) -> None:
    luma = np.tile(np.arange(1024, dtype=np.uint16), (16, 1))
    grey = np.full_like(luma, 512)
    stored = Stored("libx265", "yuv444p10le", colours.x265(), BT2020, transfer, BT2020, full_range=False)
    video = open_video(colours.write(tmp_path / "ramp.mkv", [[luma, grey, grey]], stored))
    row = next(video.read([0])).pixels_TCHW[0, :, 8].astype(int)
    assert (np.ptp(row, axis=0) <= 1).all(), "grey stays grey"
    assert (np.diff(row, axis=1) >= 0).all(), "more light is never darker"
    assert (row[:, :65] == 0).all() and (row[:, 940:] == 255).all()
    assert len(np.unique(row[0])) > 230, "no steps larger than the eight bits make them"


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "pq"), (HLG, "hlg")])
def test_a_numbered_hdr_video_reads_its_numbers(tmp_path: Path, transfer: int, name: str) -> None:
    pictures = []
    for number in range(6):
        drawn = numbered.draw(number * 4321).reshape(-1, 3)
        signal = in_pq(drawn) if transfer == PQ else np.where(drawn > 0, 0.75 * (drawn / 255) ** 0.9, 0.0)
        codes = colours.yuv_codes(signal, "bt2020", bits=10).reshape(128, 160, 3)
        pictures.append([codes[:, :, 0], codes[::2, ::2, 1], codes[::2, ::2, 2]])
    options = {"preset": "ultrafast", "x265-params": "log-level=none:crf=18:bframes=0"}
    stored = Stored("libx265", "yuv420p10le", options, BT2020, transfer, BT2020, full_range=False)
    video = open_video(colours.write(tmp_path / "hdr.mkv", pictures, stored))
    assert video.picture.colour.transfer == name and video.picture.colour.tone_curve == "BT.2390"
    images = [image.transpose(1, 2, 0) for some in video.read(range(6)) for image in some.pixels_TCHW]
    assert [numbered.read(image) for image in images] == [number * 4321 for number in range(6)]
    assert np.abs(images[0][3:12, 3:16].astype(int) - numbered.RED).max() < 45, "the red corner is red"


def test_unstated_matrix_and_primaries_of_hdr_are_those_of_bt2020(tmp_path: Path) -> None:
    stored = Stored("libx265", "yuv444p10le", colours.x265(), transfer=PQ, full_range=False)
    video, shown, signal = opened(tmp_path / "bare.mkv", COLOURS, stored)
    assert (video.picture.colour.matrix, video.picture.colour.matrix_assumed) == ("bt2020", True)
    assert delta_e(shown, expected(pq_light(signal), 1000)).max() < 1


@pytest.mark.parametrize(("primaries", "name", "matrix"), [(BT2020, "bt2020", FROM_2020), (P3, "display-p3", FROM_P3)])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le"])
def test_wide_primaries_of_standard_video_are_brought_to_bt709(
    tmp_path: Path, primaries: int, name: str, matrix: Floats, pixel_format: str
) -> None:
    stored = Stored("libx264", pixel_format, primaries=primaries, transfer=1, matrix=BT2020, full_range=False)
    video, shown, signal = opened(tmp_path / "wide.mkv", COLOURS, stored)
    wanted = 255 * np.power((signal**2.4 @ matrix.T).clip(0, 1), 1 / 2.4)
    assert delta_e(shown, wanted).max() < 1
    assert info(video).colour_conversion == f"brought from {name} to bt709 primaries"


def test_info_names_the_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(tmp_path / "pq.mkv", COLOURS, HDR10)
    status, said, _ = Cli(capsys)("info", tmp_path / "pq.mkv")
    assert status == 0
    assert "transfer pq" in said and "tone-mapped: BT.2390" in said


@pytest.mark.parametrize("code", [8, 10, 14, 15])
def test_matrices_that_cannot_be_converted_are_refused(code: int) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    frame.colorspace = code
    with pytest.raises(UnknownColours):
        colour_of(frame, av.CodecContext.create("hevc", "r"))


def test_ipt_is_refused(tmp_path: Path) -> None:
    """The colours of Dolby Vision's profile 5, where the stream says so."""
    patches = colours.patches(colours.yuv_codes(COLOURS, "bt2020", bits=10), "yuv444p10le")
    stored = Stored("ffv1", "yuv444p10le", {}, matrix=15, transfer=PQ, primaries=BT2020)
    with pytest.raises(LongtakeError) as caught:
        open_video(colours.write(tmp_path / "five.mkv", [patches] * 2, stored))
    assert caught.value.code is ErrorCode.MEDIA_CODEC
    assert "Dolby Vision" in caught.value.reason and "ffmpeg -i" in caught.value.advice


@pytest.mark.parametrize("stated", [False, True])
def test_dolby_vision_is_read_only_with_a_plain_picture_inside(tmp_path: Path, stated: bool) -> None:
    """Profile 5 most often says nothing of its colours; MP4 tells by the name of the codec that it is Dolby Vision."""
    codes = colours.patches(colours.yuv_codes(COLOURS, "bt2020", bits=10), "yuv444p10le")
    plain = HDR10 if stated else Stored("libx265", "yuv444p10le", colours.x265())
    data = colours.write(tmp_path / "plain.mp4", [codes], plain).read_bytes()
    assert data.count(b"hev1") == 1
    (tmp_path / "vision.mp4").write_bytes(data.replace(b"hev1", b"dvh1"))
    if stated:
        assert open_video(tmp_path / "vision.mp4").picture.colour.transfer == "pq"
        return
    with pytest.raises(LongtakeError) as caught:
        open_video(tmp_path / "vision.mp4")
    assert caught.value.code is ErrorCode.MEDIA_CODEC and "Dolby Vision" in caught.value.reason
