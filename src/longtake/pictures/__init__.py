"""pictures: frames in, one contact sheet with the time under each out. Knows nothing of where frames come from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from longtake.video import Frames
from longtake.video.times import format_time

BACKGROUND = (20, 21, 24)
FRAME = (44, 46, 52)
BRIGHT = (232, 232, 228)
DIM = (146, 149, 158)
MARK = (255, 190, 60)
_MARK_PX = 4

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetStyle:
    """Sizes of a contact sheet.

    Attributes:
        columns: pictures in a row; None takes as many as make the sheet about as wide as a screen is to its height.
        cell_width_px: width of a picture on the sheet; none is made larger than it is.
        margin_px: around the sheet; half of it between pictures.
        font_px: height of the captions' letters; the title's are larger.
    """

    columns: int | None = None
    cell_width_px: int = 256
    margin_px: int = 24
    font_px: int = 15

    def __post_init__(self) -> None:
        if self.columns is not None and self.columns < 1:
            raise ValueError(f"columns is {self.columns}; want at least 1")
        if self.cell_width_px < 16 or self.margin_px < 0 or self.font_px < 6:
            raise ValueError(f"{self} leaves no room for pictures and captions")


@dataclass(frozen=True)
class _Cell:
    picture: Image.Image
    time: str
    number: str
    marked: bool


def contact_sheet(
    frames: Iterable[Frames], *, title: str = "", style: SheetStyle | None = None, marked: Collection[int] = ()
) -> Image.Image:
    """All frames in rows, each with its time and, dimmer, its number under it.

    Args:
        frames: chunks of frames; each picture is made as small as it goes on the sheet as its chunk comes.
        title: one line above the pictures.
        marked: numbers of frames that stand out, in a bright frame.

    Raises:
        ValueError: if there are no frames.
    """
    style = style or SheetStyle()
    cells = [cell for some in frames for cell in _cells(some, style, marked)]
    if not cells:
        raise ValueError("a contact sheet needs at least one frame")
    width_px = max(cell.picture.width for cell in cells)
    height_px = max(cell.picture.height for cell in cells)
    columns = min(len(cells), style.columns or _screen_columns(len(cells), width_px, height_px + 2 * style.font_px))
    gap_px = style.margin_px // 2
    step_x, step_y = width_px + gap_px, height_px + 2 * style.font_px + gap_px
    top_px = style.margin_px + (3 * style.font_px if title else 0)
    rows = math.ceil(len(cells) / columns)
    sheet_px = (2 * style.margin_px + columns * step_x - gap_px, top_px + rows * step_y + style.margin_px - gap_px)
    sheet = Image.new("RGB", sheet_px, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    if title:
        font = ImageFont.load_default(round(1.3 * style.font_px))
        pen.text((style.margin_px, style.margin_px - 4), fitted(title, font, columns * step_x - gap_px), BRIGHT, font)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        corner = (style.margin_px + column * step_x, top_px + row * step_y)
        _paste(sheet, pen, cell, (*corner, corner[0] + width_px, corner[1] + height_px), style.font_px)
    return sheet


def _cells(frames: Frames, style: SheetStyle, marked: Collection[int]) -> list[_Cell]:
    cells = []
    for pixels_CHW, time_s, number in zip(frames.pixels_TCHW, frames.times_s, frames.numbers, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))
        # As wide as a cell, but an upright picture no higher than that: rows stay rows.
        scale = min(1.0, style.cell_width_px / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.resize(size, Image.Resampling.LANCZOS)
        cells.append(_Cell(small, format_time(float(time_s)), f"#{number}", int(number) in marked))
    return cells


def _screen_columns(count: int, width_px: int, height_px: int) -> int:
    """So many that the sheet comes near to 16:10 and the last row is well filled."""

    def ugliness(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * width_px / (rows * height_px) / 1.6)) + (rows * columns - count) / columns / 2

    return min(range(1, count + 1), key=ugliness)


def _paste(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: _Cell, box: tuple[int, int, int, int], font_px: int
) -> None:
    left, top, right, bottom = box
    if cell.marked:
        pen.rectangle((left - _MARK_PX, top - _MARK_PX, right + _MARK_PX - 1, bottom + _MARK_PX - 1), fill=MARK)
    else:
        pen.rectangle((left - 1, top - 1, right, bottom), fill=FRAME)
    across, down = (right - left - cell.picture.width) // 2, (bottom - top - cell.picture.height) // 2
    sheet.paste(cell.picture, (left + across, top + down))
    font = ImageFont.load_default(font_px)
    pen.text((left, bottom + font_px * 0.35), cell.time, MARK if cell.marked else BRIGHT, font)
    if font.getlength(cell.time + " " + cell.number) <= right - left:
        pen.text((right, bottom + font_px * 0.35), cell.number, DIM, font, anchor="ra")


def fitted(text: str, font: Font, width_px: int) -> str:
    """`text`, shortened with an ellipsis where it is wider than `width_px`."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."
