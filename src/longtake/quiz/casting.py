"""quiz.casting: how many scenes, and what is asked of them, in; scenes that fit out. Knows nothing of times or words.

Every scene is a held-out combination of colour, shape and value: nano's training never drew one. One who knows which
combinations are held out must not be able to tell a right option by that. So wrong options make held-out combinations
too: two scenes of a pair may exchange their values, and a scene that is asked for its colour or shape could have had
three others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar

import numpy as np

from longtake.world.films import HELD_OUT
from longtake.world.scenes import Scene
from longtake.world.vocabulary import COLOURS, NUMBERS, PLACES, SHAPES, WORDS

AsksFor = Literal["value", "colour", "shape"]
ASKS_FOR: tuple[AsksFor, ...] = ("value", "colour", "shape")
"""What a question of recognition asks for; they take turns."""
WRONG = 3
"""Wrong options of a question of recognition."""
LIKE_SHARE = 0.5
"""So many pairs are lookalikes: one colour or one shape."""

Look = tuple[str, str]
"""A colour and a shape."""
Pair = tuple[Scene, Scene]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Counted:
    """What is counted: scenes whose `attribute` is `word`."""

    attribute: Literal["colour", "shape"]
    word: str

    def fits(self, look: Look) -> bool:
        """Whether such a scene counts."""
        return look[0 if self.attribute == "colour" else 1] == self.word


@dataclass(frozen=True)
class Cast:
    """What a film shows. No two scenes share a value, or colour and shape; what moves is not counted.

    Attributes:
        pairs: two pairs of scenes that may exchange their values.
        lone: a scene that could have had WRONG other colours, or shapes, if that is asked for.
        others: more scenes.
        move: three moments of a shape that moves.
        counted: what is asked about in the question of counting.
    """

    pairs: tuple[Pair, Pair]
    lone: Scene
    others: tuple[Scene, ...]
    move: tuple[Scene, ...]
    counted: Counted

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All but what moves."""
        return (*self.pairs[0], *self.pairs[1], self.lone, *self.others)


def cast(rng: np.random.Generator, scenes: int, *, alike: int, asks_for: AsksFor) -> Cast:
    """Draw what a film shows.

    Args:
        scenes: how many, at least 5; what moves comes on top.
        alike: so many of them are counted.
        asks_for: what the lone scene may be asked for.
    """
    while True:
        found = _Casting.begin(rng, scenes, alike).cast(asks_for)
        if found is not None:
            return found


def alternatives(scene: Scene, attribute: AsksFor) -> list[str]:
    """Other words that would make a held-out combination in place of the scene's value, colour or shape."""
    words: tuple[str, ...] = {"colour": tuple(COLOURS), "shape": SHAPES, "value": ()}[attribute]
    if attribute == "value":
        words = _values((scene.colour, scene.shape), scene.value_kind)
    own = getattr(scene, attribute)
    return [word for word in words if word != own and replace(scene, **{attribute: word}).held_out]


@dataclass(frozen=True)
class _Casting:
    """One attempt: the roles are cast one after the other; `counting` says which of them are to be counted."""

    rng: np.random.Generator
    move: tuple[Scene, ...]
    counted: Counted
    counting: tuple[bool, ...]

    @classmethod
    def begin(cls, rng: np.random.Generator, scenes: int, alike: int) -> _Casting:
        move = HELD_OUT.move(rng)
        counting = np.zeros(scenes, dtype=bool)
        counting[rng.permutation(scenes)[:alike]] = True
        attribute: Literal["colour", "shape"] = "colour" if rng.random() < 0.5 else "shape"
        words = [word for word in (COLOURS if attribute == "colour" else SHAPES) if word != getattr(move[0], attribute)]
        counted = Counted(attribute, words[int(rng.integers(len(words)))])
        return cls(rng, move, counted, tuple(bool(counts) for counts in counting))

    def cast(self, asks_for: AsksFor) -> Cast | None:
        """All roles; None where one of them could not be cast, which may happen."""
        found: list[Scene] = []
        for _ in range(2):
            pair = self._pair(found)
            if pair is None:
                return None
            found += pair
        lone = self._scene(found, lambda scene: asks_for == "value" or len(alternatives(scene, asks_for)) >= WRONG)
        if lone is None:
            return None
        found.append(lone)
        while len(found) < len(self.counting):
            other = self._scene(found, lambda scene: True)
            if other is None:
                return None
            found.append(other)
        first, second, third, fourth = found[:4]
        return Cast(((first, second), (third, fourth)), lone, tuple(found[5:]), self.move, self.counted)

    def _pair(self, found: list[Scene]) -> Pair | None:
        """A scene, and another whose value it could have had, and which could have had its."""
        one = self._scene(found, lambda scene: True)
        if one is None:
            return None
        others = self._looks([*found, one])
        if self.rng.random() < LIKE_SHARE:
            others = [look for look in others if one.colour == look[0] or one.shape == look[1]]
        mine = set(_values((one.colour, one.shape), one.value_kind)) - {scene.value for scene in (*found, one)}
        for look in others:
            theirs = _values(look, one.value_kind)
            both = [value for value in theirs if value in mine] if one.value in theirs else []
            if both:
                return one, self._made(look, both[int(self.rng.integers(len(both)))])
        return None

    def _scene(self, found: list[Scene], fits: Callable[[Scene], bool]) -> Scene | None:
        """The next role's scene, which `fits`."""
        kind = "number" if self.rng.random() < 0.5 else "word"
        taken = {scene.value for scene in found}
        for look in self._looks(found):
            for value in _shuffled(self.rng, _values(look, kind)):
                scene = self._made(look, value)
                if value not in taken and fits(scene):
                    return scene
        return None

    def _looks(self, found: list[Scene]) -> list[Look]:
        """Those that the next role may have, shuffled."""
        taken = {(scene.colour, scene.shape) for scene in (*found, *self.move)}
        counts = self.counting[len(found)]
        looks = [(colour, shape) for colour in COLOURS for shape in SHAPES]
        return [look for look in _shuffled(self.rng, looks) if look not in taken and self.counted.fits(look) == counts]

    def _made(self, look: Look, value: str) -> Scene:
        return Scene(*look, value, PLACES[int(self.rng.integers(len(PLACES)))])


@cache
def _values(look: Look, kind: str) -> tuple[str, ...]:
    """The numbers, or words, with which a colour and a shape are held out."""
    values = NUMBERS if kind == "number" else WORDS
    return tuple(value for value in values if Scene(*look, value, PLACES[0]).held_out)


def _shuffled(rng: np.random.Generator, things: Sequence[_T]) -> Iterator[_T]:
    return (things[int(place)] for place in rng.permutation(len(things)))
