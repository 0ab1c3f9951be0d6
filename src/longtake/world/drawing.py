"""world/drawing: a shot in, a picture of it out. Knows nothing of files, questions or models.

All places inside a picture are shares of its width and height, so that one scene can be drawn at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from longtake.world.foreign import foreign_picture
from longtake.world.outlines import outlines
from longtake.world.places import PANORAMA_WIDTH_PX, panorama, window
from longtake.world.scenes import Scene, Shot
from longtake.world.vocabulary import COLOURS, NOWHERE


@dataclass(frozen=True)
class Staging:
    """How a shot is filmed: where the camera and the things stand, at one moment.

    Attributes:
        place_seed: which panorama of the place.
        pan_px: how far the camera has panned over it.
        centre_x, centre_y: middle of the shape and its plate, as shares of the picture.
        size: height of the shape as a share of the picture's height.
        stacked: plate below the shape; otherwise to its right.
        dark_plate: light letters on a dark plate.
        tilt_rad: rotation of the shape.
        tint: added to the shape's colour.
    """

    place_seed: int
    pan_px: float
    centre_x: float = 0.5
    centre_y: float = 0.5
    size: float = 0.5
    stacked: bool = True
    dark_plate: bool = False
    tilt_rad: float = 0.0
    tint: tuple[int, int, int] = (0, 0, 0)


def random_staging(rng: np.random.Generator, *, places: int, first_place: int = 0) -> Staging:
    """A random way to film a shot, before one of `places` panoramas of its place, numbered from `first_place`."""
    stacked = bool(rng.random() < 0.6)
    size = float(rng.uniform(0.4, 0.56) if stacked else rng.uniform(0.4, 0.7))
    return Staging(
        place_seed=first_place + int(rng.integers(places)),
        pan_px=float(rng.uniform(0, PANORAMA_WIDTH_PX)),
        centre_x=float(rng.uniform(0.34, 0.66) if stacked else rng.uniform(0.46, 0.54)),
        centre_y=float(rng.uniform(0.46, 0.54) if stacked else rng.uniform(0.38, 0.62)),
        size=size,
        stacked=stacked,
        dark_plate=bool(rng.random() < 0.5),
        tilt_rad=float(rng.normal(0, 0.08)),
        tint=(int(rng.integers(-9, 10)), int(rng.integers(-9, 10)), int(rng.integers(-9, 10))),
    )


def draw(shot: Shot, staging: Staging, *, width: int, height: int) -> NDArray[np.uint8]:
    """The picture of `shot`: (height, width, 3) uint8 RGB."""
    if shot.place == NOWHERE:
        # A camera that moves at all sees something else.
        return foreign_picture(np.random.default_rng([staging.place_seed, int(1e6 * staging.pan_px)]), width, height)
    image = window(_panorama(shot.place, staging.place_seed), left_px=staging.pan_px, width=width, height=height)
    for scene in (shot,) if isinstance(shot, Scene) else ():
        if scene.moving:
            _draw_shape(image, scene, _standing(scene.value, staging))
        else:
            _draw_shape(image, scene, staging)
            _draw_plate(image, scene.value, staging)
    return np.asarray(image)


def _standing(side: str, staging: Staging) -> Staging:
    """The same staging with the shape on this `side` of the picture, give or take a little.

    `_shape_corner` puts a shape that is not stacked to the left of its centre, to leave room for a plate.
    """
    middle = {"left": 0.2, "middle": 0.5, "right": 0.8}[side]
    size = min(staging.size, 0.56)
    centre_x = middle + 0.4 * (staging.centre_x - 0.5) + 0.16 + 0.12 * size * 9 / 16
    return replace(staging, stacked=False, size=size, centre_x=centre_x)


@cache
def _panorama(place: str, seed: int) -> NDArray[np.uint8]:
    return panorama(place, seed)


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def _draw_shape(image: Image.Image, scene: Scene, staging: Staging) -> None:
    """Draw the shape three times as large, shrink it smoothly, and paste it with a rim that stands off."""
    side = max(8, round(staging.size * image.height))
    fine = side * 3
    base = np.clip(np.add(COLOURS[scene.colour], staging.tint), 0, 255)
    rim = (20, 20, 24) if base.mean() > 90 else (236, 236, 236)
    mask = Image.new("L", (fine, fine))
    pen = ImageDraw.Draw(mask)
    cos, sin = math.cos(staging.tilt_rad), math.sin(staging.tilt_rad)
    for polygon, filled in outlines()[scene.shape]:
        spots = [(0.5 + 0.44 * (x * cos - y * sin), 0.5 + 0.44 * (x * sin + y * cos)) for x, y in polygon]
        pen.polygon([(x * fine, y * fine) for x, y in spots], fill=255 if filled else 0)
    inner = mask.resize((side, side), Image.Resampling.BOX)
    corner = _shape_corner(image, staging, side)
    image.paste(rim, corner, inner.filter(ImageFilter.MaxFilter(2 * max(1, side // 28) + 1)))
    image.paste((int(base[0]), int(base[1]), int(base[2])), corner, inner)


def _shape_corner(image: Image.Image, staging: Staging, side: int) -> tuple[int, int]:
    x, y = staging.centre_x * image.width, staging.centre_y * image.height
    if staging.stacked:
        return round(x - side / 2), round(y - side * 0.72)
    return round(x - side * 0.62 - image.width * 0.16), round(y - side / 2)


def _draw_plate(image: Image.Image, value: str, staging: Staging) -> None:
    side = max(8, round(staging.size * image.height))
    left, top = _shape_corner(image, staging, side)
    font_px = round(image.height * (0.26 if staging.stacked else 0.25))
    wide = 0.62 * image.width if staging.stacked else 0.46 * image.width
    while _font(font_px).getlength(value) > wide:
        font_px -= 1
    font = _font(font_px)
    x0, y0, x1, y1 = font.getbbox(value)
    pad = image.height * 0.035
    if staging.stacked:
        x, y = left + side / 2 - (x1 - x0) / 2, top + side + pad
    else:
        x, y = left + side + 2 * pad, top + side / 2 - font_px / 2
    x = min(max(x, 2 * pad), image.width - (x1 - x0) - 2 * pad)
    y = min(max(y, pad), image.height - font_px * 1.1 - pad)
    paper, ink = ((24, 24, 30), (245, 245, 240)) if staging.dark_plate else ((248, 248, 244), (16, 16, 20))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle(
        (x - pad, y, x + (x1 - x0) + pad, y + font_px * 1.12), radius=pad, fill=paper, outline=(128, 128, 132)
    )
    pen.text((x - x0, y + font_px * 0.56 - (y0 + y1) / 2), value, fill=ink, font=font)
