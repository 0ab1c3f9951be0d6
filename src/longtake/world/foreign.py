"""world/foreign: a random generator in, a picture of nowhere in particular out. Knows nothing of shapes and values.

Film of anywhere is full of things that are no scene of the drawn world: blurred, shaded, patterned, half outside the
picture. Patches of noise in a few colours teach a vision tower that such things are not to be named.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

MOST_THINGS = 9
WRITTEN_SHARE = 0.4
STRIPED_SHARE = 0.1
MOST_LINES = 3
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def foreign_picture(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: a patterned or striped ground, patterned and shaded things on it, at times words."""
    palette_PC = rng.uniform(0, 255, (int(rng.integers(2, 6)), 3))
    if rng.random() < 0.7:
        # Most film is not very colourful.
        grey_P1 = palette_PC.mean(1, keepdims=True)
        palette_PC = grey_P1 + (palette_PC - grey_P1) * rng.uniform(0.1, 0.8)
    striped = rng.random() < STRIPED_SHARE
    image = _stripes(rng, width, height) if striped else _pattern(rng, palette_PC, width, height)
    for _ in range(int(rng.integers(0, MOST_THINGS + 1))):
        thing = _pattern(rng, palette_PC, width, height) if rng.random() < 0.7 else _plain(rng, palette_PC, image.size)
        image.paste(thing, (0, 0), _outline(rng, width, height))
    if rng.random() < WRITTEN_SHARE:
        _write(rng, image)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.5))))
    shade_HW1 = _waves(rng, width, height)[..., None] * rng.uniform(0, 0.7) + rng.uniform(0.5, 1.0)
    noise_HWC = rng.normal(0, rng.uniform(0, 8), (height, width, 3))
    return np.clip(np.asarray(image) * shade_HW1 + noise_HWC, 0, 255).astype(np.uint8)


def _waves(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """(height, width) smooth noise from 0 to 1, of a random coarseness in each direction."""
    rows, columns = int(2 ** rng.uniform(1, 4.5)), int(2 ** rng.uniform(1, 4.5))
    coarse = Image.fromarray(rng.random((rows, columns)).astype(np.float32), "F")
    return np.clip(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64), 0, 1)


def _pattern(rng: np.random.Generator, palette_PC: NDArray[np.float64], width: int, height: int) -> Image.Image:
    """Two colours of the palette mixed by smooth noise, soft or sharp."""
    one_C, other_C = palette_PC[rng.integers(len(palette_PC), size=2)]
    waves_HW1 = _waves(rng, width, height)[..., None]
    if rng.random() < 0.3:
        waves_HW1 = 1 / (1 + np.exp(-20 * (waves_HW1 - 0.5)))
    return Image.fromarray((one_C * waves_HW1 + other_C * (1 - waves_HW1)).astype(np.uint8))


def _plain(rng: np.random.Generator, palette_PC: NDArray[np.float64], size: tuple[int, int]) -> Image.Image:
    red, green, blue = palette_PC[rng.integers(len(palette_PC))].astype(int).tolist()
    return Image.new("RGB", size, (red, green, blue))


def _outline(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A mask of one irregular thing, often blurred, often partly outside the picture."""
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height
    reach = height * rng.uniform(0.08, 0.7)
    if rng.random() < 0.3:
        wide, tall = reach * rng.uniform(0.3, 1.5), reach * rng.uniform(0.3, 1.5)
        pen.ellipse((x - wide, y - tall, x + wide, y + tall), fill=255)
    else:
        corners = int(rng.integers(3, 14))
        angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
        reaches = reach * rng.uniform(0.35, 1.2, corners)
        spots = zip(x + reaches * np.cos(angles), y + reaches * np.sin(angles), strict=True)
        pen.polygon([(float(across), float(down)) for across, down in spots], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 5)))) if rng.random() < 0.6 else mask


def _stripes(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Bars of plain colours, upright or lying, as test pictures have them."""
    bars = rng.integers(0, 256, (int(rng.integers(3, 12)), 1, 3), dtype=np.uint8)
    image = Image.fromarray(bars if rng.random() < 0.5 else bars.transpose(1, 0, 2))
    return image.resize((width, height), Image.Resampling.NEAREST)


def _write(rng: np.random.Generator, image: Image.Image) -> None:
    """Lines of random letters without a plate, as signs, credits and titles have them; at times bold, or with a rim."""
    size_px = round(image.height * rng.uniform(0.06, 0.34))
    font = ImageFont.load_default(max(6, size_px))
    lines = [
        _letters(rng, most=16 if size_px < image.height / 6 else 9) for _ in range(int(rng.integers(MOST_LINES)) + 1)
    ]
    light = rng.random() < 0.5
    ink = (255, 255, 255) if light else tuple(rng.integers(0, 256, 3).tolist())
    rim = ink if rng.random() < 0.7 else (0, 0, 0) if light else tuple(rng.integers(0, 256, 3).tolist())
    middle = (rng.uniform(0.2, 0.8) * image.width, rng.uniform(0.15, 0.85) * image.height)
    ImageDraw.Draw(image).multiline_text(
        middle,
        "\n".join(lines),
        fill=ink,
        font=font,
        anchor="mm",
        align="center",
        spacing=size_px * rng.uniform(0, 0.3),
        stroke_width=int(rng.integers(0, 1 + max(1, size_px // 9))),
        stroke_fill=rim,
    )


def _letters(rng: np.random.Generator, *, most: int) -> str:
    return "".join(LETTERS[number] for number in rng.integers(len(LETTERS), size=int(rng.integers(2, most + 1))))
