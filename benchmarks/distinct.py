"""benchmarks: scenes of one second in long films: how many does nano see and tell, by `distinct` and `uniform` frames?

    python benchmarks/distinct.py            # 6 films of 20 minutes, 10 scenes each, and the demo's hour: minutes
    python benchmarks/distinct.py --smoke    # one film of a minute, 2 scenes

In the films a camera stands nearly still before one place after the other, for half a minute to two minutes each;
held-out scenes, each on screen for one second, come at random times. Three questions about each: value, colour and
shape. The demo's hour is the other kind: cameras pan, and the place changes every 7 to 24 seconds; when its scenes come
is not looked up, so none counts as seen there. Both samplers may show the model so many frames; `distinct` looks at one
a second for it and may use fewer. Intervals are Wilson's at 95 %, of scenes about which all three answers are right.

Ends with one line of JSON: {"figures", "targets", "ok"}; it has no targets.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from methods import SCENES
from numpy.typing import NDArray

import longtake
from longtake import demo
from longtake.families import Model
from longtake.niah.scoring import Share
from longtake.samplers import Sampler
from longtake.samplers.distinct import Distinct
from longtake.samplers.uniform import Uniform
from longtake.world.drawing import Staging, draw, random_staging
from longtake.world.film import write_film
from longtake.world.scenes import Shot, draw_scene, draw_scenery

FPS = 2
WIDTH_PX, HEIGHT_PX = 320, 180
STILL_S = (30, 120)
PAN_PX_PER_S = 0.05
"""Nearly still: a place half as wide as the picture's height passes in half an hour."""
FRAMES = (16, 64)
FIRST_PLACE = 7_000
"""Panoramas that no training and no exam has seen."""

Told = tuple[str, str, str]
"""A scene's colour, shape and value."""


@dataclass(frozen=True)
class Film:
    """A file, and the scenes in it with the time at which each begins."""

    path: Path
    scenes: tuple[tuple[Told, float], ...]
    lasting_s: float = 1.0


def made(folder: Path, seed: int, *, seconds: int, scenes: int) -> Film:
    """A film of stills with scenes in it."""
    rng = np.random.default_rng([seed, 2026])
    shots: list[tuple[Shot, Staging]] = []
    while len(shots) < seconds:
        shot = draw_scenery(rng), random_staging(rng, places=2**20, first_place=FIRST_PLACE)
        shots += [shot] * int(rng.integers(*STILL_S))
    found = []
    for second in np.sort(rng.choice(np.arange(5, seconds - 5), scenes, replace=False)).tolist():
        scene = draw_scene(rng, held_out=True)
        shots[second] = scene, random_staging(rng, places=2**20, first_place=FIRST_PLACE)
        found.append(((scene.colour, scene.shape, scene.value), float(second)))
    path = folder / f"stills_{seed}.mp4"
    write_film(path, pictures(shots[:seconds]), fps=Fraction(FPS))
    return Film(path, tuple(found))


def pictures(shots: list[tuple[Shot, Staging]]) -> Iterator[NDArray[np.uint8]]:
    """FPS pictures of each second's shot; drawn anew only where the camera has moved on by a pixel of its panorama."""
    before: tuple[Shot, Staging, int] | None = None
    for number in range(len(shots) * FPS):
        shot, staging = shots[number // FPS]
        pan_px = int(staging.pan_px + PAN_PX_PER_S * number / FPS)
        if before != (shot, staging, pan_px):
            picture = draw(shot, replace(staging, pan_px=float(pan_px)), width=WIDTH_PX, height=HEIGHT_PX)
            before = shot, staging, pan_px
        yield picture


def hour() -> Film:
    """The demo's film."""
    return Film(demo.FILM, tuple((scene, float("nan")) for scene in SCENES))


def asked(scene: Told) -> tuple[tuple[str, str], ...]:
    """Questions about a scene, each with the word that answers it."""
    colour, shape, value = scene
    kind = "number" if value.isdigit() else "word"
    return (
        (f"What {kind} is on the {colour} {shape}?", value),
        (f"What colour is the {shape} with {value}?", colour),
        (f"What shape is next to {value}?", shape),
    )


def measure(model: Model, film: Film, sampler: Sampler) -> dict[str, int]:
    """How many scenes were seen (where it is known when they come), answers were right, scenes wholly, and frames."""
    looking = replace(model, sampler=sampler)
    watched = longtake.watch(looking, longtake.open_video(film.path))
    times_s = watched.looks[0].times_s
    right = [
        [answer in demo.words(longtake.ask(looking, watched, question).text) for question, answer in asked(scene)]
        for scene, _ in film.scenes
    ]
    return {
        "scenes": len(film.scenes),
        "seen": sum(
            bool(((times_s >= start_s) & (times_s < start_s + film.lasting_s)).any()) for _, start_s in film.scenes
        ),
        "questions": sum(map(len, right)),
        "right": sum(map(sum, right)),
        "all_right": sum(map(all, right)),
        "frames": len(times_s),
    }


def main() -> int:
    """Measure, print a table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one short film")
    smoke = parser.parse_args().smoke
    torch.set_num_threads(1)
    model, figures = longtake.load("nano"), {}
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"seconds": 60, "scenes": 2} if smoke else {"seconds": 1200, "scenes": 10}
        stills = [made(Path(folder), seed, **sizes) for seed in range(1 if smoke else 6)]
        for kind, films in {"stills": stills, **({} if smoke else {"hour": [hour()]})}.items():
            for frames in FRAMES[: 1 if smoke else None]:
                for sampler in (Uniform(frames=frames), Distinct(frames=frames)):
                    rows = [measure(model, film, sampler) for film in films]
                    row = {name: sum(one[name] for one in rows) for name in rows[0]}
                    told = Share(row["all_right"], row["scenes"])
                    name = f"{kind}, {type(sampler).__name__.lower()}, {frames} frames"
                    row["frames"] = round(row["frames"] / len(films))
                    figures[name] = {**row, "interval": [round(end, 3) for end in told.interval]}
                    cells = "  ".join(f"{key} {value}" for key, value in figures[name].items())
                    print(f"{name:32}{cells}", flush=True)
    print(json.dumps({"figures": figures, "targets": {}, "ok": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
