"""Contact sheets: every picture where it belongs, times under them, from one frame to two hundred."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtake.pictures import SheetStyle, contact_sheet
from longtake.samplers.uniform import Uniform
from longtake.video import Frames
from longtake.video.opening import open_video


def plain_frames(count: int, *, height: int = 90, width: int = 160, chunk: int = 7) -> Iterator[Frames]:
    """Frames of one colour each: red is the number."""
    for first in range(0, count, chunk):
        numbers = np.arange(first, min(first + chunk, count))
        pixels = np.empty((len(numbers), 3, height, width), dtype=np.uint8)
        pixels[:] = np.stack([numbers, 255 - numbers, np.full(len(numbers), 200)], axis=1)[:, :, None, None]
        yield Frames(pixels, numbers * 1.5, numbers)


@pytest.mark.parametrize("count", [1, 2, 5, 50, 200])
def test_all_pictures_are_there_in_reading_order(count: int) -> None:
    sheet = contact_sheet(plain_frames(count), style=SheetStyle(cell_width_px=80, margin_px=10, font_px=11))
    red, green, blue = np.asarray(sheet).transpose(2, 0, 1)
    places = {}
    for number in range(count):
        rows, columns = np.where((red == number) & (green == 255 - number) & (blue == 200))
        assert len(rows) == 80 * 45, f"picture {number} is whole"
        assert (np.ptp(rows), np.ptp(columns)) == (44, 79)
        places[number] = (rows.min(), columns.min())
    assert sorted(places, key=lambda number: places[number]) == list(range(count))


@pytest.mark.parametrize("count", [12, 50, 64, 97, 200])
def test_the_sheet_has_about_the_shape_of_a_screen(count: int) -> None:
    sheet = contact_sheet(plain_frames(count), style=SheetStyle(cell_width_px=80, font_px=11))
    assert 0.8 < sheet.width / sheet.height < 3


def test_columns_as_asked() -> None:
    style = SheetStyle(columns=3, cell_width_px=80, margin_px=10)
    sheet = contact_sheet(plain_frames(7), style=style)
    assert sheet.width == 2 * 10 + 3 * 80 + 2 * 5


def test_each_caption_is_its_own(tmp_path: Path) -> None:
    style = SheetStyle(columns=2, cell_width_px=160, margin_px=20, font_px=20)
    pixels = np.asarray(contact_sheet(plain_frames(2), style=style).convert("L")).astype(int)
    below = pixels[20 + 90 + 3 : 20 + 90 + 40]
    first, second = below[:, 20:180], below[:, 190:350]
    assert (first > 150).sum() > 50 and (second > 150).sum() > 50, "bright letters under both"
    assert (first != second).any()
    # 0:00:00 and 0:00:01.5: the second is longer.
    assert np.where((second > 150).any(axis=0))[0].max() > np.where((first > 150).any(axis=0))[0].max()


def test_what_is_marked_has_a_bright_frame_and_the_others_have_not() -> None:
    style = SheetStyle(columns=3, cell_width_px=80, margin_px=10, font_px=11)
    sheet = contact_sheet(plain_frames(3), style=style, marked={1})
    plain = contact_sheet(plain_frames(3), style=style)
    assert sheet.size == plain.size
    differing = np.argwhere((np.asarray(sheet) != np.asarray(plain)).any(axis=2))
    (top, left), (bottom, right) = differing.min(axis=0), differing.max(axis=0)
    # The second of three pictures: 10 margin, 80 wide, 5 between.
    assert (top, left) == (6, 91) and right <= 178 and bottom < 10 + 45 + 30
    assert np.asarray(sheet)[7, 130].min() < np.asarray(sheet)[7, 130].max() > 200, "bright and coloured"
    inside = np.asarray(sheet)[10:55, 95:175]
    assert (inside == np.asarray(plain)[10:55, 95:175]).all(), "the picture itself is whole"


def test_a_title_takes_room_above_and_is_cut_where_it_is_too_long() -> None:
    style = SheetStyle(columns=1, cell_width_px=80)
    bare = contact_sheet(plain_frames(1), style=style)
    titled = contact_sheet(plain_frames(1), title="a title far too long for so small a sheet " * 3, style=style)
    assert titled.width == bare.width and titled.height > bare.height
    edge = np.asarray(titled)[: titled.height - bare.height + 20, -style.margin_px // 2 :]
    assert (edge == edge[0, 0]).all(), "nothing runs into the margin"


def test_small_pictures_are_not_blown_up_and_tall_ones_fit() -> None:
    assert contact_sheet(plain_frames(1, height=10, width=20), style=SheetStyle(margin_px=0)).width == 20
    tall = contact_sheet(plain_frames(1, height=900, width=300), style=SheetStyle(margin_px=0, cell_width_px=90))
    assert tall.height < 90 + 60


def test_no_frames_make_no_sheet() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet([])
    with pytest.raises(ValueError, match="at least 1"):
        SheetStyle(columns=0)


def test_a_sheet_of_the_bunny_looks_like_the_bunny(bunny: Path) -> None:
    video = open_video(bunny)
    numbers = Uniform(frames=4).pick(video, "")
    sheet = contact_sheet(video.read(numbers), style=SheetStyle(columns=2, cell_width_px=320, margin_px=20))
    frame = next(video.read(numbers[:1])).pixels_TCHW[0].transpose(1, 2, 0)
    expected = np.asarray(Image.fromarray(frame).resize((320, 180), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(sheet)[20:200, 20:340], expected)
