"""quiz.staging: what a film shows in; when each of it is on screen, and how it is filmed, out. Knows no questions.

Each scene lasts a second and begins with one, what moves lasts three: so one who looks once a second, whenever the
first look is, sees each scene exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from longtake.quiz.casting import Cast
from longtake.world.drawing import Staging, random_staging
from longtake.world.hour import PAN_PX_PER_S, Take
from longtake.world.scenes import Scene, Shot, draw_scenery

MOVE_S = 3
MOST_SCENES = 12
"""Of a film, besides what moves; a short one has as many as fit."""
SCENERY_S = (2, 9)
"""Shortest and longest take of scenery, but for what is left before a scene."""
FIRST_PLACE = 2**23
"""Panoramas of these films are numbered from here: none was in training, in the exam, in the bundled film or in a
haystack."""
PLACES_EACH = 16


@dataclass(frozen=True)
class Staged:
    """A film before it is drawn.

    Attributes:
        takes: one after the other, without gaps.
        far: two scenes, one of each pair, at least half the film apart.
    """

    cast: Cast
    takes: tuple[Take, ...]
    far: tuple[Scene, Scene]

    def seen_s(self, scene: Scene) -> tuple[int, int]:
        """When `scene` is on screen: (from, to) in seconds."""
        take = next(take for take in self.takes if take.shot == scene)
        return round(take.start_s), round(take.end_s)

    @property
    def moves_s(self) -> tuple[int, int]:
        """When the shape that moves is on screen."""
        return self.seen_s(self.cast.move[0])[0], self.seen_s(self.cast.move[-1])[1]


def scenes_in(length_s: int) -> int:
    """How many scenes a film of that length has."""
    return min(MOST_SCENES, length_s - MOVE_S)


def stage(rng: np.random.Generator, cast: Cast, length_s: int) -> Staged:
    """Put the scenes in random places, two of them far from each other, and scenery between them."""
    one, other = (pair[int(rng.integers(2))] for pair in cast.pairs)
    events: list[tuple[Scene, ...]] = [*((scene,) for scene in cast.scenes), cast.move]
    while True:
        starts = _starts(rng, length_s, [len(event) for event in events])
        apart_s = abs(starts[events.index((one,))] - starts[events.index((other,))])
        if apart_s >= length_s / 2:
            break
    takes: list[Take] = []
    for start_s, event in sorted(zip(starts, events, strict=True), key=lambda placed: placed[0]):
        takes += _scenery(rng, round(takes[-1].end_s) if takes else 0, start_s)
        takes += _filmed(rng, event, start_s)
    takes += _scenery(rng, round(takes[-1].end_s), length_s)
    return Staged(cast, tuple(takes), (one, other))


def _starts(rng: np.random.Generator, length_s: int, lasting_s: Sequence[int]) -> list[int]:
    """The second with which each event begins; all orders and places are equally likely."""
    many = len(lasting_s)
    slots = np.sort(rng.choice(length_s - sum(lasting_s) + many, many, replace=False))
    order = rng.permutation(many)
    starts, behind = [0] * many, 0
    for slot, number in zip(slots, order, strict=True):
        starts[number] = int(slot) + behind
        behind += lasting_s[number] - 1
    return starts


def _filmed(rng: np.random.Generator, event: Sequence[Shot], start_s: int) -> list[Take]:
    """A take for each second of an event, all with one camera: only the shape moves."""
    staging = random_staging(rng, places=PLACES_EACH, first_place=FIRST_PLACE)
    pace = float(rng.uniform(*PAN_PX_PER_S)) * (1 if rng.random() < 0.5 else -1)
    return [
        Take(shot, start_s + second, start_s + second + 1, _panned(staging, pace * second), pace)
        for second, shot in enumerate(event)
    ]


def _scenery(rng: np.random.Generator, start_s: int, end_s: int) -> list[Take]:
    takes = []
    while start_s < end_s:
        cut_s = min(end_s, start_s + int(rng.integers(SCENERY_S[0], SCENERY_S[1] + 1)))
        (first,) = _filmed(rng, [draw_scenery(rng)], start_s)
        takes.append(replace(first, end_s=cut_s))
        start_s = cut_s
    return takes


def _panned(staging: Staging, by_px: float) -> Staging:
    return replace(staging, pan_px=staging.pan_px + by_px)
