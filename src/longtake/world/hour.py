"""world/hour: a seed in, the plan of an hour-long film and its pictures out. Knows nothing of files or models.

Hundreds of shots of scenery, each with its own place and camera, and a few scenes to find among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from longtake.world.drawing import Staging, draw, random_staging
from longtake.world.questions import Asked, ask_about
from longtake.world.scenes import Scene, Shot, draw_scene, draw_scenery

HOUR_S = 3600.0
SCENERY_S = (7.0, 24.0)
"""Shortest and longest shot of scenery."""
SCENE_S = 1.0
"""So long a scene to find is on screen."""
MARGIN_S = 60.0
"""No scene begins before this, none ends less than this before the end, and between two there is as much."""
FIRST_PLACE = 5000
"""Panoramas of films are numbered from here: none was in training, none in the exam."""
PAN_PX_PER_S = (3.0, 14.0)


@dataclass(frozen=True)
class Take:
    """One shot of the film: what is shown from `start_s` to `end_s`, and how its camera stands and pans."""

    shot: Shot
    start_s: float
    end_s: float
    staging: Staging
    pan_px_per_s: float


def plan_film(seed: int, *, fps: int, duration_s: float = HOUR_S, scenes: int = 5) -> list[Take]:
    """The takes of a film, in order, without gaps; scenes are held-out combinations at times that the seed alone knows.

    Scenes begin with some frame of the film, whatever the second: each has exactly `SCENE_S * fps` frames, so that one
    who looks every SCENE_S seconds sees each exactly once, whenever the first look is.

    Raises:
        ValueError: the scenes do not fit into the film.
    """
    rng = np.random.default_rng(seed)
    takes: list[Take] = []
    for start_s, end_s in _scene_times(rng, duration_s, scenes, fps=fps):
        takes += _scenery(rng, takes[-1].end_s if takes else 0.0, start_s)
        takes.append(_take(rng, draw_scene(rng, held_out=True), start_s, end_s))
    return takes + _scenery(rng, takes[-1].end_s if takes else 0.0, duration_s)


def film(takes: list[Take], *, fps: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """The pictures of the film, (height, width, 3) uint8, `fps` a second: cameras pan, shapes sway."""
    for take in takes:
        for number in range(round(take.start_s * fps), round(take.end_s * fps)):
            inside_s = number / fps - take.start_s
            moved = replace(
                take.staging,
                pan_px=take.staging.pan_px + take.pan_px_per_s * inside_s,
                tilt_rad=take.staging.tilt_rad + 0.06 * float(np.sin(inside_s * 1.3)),
            )
            yield draw(take.shot, moved, width=width, height=height)


def questions_about(takes: list[Take], kinds: tuple[str, ...], *, seed: int) -> list[tuple[Asked, Take]]:
    """One question of each of `kinds`, each about another scene of the film, with the take that answers it."""
    rng = np.random.default_rng(seed)
    with_scene = [take for take in takes if isinstance(take.shot, Scene)]
    chosen = [with_scene[number] for number in rng.permutation(len(with_scene))[: len(kinds)]]
    return [(ask_about(rng, [take.shot], kind), take) for kind, take in zip(kinds, chosen, strict=True)]


def _scene_times(rng: np.random.Generator, duration_s: float, scenes: int, *, fps: int) -> list[tuple[float, float]]:
    free_s = duration_s - SCENE_S * scenes - MARGIN_S * (scenes + 1)
    if free_s < 0:
        raise ValueError(f"{scenes} scenes of {SCENE_S:.0f} s do not fit into {duration_s:.0f} s")
    gaps = MARGIN_S + free_s * rng.dirichlet(np.ones(scenes + 1))
    starts = np.cumsum(gaps[:-1]) + SCENE_S * np.arange(scenes)
    first_frames = [round(float(start) * fps) for start in starts]
    return [(first / fps, first / fps + SCENE_S) for first in first_frames]


def _scenery(rng: np.random.Generator, start_s: float, end_s: float) -> list[Take]:
    takes = []
    while end_s - start_s > SCENERY_S[1]:
        cut_s = start_s + float(rng.uniform(*SCENERY_S))
        takes.append(_take(rng, draw_scenery(rng), start_s, cut_s))
        start_s = cut_s
    return [*takes, _take(rng, draw_scenery(rng), start_s, end_s)]


def _take(rng: np.random.Generator, shot: Shot, start_s: float, end_s: float) -> Take:
    staging = random_staging(rng, places=2**20, first_place=FIRST_PLACE)
    pace = float(rng.uniform(*PAN_PX_PER_S)) * (1 if rng.random() < 0.5 else -1)
    return Take(shot, start_s, end_s, staging, pace)
