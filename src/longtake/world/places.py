"""world/places: backgrounds that look a little like footage. A place's name and a seed in, a wide panorama out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longtake.world.vocabulary import PLACES

PANORAMA_WIDTH_PX = 960
PANORAMA_HEIGHT_PX = 216

Canvas = NDArray[np.float64]

_LOOKS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], float]] = {
    # sky at the top, sky at the horizon, ground, height of the horizon as a share of the picture
    "sea": ((120, 170, 225), (205, 222, 236), (28, 86, 130), 0.45),
    "forest": ((150, 180, 170), (190, 205, 180), (34, 74, 36), 0.28),
    "desert": ((130, 180, 226), (232, 214, 180), (200, 156, 92), 0.5),
    "snow": ((150, 168, 190), (216, 222, 230), (226, 230, 236), 0.42),
    "night": ((8, 10, 30), (34, 36, 66), (12, 14, 20), 0.72),
    "city": ((136, 146, 160), (186, 188, 190), (70, 72, 78), 0.74),
    "sunset": ((66, 50, 110), (246, 140, 70), (44, 32, 46), 0.6),
    "meadow": ((110, 170, 236), (200, 224, 240), (96, 158, 58), 0.5),
}


def panorama(place: str, seed: int) -> NDArray[np.uint8]:
    """A picture (PANORAMA_HEIGHT_PX, PANORAMA_WIDTH_PX, 3) uint8 that a camera can pan over; it repeats sideways."""
    rng = np.random.default_rng([seed, PLACES.index(place)])
    top, horizon, ground, level = _LOOKS[place]
    height, width = PANORAMA_HEIGHT_PX, PANORAMA_WIDTH_PX
    ridge = height * (
        level + 0.10 * (_noise(rng, 1, width, (1, 6)) - 0.5) + 0.02 * (_noise(rng, 1, width, (1, 60)) - 0.5)
    )
    rows = np.arange(height)[:, None]
    down = np.clip(rows / np.maximum(ridge, 1), 0, 1)[..., None]
    sky = np.asarray(top) * (1 - down) + np.asarray(horizon) * down
    clouds = np.clip(_noise(rng, height, width, (4, 8)) * 2.2 - 1.1, 0, 1)[..., None]
    sky = sky + clouds * (28 if place != "night" else 8)
    grain = 0.62 + 0.76 * (0.6 * _noise(rng, height, width, (12, 16)) + 0.4 * _noise(rng, height, width, (54, 120)))
    canvas = np.where((rows < ridge)[..., None], sky, np.asarray(ground) * grain[..., None])
    _FURNITURE[place](canvas, ridge[0], rng)
    canvas *= rng.uniform(0.86, 1.1)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def window(picture: NDArray[np.uint8], *, left_px: float, width: int, height: int) -> Image.Image:
    """What a camera sees that has panned to `left_px`: a 16:9 part of the panorama, scaled to (height, width)."""
    shown = round(PANORAMA_HEIGHT_PX * width / height)
    columns = (np.arange(shown) + int(left_px)) % picture.shape[1]
    return Image.fromarray(picture[:, columns]).resize((width, height), Image.Resampling.BILINEAR)


def _noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth noise (height, width) in 0 to 1 that repeats sideways, `cells` (down, across) blobs large."""
    grid = np.tile(rng.random(cells).astype(np.float32), (1, 3))
    smooth = Image.fromarray(grid).resize((3 * width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth, dtype=np.float64)[:, width : 2 * width], 0, 1)


def _waves(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    below = np.maximum(np.arange(height)[:, None] - ridge, 0)
    waves = np.sin(np.sqrt(below) * 7 + 6 * _noise(rng, height, width, (6, 24)))
    canvas += (18 * waves * (below > 0))[..., None]


def _trunks(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    for left in rng.integers(0, canvas.shape[1] - 12, 50):
        crown = int(ridge[left] * rng.uniform(0.2, 0.9))
        canvas[crown:, left : left + rng.integers(3, 10)] *= rng.uniform(0.4, 0.8)


def _stars(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    ys, xs = rng.integers(0, int(ridge.min()), 260), rng.integers(0, canvas.shape[1], 260)
    canvas[ys, xs] = rng.uniform(150, 255, (260, 1))


def _flakes(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    ys, xs = rng.integers(0, canvas.shape[0], 420), rng.integers(0, canvas.shape[1], 420)
    canvas[ys, xs] = rng.uniform(200, 255, (420, 1))


def _towers(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    left = 0
    while left < canvas.shape[1] - 50:
        wide, roof, foot = int(rng.integers(18, 50)), int(ridge[left] * rng.uniform(0.3, 0.95)), int(ridge[left])
        canvas[roof : foot + 6, left : left + wide] = rng.uniform(50, 130) + rng.uniform(-12, 12, 3)
        for y in range(roof + 4, foot - 6, 8):
            for x in range(left + 3, left + wide - 5, 6):
                if rng.random() < 0.35:
                    canvas[y : y + 4, x : x + 3] = (230, 214, 140)
        left += wide + int(rng.integers(0, 8))


def _blossoms(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    for x in rng.integers(0, width - 2, 180):
        y = int(rng.uniform(ridge[x] + 4, height - 2))
        canvas[y : y + 2, x : x + 2] = rng.choice([(240, 220, 80), (230, 120, 160), (245, 245, 245)])


def _sun(canvas: Canvas, ridge: Canvas, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    x, y, radius = rng.integers(60, width - 60), ridge.min() * rng.uniform(0.4, 0.8), rng.integers(10, 20)
    canvas[((rows - y) ** 2 + (columns - x) ** 2 < radius**2) & (rows < ridge)] = (255, 236, 170)


_FURNITURE = {
    "sea": _waves,
    "forest": _trunks,
    "desert": _sun,
    "snow": _flakes,
    "night": _stars,
    "city": _towers,
    "sunset": _sun,
    "meadow": _blossoms,
}
