"""world/films: how many frames in, what each of them shows out. Knows nothing of pixels or questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from longtake.world.scenes import Clutter, Scene, Shot, draw_clutter, draw_move, draw_scene, draw_scenery

MOST_COUNTED = 5


class Source(Protocol):
    """Where the scenes of a film come from."""

    def scene(self, rng: np.random.Generator, like: Scene | None = None) -> Scene:
        """A random scene; where one is given, a lookalike that shares its colour or its shape."""
        ...

    def move(self, rng: np.random.Generator) -> tuple[Scene, ...]:
        """A random shape that moves: what its frames show, one after the other. Empty where the source has none."""
        ...


@dataclass(frozen=True)
class Drawn:
    """All scenes that may be trained on, or all that are held out."""

    held_out: bool

    def scene(self, rng: np.random.Generator, like: Scene | None = None) -> Scene:
        """See `Source`."""
        return draw_scene(rng, held_out=self.held_out, like=like)

    def move(self, rng: np.random.Generator) -> tuple[Scene, ...]:
        """See `Source`."""
        return draw_move(rng, held_out=self.held_out)


TRAINING = Drawn(held_out=False)
HELD_OUT = Drawn(held_out=True)


def draw_shots(rng: np.random.Generator, frames: int, source: Source, *, most_scenes: int = 16) -> list[Shot]:
    """What each of `frames` frames shows: some scenes for one to three frames each, scenery between them.

    No two scenes have the same value, or the same colour and shape. About half of them are lookalikes of another. In
    one film of two that has room for it a shape moves.
    """
    move = source.move(rng) if frames > 3 and rng.random() < 0.5 else ()
    free = frames - len(move)
    scenes = _unlike(rng, source, int(rng.integers(1, min(free, most_scenes) + 1)), move)
    lasting = np.ones(len(scenes), dtype=int)
    for place in rng.integers(0, len(scenes), int(rng.integers(0, len(scenes) + 1))):
        if lasting.sum() < free and lasting[place] < 3:
            lasting[place] += 1
    events: list[Sequence[Scene]] = [[scene] * int(long) for scene, long in zip(scenes, lasting, strict=True)]
    return spread(rng, frames, [*events, move] if move else events)


def draw_counted(rng: np.random.Generator, frames: int, source: Source, *, most_scenes: int = 12) -> list[Shot]:
    """A film for counting: each scene lasts one frame; none to MOST_COUNTED of them share one colour or one shape."""
    first = source.scene(rng)
    attribute = "colour" if rng.random() < 0.5 else "shape"
    word = getattr(first, attribute)
    alike = min(int(rng.integers(0, MOST_COUNTED + 1)), frames)
    others = int(rng.integers(0 if alike else 1, max(2, min(frames, most_scenes) - alike + 1)))
    scenes = [first] if alike else []
    while len(scenes) < min(frames, alike + others):
        wanted = len(scenes) < alike
        scene = source.scene(rng, first if wanted else None)
        if (getattr(scene, attribute) == word) == wanted and _is_new(scene, scenes):
            scenes.append(scene)
    return spread(rng, frames, [[scene] for scene in scenes])


@dataclass(frozen=True)
class Hay:
    """What a haystack is made of.

    Attributes:
        frames: how many.
        symbols: share of the frames that show other scenes. They may repeat one another, but none has an event's
            value, or its colour and shape; two in five are lookalikes.
        clutter: of the frames that show no scene, the share that shows a bit of one; the rest is scenery.
        nowhere: share of scenery and of clutter that is of no place of the drawn world.
        take_frames: how many frames in a row show the same, on average.
    """

    frames: int
    symbols: float = 0.0
    clutter: float = 0.0
    nowhere: float = 0.0
    take_frames: float = 1.0


def draw_haystack(rng: np.random.Generator, events: Sequence[Sequence[Scene]], source: Source, hay: Hay) -> list[Shot]:
    """The frames of a haystack, each event once at a random place, its scenes a frame each."""
    frames = hay.frames
    needles = [scene for event in events for scene in event]
    shots: list[Shot] = []
    while len(shots) < frames:
        shot = _hay(rng, needles, source, hay)
        if shot is not None:
            shots += [shot] * int(rng.geometric(1 / hay.take_frames))
    del shots[frames:]
    starts = np.sort(rng.choice(frames - len(needles) + len(events), len(events), replace=False))
    behind = 0
    for start, number in zip(starts, rng.permutation(len(events)), strict=True):
        event = events[number]
        shots[start + behind : start + behind + len(event)] = event
        behind += len(event) - 1
    return shots


def _hay(rng: np.random.Generator, needles: Sequence[Scene], source: Source, hay: Hay) -> Shot | None:
    """What one take of a haystack shows; None if it could be taken for a needle."""
    if rng.random() < hay.symbols:
        like = needles[int(rng.integers(len(needles)))] if needles and rng.random() < 0.4 else None
        scene = source.scene(rng, like)
        return scene if _is_new(scene, needles) else None
    if rng.random() < hay.clutter:
        clutter = draw_clutter(rng, nowhere=hay.nowhere)
        return None if any(_could_be(clutter, needle) for needle in needles) else clutter
    return draw_scenery(rng, nowhere=hay.nowhere)


def _could_be(clutter: Clutter, needle: Scene) -> bool:
    colour, shape, value = clutter.words
    return (colour, shape) == (needle.colour, needle.shape) or (value == needle.value and not needle.moving)


def draw_needles(rng: np.random.Generator, many: int, source: Source, *, besides: Sequence[Scene] = ()) -> list[Scene]:
    """`many` scenes of which no two have the same value, or the same colour and shape; half of them are lookalikes."""
    return _unlike(rng, source, many, besides)


def spread(rng: np.random.Generator, frames: int, events: Sequence[Sequence[Scene]]) -> list[Shot]:
    """The events in random order at random places among `frames` frames, with scenery between them."""
    gaps = rng.multinomial(
        frames - sum(len(event) for event in events), np.full(len(events) + 1, 1 / (len(events) + 1))
    )
    shots: list[Shot] = [draw_scenery(rng) for _ in range(gaps[0])]
    for number, gap in zip(rng.permutation(len(events)), gaps[1:], strict=True):
        shots += events[number]
        shots += [draw_scenery(rng) for _ in range(gap)]
    return shots


def scenes_of(shots: Sequence[Shot]) -> list[Scene]:
    """The different scenes with a value among `shots`, in order of appearance."""
    return [shot for shot in dict.fromkeys(shots) if isinstance(shot, Scene) and not shot.moving]


def moves_of(shots: Sequence[Shot]) -> list[Scene]:
    """Of each shape that moves, where it stands last; in order of appearance."""
    last = {(shot.colour, shot.shape): shot for shot in shots if isinstance(shot, Scene) and shot.moving}
    return list(last.values())


def _unlike(rng: np.random.Generator, source: Source, many: int, besides: Sequence[Scene]) -> list[Scene]:
    scenes: list[Scene] = []
    while len(scenes) < many:
        scene = source.scene(rng, scenes[-1] if scenes and rng.random() < 0.5 else None)
        if _is_new(scene, scenes) and _is_new(scene, besides):
            scenes.append(scene)
    return scenes


def _is_new(scene: Scene, scenes: Sequence[Scene]) -> bool:
    return all(s.value != scene.value and (s.colour, s.shape) != (scene.colour, scene.shape) for s in scenes)
