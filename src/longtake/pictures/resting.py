"""pictures.resting: frames that an answer rests on in, one sheet with a line of time out. Knows not who found them.

| question                                        |
| answer                                          |
| film.mp4  ----------|----------------||-------- |   each span a mark, as high as its score
|  [before]   [ rests on this ]   [after]         |   a row for each span, the best first
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from longtake.pictures import BACKGROUND, BRIGHT, DIM, FRAME, MARK, fitted
from longtake.video import Frames
from longtake.video.times import format_time

COLUMNS = 3
"""Pictures in a row."""
_CELL_PX, _GAP_PX, _MARGIN_PX = (240, 400), 20, 32
_LINE_PX, _TICKS = 82, 6
_SHADED = 0.4
"""How bright frames are that stand beside."""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Line:
    """A video from its beginning to its end.

    Attributes:
        label: which it is.
        duration_s: how long.
        spans: start and end in seconds, and score from 0 to 1, of each time that stands out.
    """

    label: str
    duration_s: float
    spans: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Row:
    """Frames of one time that stands out.

    Attributes:
        score: from 0 to 1.
        frames: at most COLUMNS, one each.
        lit: for each whether it is of that time; others stand beside it, before and after.
        label: what is written under those that are lit, besides their time.
    """

    score: float
    frames: Sequence[Frames]
    lit: Sequence[bool]
    label: str = ""


def resting_sheet(question: str, answer: str, lines: Sequence[Line], rows: Sequence[Row]) -> Image.Image:
    """Question, answer, a line for each video, and a row of frames for each time that the answer rests on."""
    widest = max((frame.pixels_TCHW.shape[3] for row in rows for frame in row.frames), default=_CELL_PX[1])
    cell_px = min(max(widest, _CELL_PX[0]), _CELL_PX[1])
    inside_px = COLUMNS * cell_px + (COLUMNS - 1) * _GAP_PX
    pictures = [[_picture(frame, cell_px) for frame in row.frames] for row in rows]
    heights = [max(picture.height for picture in row) + 48 for row in pictures]
    top_px = 108 + _LINE_PX * len(lines)
    foot_px = sum(heights) if rows else 40
    sheet = Image.new("RGB", (inside_px + 2 * _MARGIN_PX, top_px + foot_px + _MARGIN_PX - 8), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (_MARGIN_PX, 26), question, DIM, font_px=19, width_px=inside_px)
    _write(pen, (_MARGIN_PX, 54), answer, BRIGHT, font_px=27, width_px=inside_px)
    for place, line in enumerate(lines):
        _draw_line(pen, line, (_MARGIN_PX, 104 + _LINE_PX * place, _MARGIN_PX + inside_px, 0))
    if not rows:
        _write(pen, (_MARGIN_PX, top_px), "no time stands out", DIM, font_px=19, width_px=inside_px)
    for row, own, height in zip(rows, pictures, heights, strict=True):
        for column, picture in enumerate(own):
            left = _MARGIN_PX + column * (cell_px + _GAP_PX)
            _draw_cell(sheet, row, column, picture, (left, top_px, left + cell_px, top_px + height - 48))
        top_px += height
    return sheet


def _picture(frame: Frames, cell_px: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(frame.pixels_TCHW[0].transpose(1, 2, 0)))
    scale = cell_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _draw_cell(sheet: Image.Image, row: Row, column: int, picture: Image.Image, box: _Box) -> None:
    left, top, right, bottom = box
    pen, lit = ImageDraw.Draw(sheet), row.lit[column]
    time = format_time(round(float(row.frames[column].times_s[0]), 2))
    across, down = left + (right - left - picture.width) // 2, top + (bottom - top - picture.height) // 2
    if lit:
        edges = (across - 3, down - 3, across + picture.width + 2, down + picture.height + 2)
        pen.rounded_rectangle(edges, radius=4, fill=MARK)
        sheet.paste(picture, (across, down))
    else:
        shade = Image.new("RGB", picture.size, BACKGROUND)
        sheet.paste(Image.blend(shade, picture, _SHADED), (across, down))
    font = ImageFont.load_default(16)
    pen.text((left, bottom + 10), f"{time}  {row.label}".strip() if lit else time, BRIGHT if lit else DIM, font)
    if lit and column == row.lit.index(True):
        score = f"{row.score:.2f}"
        pen.text((right, bottom + 10), score, MARK, font, anchor="ra")
        rail = (right - 130, bottom + 17, right - 44, bottom + 21)
        pen.rounded_rectangle(rail, radius=2, fill=FRAME)
        filled = rail[0] + round((rail[2] - rail[0]) * min(1.0, row.score))
        pen.rounded_rectangle((rail[0], rail[1], max(rail[0] + 4, filled), rail[3]), radius=2, fill=MARK)


def _draw_line(pen: ImageDraw.ImageDraw, line: Line, box: _Box) -> None:
    left, top, right, _ = box
    rail_px = top + 34
    small, duration_s = ImageFont.load_default(13), max(line.duration_s, 1e-9)
    pen.text((left, top - 2), fitted(line.label, small, right - left), DIM, small)
    pen.rounded_rectangle((left, rail_px - 3, right, rail_px + 3), radius=3, fill=FRAME)
    for second in _ticks(duration_s):
        x = left + (right - left) * second / duration_s
        pen.line((x, rail_px + 6, x, rail_px + 10), fill=FRAME, width=2)
        anchor = "la" if second == 0 else "ma" if x < right - 24 else "ra"
        pen.text((x, rail_px + 13), format_time(second), DIM, small, anchor=anchor)
    for start_s, end_s, score in sorted(line.spans, key=lambda span: span[2]):
        begin, end = (left + (right - left) * second / duration_s for second in (start_s, end_s))
        middle, half = (begin + end) / 2, max(2.5, (end - begin) / 2)
        high = 5 + 13 * min(1.0, score)
        pen.rounded_rectangle((middle - half, rail_px - high, middle + half, rail_px + high), radius=2.5, fill=MARK)


def _ticks(duration_s: float) -> Iterator[float]:
    """Round times, a handful over the whole."""
    step_s = next((step for step in _STEPS_S if duration_s / step <= _TICKS), _STEPS_S[-1])
    for number in range(int(duration_s / step_s) + 1):
        yield float(number * step_s)


def _write(  # noqa: PLR0913  where, what and how
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    *,
    font_px: int,
    width_px: int,
) -> None:
    font = ImageFont.load_default(font_px)
    pen.text(corner, fitted(" ".join(text.split()), font, width_px), colour, font)
