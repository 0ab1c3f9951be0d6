"""train/worldly: a seed in, documents about the little drawn world out, without end: for a try with nothing at hand.

A document is a film in words: a line for each frame, then questions with their answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.train.corpus import Document
from longtake.world.questions import ask_about
from longtake.world.scenes import Scene, draw_scene, draw_scenery

KINDS = ("value", "colour", "shape", "letter")
FRAMES = (4, 120)
SCENERY_SHARE = 0.3
QUESTIONS = 6
HELD_OUT = 400
"""So many documents about held-out combinations are there to be examined with."""


@dataclass(frozen=True)
class World:
    """Films in words."""

    def training(self, seed: Sequence[int]) -> Iterator[Document]:
        """Documents about combinations that may be trained on."""
        rng = np.random.default_rng([*seed])
        while True:
            yield Document(_film(rng, held_out=False), "the drawn world")

    def held_out(self) -> Iterator[Document]:
        """Documents about combinations that are kept from all training."""
        rng = np.random.default_rng(0)
        for _ in range(HELD_OUT):
            yield Document(_film(rng, held_out=True), "the drawn world")

    def told(self) -> dict[str, Any]:
        """That it is the world."""
        return {"files": ["world"]}


def _film(rng: np.random.Generator, *, held_out: bool) -> str:
    """Lengths are spread so that each doubling is as likely as the next."""
    low, high = np.log2(FRAMES)
    scenes: list[Scene] = []
    lines = []
    for frame in range(round(2 ** rng.uniform(low, high))):
        scenery = frame > 0 and rng.random() < SCENERY_SHARE
        shot = draw_scenery(rng) if scenery else draw_scene(rng, held_out=held_out)
        lines.append(" ".join(shot.caption))
        scenes += [shot] if isinstance(shot, Scene) else []
    for _ in range(QUESTIONS):
        asked = ask_about(rng, scenes, KINDS[int(rng.integers(len(KINDS)))])
        lines += [asked.question, asked.answer]
    return "\n".join(lines)
