"""train/base: the stage that a nano's others branch from: short films are read, and again where once was not enough.

To go from a value to what stands beside it is learned within a few hundred steps or not at all, and the stages that
follow do not make up for it (docs/log.md): whoever cannot do it at the end reads as much again before going on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from longtake.durable import write_whole
from longtake.train.loop import Stage
from longtake.train.read import Reading
from longtake.train.saving import kept
from longtake.train.spread import ONE, Spread

BASE = "base"
AGAIN = "base_again"
STEPS = 1_600
ABLE = 0.8
"""The share of each of NEEDED that must be right for one reading to be enough."""
NEEDED = ("value@8", "colour@8", "shape@8", "letter@8", "motion@8")
"""Figures of `Reading`: kinds of question, about held-out films of eight frames."""
ENDED = "base.json"
"""Which stage ended it, and the figures that said so."""


def read_base(stage: Reading, folder: Path, train: Callable[[Stage], None], *, spread: Spread = ONE) -> None:
    """Train `stage`, named BASE, and once more as AGAIN where it does not come up to ABLE. Every rank calls it."""
    train(stage)

    def decide() -> str:
        if not (folder / ENDED).exists():
            figures = stage.figures()
            name = BASE if all(figures[kind] >= ABLE for kind in NEEDED) else AGAIN
            write_whole(folder / ENDED, json.dumps({"stage": name, "figures": figures}) + "\n")
        return ended_by(folder)

    if spread.led(decide) == AGAIN:
        train(replace(stage, name=AGAIN))


def ended_by(folder: Path) -> str:
    """The name of the stage whose weights everything goes on from."""
    ended = folder / ENDED
    return str(json.loads(ended.read_text())["stage"]) if ended.exists() else BASE


def wait_for_base(folder: Path, steps: int) -> None:
    """The other lane makes it, a checkpoint before its log's row; should it die, this process is ended with it."""
    while not (folder / ENDED).exists() or (found := kept(folder, ended_by(folder))) is None or found[1] != steps:
        time.sleep(1.0)
