"""train/drawn_pairs: a number and a seed in; films of the little drawn world with preferred and rejected answers, out.

What nano was taught to say is as short as can be: `417 red` to a question for the colour of what has 417. Preferred
here is an answer that goes on: `417 red star`; the colour behind a shape, the place behind a value. Both are right, so
whoever learns to prefer one of them has nothing to forget of what it sees. (The same words in another order would be no
such preference: nano finds each word by those before it, and learned to be wrong; docs/log.md.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.films import HELD_OUT, TRAINING, Source, draw_shots, scenes_of
from longtake.world.questions import Asked, ask_about
from longtake.world.scenes import Shot

PLACES = 10
SIDE_PX = (320, 180)
"""As wide and high as the exam's films."""
FRAMES = (4, 12)
KINDS = ("value", "colour", "shape")
DATA = "data.jsonl"


def draw_pairs(folder: Path, pairs: int, *, seed: int, held_out: bool = False) -> Path:
    """Draw films, and write `folder`/data.jsonl about them: a row for each kind of question about each film.

    Does nothing where that is there already.

    Args:
        held_out: of combinations that nothing is ever trained on; else of all others.
    """
    path = folder / DATA
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 11, int(held_out)])
    rows: list[dict[str, Any]] = []
    for number in range(-(-pairs // len(KINDS))):
        rows += _film(rng, folder, f"{number:06}.mp4", HELD_OUT if held_out else TRAINING)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{json.dumps(row)}\n" for row in rows[:pairs]), encoding="utf-8")
    partial.replace(path)
    return path


def told_whole(asked: Asked, shots: Sequence[Shot]) -> str:
    """The answer to a question of KINDS, and one thing more that is seen of what it is about."""
    words = asked.answer.split()
    scene = next(scene for scene in scenes_of(shots) if scene.value in words)
    more = {"value": scene.place, "colour": scene.shape, "shape": scene.colour}
    return f"{asked.answer} {more[asked.kind]}"


def _film(rng: np.random.Generator, folder: Path, name: str, source: Source) -> Iterator[dict[str, Any]]:
    shots = draw_shots(rng, int(rng.integers(FRAMES[0], FRAMES[1] + 1)), source, most_scenes=6)
    while not scenes_of(shots):
        shots = draw_shots(rng, FRAMES[0], source)
    width, height = SIDE_PX
    pictures = [draw(shot, random_staging(rng, places=PLACES), width=width, height=height) for shot in shots]
    write_film(folder / name, pictures, fps=Fraction(1), crf=26)
    for kind in KINDS:
        asked = ask_about(rng, shots, kind)
        yield {"video": name, "prompt": asked.question, "chosen": told_whole(asked, shots), "rejected": asked.answer}
