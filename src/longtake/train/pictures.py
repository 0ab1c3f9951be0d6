"""train/pictures: a number and a seed in, a pool of drawn pictures on disk out. Knows nothing of what learns here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longtake.vision.pixels import PixelRecipe
from longtake.world.drawing import draw, random_staging
from longtake.world.scenes import Scene, Scenery, Shot, draw_move, draw_scene, draw_scenery
from longtake.world.vocabulary import NOWHERE

PLACES_EACH = 40
"""Panoramas of each place that training pictures are filmed before."""
SCENERY_SHARE = 0.4
MOVING_SHARE = 0.08
NOWHERE_SHARE, STRANGE_SHARE = 0.7, 0.4
"""Part of the scenery that is of no place at all; part of the rest that is recoloured, turned and blended. So film of
anywhere counts as scenery too."""


@dataclass(frozen=True)
class Pool:
    """Pictures as nano's tower takes them, and what each shows.

    Attributes:
        pixels_NCHW: uint8.
        shots: (N) what each picture shows.
    """

    pixels_NCHW: NDArray[np.uint8]
    shots: list[Shot]


def draw_pool(path: Path, pictures: int, *, recipe: PixelRecipe, seed: int, held_out: bool = False) -> None:
    """Draw `pictures` pictures into `path` (npz); does nothing where it is there already."""
    if path.exists():
        return
    rng = np.random.default_rng([seed, int(held_out)])
    shots = [_shown(rng, held_out=held_out) for _ in range(pictures)]
    pixels_NCHW = np.stack([_filmed(shot, rng, recipe) for shot in shots])
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, pixels=pixels_NCHW, captions=np.array([shot.caption for shot in shots]))
    partial.rename(path)


def read_pool(paths: list[Path]) -> Pool:
    """The pictures of several files as one pool."""
    pixels, shots = [], []
    for path in paths:
        with np.load(path) as stored:
            pixels.append(stored["pixels"])
            shots += [_shot(tuple(caption)) for caption in stored["captions"].tolist()]
    return Pool(np.concatenate(pixels), shots)


def _shot(caption: tuple[str, str, str, str]) -> Shot:
    scenery = Scenery(caption[3])
    return scenery if caption == scenery.caption else Scene(*caption)


def _shown(rng: np.random.Generator, *, held_out: bool) -> Shot:
    kind = rng.random()
    if kind < SCENERY_SHARE:
        return draw_scenery(rng, nowhere=NOWHERE_SHARE)
    if kind < SCENERY_SHARE + MOVING_SHARE:
        moments = draw_move(rng, held_out=held_out)
        return moments[rng.integers(len(moments))]
    return draw_scene(rng, held_out=held_out)


def _filmed(shot: Shot, rng: np.random.Generator, recipe: PixelRecipe) -> NDArray[np.uint8]:
    """Draw at the size of a small video, compress half of the pictures as video does, and make them small."""
    width = int(rng.integers(200, 400))
    picture_HWC = draw(shot, random_staging(rng, places=PLACES_EACH), width=width, height=round(width * 9 / 16))
    if isinstance(shot, Scenery) and shot.place != NOWHERE and rng.random() < STRANGE_SHARE:
        picture_HWC = _strange(picture_HWC, rng)
    if rng.random() < 0.5:
        packed = io.BytesIO()
        Image.fromarray(picture_HWC).save(packed, "JPEG", quality=int(rng.integers(25, 90)))
        picture_HWC = np.asarray(Image.open(packed))
    return recipe.shrink(picture_HWC)


def _strange(picture_HWC: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture of no place in particular: a patch blown up over the rest, channels swapped, at times inverted."""
    height, width = picture_HWC.shape[:2]
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    patch = Image.fromarray(picture_HWC[top : top + height // 3, left : left + width // 3])
    patch = patch.rotate(90 * int(rng.integers(4))).resize((width, height), Image.Resampling.BICUBIC)
    mixed_HWC = np.asarray(Image.blend(Image.fromarray(picture_HWC), patch, float(rng.uniform(0.3, 0.8))))
    mixed_HWC = mixed_HWC[..., rng.permutation(3)]
    return 255 - mixed_HWC if rng.random() < 0.3 else mixed_HWC
