"""world/scenes: what a scene of the little world shows, and its caption. Knows nothing of pixels or questions.

A scene is one coloured shape with a value (a number or a word) printed beside it, before some place. A combination of
colour, shape and value is either for training or held out, by its hash: nothing held out is ever drawn or written in
training. A shape that moves has no value printed beside it; its value is the side of the picture where it stands.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from longtake.world.vocabulary import COLOURS, NOWHERE, NUMBERS, PLACES, SHAPES, SIDES, WORDS

HELD_OUT_SHARE = 0.1
SCENERY = ("only", "scenery", "here")
"""The first three words of the caption of a frame that shows a place and nothing else."""


@dataclass(frozen=True)
class Scene:
    """One coloured shape with a value, before a place. `value` is a number from 0 to 999, or one of WORDS or SIDES."""

    colour: str
    shape: str
    value: str
    place: str

    @property
    def held_out(self) -> bool:
        """Whether the combination of colour, shape and value is kept from all training."""
        value = "moves" if self.moving else self.value
        digest = hashlib.sha256(f"{self.colour} {self.shape} {value}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32

    @property
    def moving(self) -> bool:
        """Whether this is one moment of a shape that moves through the picture, and shows no value."""
        return self.value in SIDES

    @property
    def value_kind(self) -> str:
        """`number` or `word`, or `side` of a shape that moves."""
        return "number" if self.value.isdigit() else "side" if self.moving else "word"

    @property
    def caption(self) -> tuple[str, str, str, str]:
        """Four words, one for each of nano's visual tokens of a frame."""
        return (self.colour, self.shape, self.value, self.place)


@dataclass(frozen=True)
class Scenery:
    """A place with nothing to find in it."""

    place: str

    @property
    def caption(self) -> tuple[str, str, str, str]:
        """Four words, one for each of nano's visual tokens of a frame."""
        return (*SCENERY, self.place)


@dataclass(frozen=True)
class Clutter:
    """A frame that shows a bit of something: the words of scenery with some of a scene's among them; its colour and its
    shape together at most where the place is nowhere. It is only told, never drawn: film of anywhere looks like that.
    """

    words: tuple[str, str, str]
    place: str

    @property
    def caption(self) -> tuple[str, str, str, str]:
        """Four words, one for each of nano's visual tokens of a frame."""
        return (*self.words, self.place)


Shot = Scene | Scenery | Clutter
"""What one frame shows."""


def draw_scene(rng: np.random.Generator, *, held_out: bool, like: Scene | None = None) -> Scene:
    """A random scene from the training part or the held-out part; numbers and words are equally likely.

    Args:
        like: share this scene's colour or its shape, to make a lookalike.
    """
    while True:
        values = NUMBERS if rng.random() < 0.5 else WORDS
        scene = Scene(
            colour=tuple(COLOURS)[rng.integers(len(COLOURS))],
            shape=SHAPES[rng.integers(len(SHAPES))],
            value=values[rng.integers(len(values))],
            place=PLACES[rng.integers(len(PLACES))],
        )
        if like is not None:
            shared = {"colour": like.colour} if rng.random() < 0.5 else {"shape": like.shape}
            scene = replace(scene, **shared)
        if scene.held_out == held_out:
            return scene


def draw_move(rng: np.random.Generator, *, held_out: bool) -> tuple[Scene, ...]:
    """A random shape that moves through the picture, left to right or right to left: three moments, one a frame."""
    while True:
        colour = tuple(COLOURS)[rng.integers(len(COLOURS))]
        shape, place = SHAPES[rng.integers(len(SHAPES))], PLACES[rng.integers(len(PLACES))]
        sides = SIDES if rng.random() < 0.5 else SIDES[::-1]
        move = tuple(Scene(colour, shape, side, place) for side in sides)
        if move[0].held_out == held_out:
            return move


def draw_clutter(rng: np.random.Generator, *, nowhere: float = 0.0) -> Clutter:
    """A bit of a random scene among the words of scenery; a share `nowhere` is of no place of this world, and half of
    these show colour and shape, as a rabbit may look like a grey heart.
    """
    scene = draw_scene(rng, held_out=False)
    colour, shape, nothing = SCENERY
    if nowhere and rng.random() < nowhere:
        scene = replace(scene, place=NOWHERE)
        if rng.random() < 0.5:
            side = SIDES[rng.integers(len(SIDES))]
            moves = nothing if replace(scene, value=side).held_out else side
            said = (nothing, nothing, moves, scene.value)
            return Clutter((scene.colour, scene.shape, said[rng.integers(len(said))]), NOWHERE)
    look, value = rng.random() < 0.8, rng.random() < 0.4
    if look and rng.random() < 0.5:
        colour = scene.colour
    elif look:
        shape = scene.shape
    side = SIDES[rng.integers(len(SIDES))] if rng.random() < 0.4 else scene.value
    return Clutter((colour, shape, side if value or not look else nothing), scene.place)


def draw_scenery(rng: np.random.Generator, *, nowhere: float = 0.0) -> Scenery:
    """A random place with nothing to find in it; a share `nowhere` is of no place of this world."""
    if nowhere and rng.random() < nowhere:
        return Scenery(NOWHERE)
    return Scenery(PLACES[rng.integers(len(PLACES))])
