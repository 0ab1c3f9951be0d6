"""Videos whose every frame shows its own number: to a reader as digits, to a test as blocks that survive lossy coding.

R . . . . . . G      R G B: coloured corners (which way is up)
b15 ....... b8       sixteen black or white blocks, the number's bits
b7  ....... b0
~15 ....... ~8       the same bits inverted: a frame mixed of two numbers does not read as a third
~7  ....... ~0
digits and a moving bar
B
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS, ROWS = 8, 8
BY_FRAME = frozenset({"mpeg1video", "mpeg2video", "wrapped_avframe"})
"""Encoders that want the frame rate, not milliseconds, as their clock."""
RED, GREEN, BLUE = (230, 30, 30), (30, 200, 30), (40, 40, 230)


def draw(number: int, *, width: int = 160, height: int = 128) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: the picture of `number`, which is less than 65,536."""
    bits = [number >> place & 1 for place in reversed(range(16))]
    cells = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    cells[1:3] = np.array(bits).reshape(2, COLUMNS) * 255
    cells[3:5] = 255 - cells[1:3]
    cells[5:] = 96
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    image = Image.fromarray(np.repeat(cells[np.ix_(rows, columns)][:, :, None], 3, axis=2))
    pen = ImageDraw.Draw(image)
    left, top = width / COLUMNS, height / ROWS
    for place, colour in (((0, 0), RED), ((COLUMNS - 1, 0), GREEN), ((0, ROWS - 1), BLUE)):
        pen.rectangle((place[0] * left, place[1] * top, (place[0] + 1) * left, (place[1] + 1) * top), fill=colour)
    pen.text((left * 1.3, top * 5.1), str(number), fill=(255, 255, 0), font=ImageFont.load_default(top * 1.8))
    bar = number * 7 % max(1, width - 6)
    pen.rectangle((bar, top * 7.2, bar + 5, top * 7.8), fill=(255, 255, 255))
    return np.asarray(image)


def read(image_HWC: NDArray[np.uint8]) -> int:
    """The number that a decoded picture shows.

    Raises:
        ValueError: if its blocks are no number's.
    """
    height, width = image_HWC.shape[:2]
    grey = image_HWC.mean(axis=2)
    values = np.empty((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = (row + 0.25) * height / ROWS, (column + 0.25) * width / COLUMNS
            bottom, right = (row + 0.75) * height / ROWS, (column + 0.75) * width / COLUMNS
            values[row, column] = grey[int(top) : int(bottom) + 1, int(left) : int(right) + 1].mean()
    bits, inverse = values[1:3].ravel() > 128, values[3:5].ravel() > 128
    if (bits == inverse).any():
        raise ValueError(f"no number: {values[1:5].round().astype(int).tolist()}")
    return int("".join("1" if bit else "0" for bit in bits), 2)


@dataclass(frozen=True)
class Coding:
    """How a numbered video is stored."""

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    width: int = 160
    height: int = 128
    pixel_format: str = "yuv420p"
    sample_aspect: Fraction | None = None
    transfer: int | None = None
    ticks_per_s: int = 1000
    container: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)


def write(path: Path, coding: Coding | None = None, *, frames: int = 60, times_ms: Sequence[int] | None = None) -> Path:
    """Write a video that shows 0, 1, 2, ... at 25 frames a second, or each number at its time in `times_ms`."""
    coding = coding or Coding()
    times_ms = times_ms or [40 * number for number in range(frames)]
    options = coding.container_options
    with _ordinary_thread(), av.open(str(path), "w", format=coding.container, options=options) as container:
        stream = container.add_stream(coding.codec, rate=25, options=coding.options)
        stream.width, stream.height, stream.pix_fmt = coding.width, coding.height, coding.pixel_format
        stream.codec_context.time_base = Fraction(1, 25 if coding.codec in BY_FRAME else coding.ticks_per_s)
        if coding.sample_aspect:
            stream.codec_context.sample_aspect_ratio = coding.sample_aspect
        if coding.transfer:
            stream.codec_context.color_trc = coding.transfer
        ticks_per_s = stream.codec_context.time_base.denominator
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(draw(number, width=coding.width, height=coding.height))
            frame = frame.reformat(format=coding.pixel_format)
            frame.pts, frame.time_base = time_ms * ticks_per_s // 1000, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@contextmanager
def _ordinary_thread() -> Iterator[None]:
    """Undo what SVT-AV1 does when root runs it: it makes the calling thread, and all that it starts, real-time ones.

    Where real-time threads have no time of their own, torch's threads would then wait for each other for ever.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def remux(source: Path, path: Path, *, options: dict[str, str] | None = None, first_pts_s: float = 0.0) -> Path:
    """Copy the video packets of `source`; those before `first_pts_s` get negative times, as in a lossless trim."""
    with av.open(str(source)) as old, av.open(str(path), "w", options=options or {}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        shift = round(first_pts_s / stream.time_base)
        for packet in old.demux(stream):
            if packet.size:
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                new.mux(packet)
    return path


def set_display_matrix(path: Path, abcd: tuple[int, int, int, int]) -> Path:
    """Write a b c d, each -1, 0 or 1, into the display matrix of an MP4's first track."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in abcd)
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    return path


def write_gif(path: Path, durations_ms: Iterable[int]) -> Path:
    """An animated GIF that shows 0, 1, 2, ... each for its own time, for ever."""
    durations = list(durations_ms)
    pictures = [Image.fromarray(draw(number)) for number in range(len(durations))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return path
