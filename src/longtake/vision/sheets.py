"""vision.sheets: frames in, pictures on which several of them lie side by side out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from longtake.video import Frames, Shrink

GREY = 128
"""Of places that no frame fills."""


def sheets(frames: Iterable[Frames], rows: int, columns: int, *, shrink: Shrink) -> Iterator[Frames]:
    """Pictures of rows x columns frames, filled row by row, each made small; at most one picture's frames are held.

    A picture's time is the mean of its frames', its number its first frame's. What the frames of a file do not fill of
    the last one is grey.

    Args:
        frames: of one file, as displayed, all of one size.
        rows, columns: of frames on a picture.
        shrink: makes the whole picture as small as the tower takes it.
    """
    waiting: list[tuple[NDArray[np.uint8], float, int]] = []
    for some in frames:
        for one in zip(some.pixels_TCHW, some.times_s.tolist(), some.numbers.tolist(), strict=True):
            waiting.append(one)
            if len(waiting) == rows * columns:
                yield _sheet(waiting, rows, columns, shrink)
                waiting = []
    if waiting:
        yield _sheet(waiting, rows, columns, shrink)


def _sheet(cells: list[tuple[NDArray[np.uint8], float, int]], rows: int, columns: int, shrink: Shrink) -> Frames:
    _, height, width = cells[0][0].shape
    sheet_HWC = np.full((rows * height, columns * width, 3), GREY, dtype=np.uint8)
    for place, (image_CHW, _, _) in enumerate(cells):
        row, column = divmod(place, columns)
        top, left = row * height, column * width
        sheet_HWC[top : top + height, left : left + width] = image_CHW.transpose(1, 2, 0)
    time_s = float(np.mean([time_s for _, time_s, _ in cells]))
    return Frames(shrink(sheet_HWC)[None], np.array([time_s]), np.array([cells[0][2]]))
