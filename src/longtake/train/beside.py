"""train/beside: ranks and a model's parts in; how they hold them together, and the whole parts after that, out.

What `train align` and `train dpo` share. Ranks read different samples; no two share one. The language model is held as
the recipe says. Tower and projector are whole on each rank: a rank whose samples show nothing would not gather them
when the others do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtake.checkpoint import placement
from longtake.parallel.joining import joined
from longtake.train.recipes import refuse_uneven
from longtake.train.recomputing import recompute
from longtake.train.sharding import sharded, whole_language
from longtake.train.spread import Spread, heard, hold_of, spread_over

OF_RANKS = ("weights", "recompute")
"""Keys of a recipe that change nothing of what is learned; a training may go on with others."""


@contextmanager
def spread_of(recipe: Any, step: str, folder: Path, device: str) -> Iterator[tuple[Spread, str]]:
    """Join the other ranks, if there are any; the spread, and the device to load a model on.

    Args:
        recipe: of alignment or preferences.
        step: the recipe's key that says how much a step reads.
        device: as `checkpoint.placement` takes it.

    Raises:
        LongtakeError: `usage.bad_option` where ranks cannot share a step; `ranks.lost` if another rank has ended.
    """
    with joined(placement(device, "float32").device) as ranks:
        spread = spread_over(ranks, ring=1, hold=hold_of(recipe.weights, ranks, whole=recipe.lora is not None))
        refuse_uneven(recipe, step, ranks.size)
        with heard(spread, str(folder)):
            yield spread, device if ranks.group is None else str(ranks.device)


def held(parts: Mapping[str, nn.Module], learning: Collection[str], recipe: Any, spread: Spread) -> Spread:
    """Let ranks hold the language model as `spread` says, and layers be computed again if `recipe` says so."""
    if recipe.recompute:
        for name in {"language", *({"vision"} & set(learning))}:
            recompute(parts[name])
    spread = sharded([parts["language"]], spread, half=recipe.precision == "bfloat16")
    if spread.hold != "whole":
        # FSDP asks but once, at first, which numbers gradients are to be; where nothing learns then it never knows.
        parts["language"].requires_grad_(True)
        with torch.no_grad():
            spread.within(lambda: torch.zeros((), device=spread.ranks.device))
        parts["language"].requires_grad_(False)
    return spread


def whole_parts(parts: Mapping[str, nn.Module], learned: Collection[str], spread: Spread) -> dict[str, nn.Module]:
    """The parts as the leading rank can write them. Every rank calls it."""
    if "language" not in learned:
        return dict(parts)
    whole = whole_language(parts["language"], spread)
    return {**parts, **({"language": whole} if whole is not None else {})}


def told_of(recipe: Any) -> dict[str, Any]:
    """What a run's folder keeps of its recipe."""
    return {key: value for key, value in asdict(recipe).items() if key not in OF_RANKS}
