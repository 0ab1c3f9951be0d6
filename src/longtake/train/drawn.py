"""train/drawn: a number and a seed in; pictures of the little drawn world with conversations, in LLaVA's form, out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from longtake.train.llava import MARK
from longtake.world.drawing import draw, random_staging
from longtake.world.questions import ask_about
from longtake.world.scenes import draw_scene

PLACES = 10
SIDE_PX = (160, 90)
KINDS = ("value", "colour", "shape", "letter")
CAPTION = "What is shown?"


def draw_samples(folder: Path, samples: int, *, most_images: int, seed: int) -> Path:
    """Draw pictures and write `folder`/data.json about them; does nothing where that is there already.

    Each sample shows one to `most_images` pictures; it asks for the caption of the first, and about one of them.
    """
    path = folder / "data.json"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 7])
    rows = [_sample(rng, folder, number, most_images) for number in range(samples)]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def _sample(rng: np.random.Generator, folder: Path, number: int, most_images: int) -> dict[str, Any]:
    scenes = [draw_scene(rng, held_out=False) for _ in range(int(rng.integers(1, most_images + 1)))]
    names = []
    for place, scene in enumerate(scenes):
        names.append(f"{number:06}-{place}.png")
        picture_HWC = draw(scene, random_staging(rng, places=PLACES), width=SIDE_PX[0], height=SIDE_PX[1])
        Image.fromarray(picture_HWC).save(folder / names[-1])
    asked = ask_about(rng, scenes, KINDS[int(rng.integers(len(KINDS)))])
    first = CAPTION if len(scenes) == 1 else "What is shown first?"
    said = [
        ("human", MARK * len(scenes) + "\n" + first),
        ("gpt", " ".join(scenes[0].caption)),
        ("human", asked.question),
        ("gpt", asked.answer),
    ]
    conversation = [{"from": who, "value": value} for who, value in said]
    return {"id": f"world-{number}", "images": names, "conversations": conversation}
