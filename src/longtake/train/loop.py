"""train/loop: a stage in, its trained module out. One small loop for every stage; knows nothing of what is learned.

Every batch draws its data from (seed, stage, step, its number in the step) alone. So a run which was stopped and goes
on from its last checkpoint takes the very steps that it would have taken, and several ranks share a step's batches.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from longtake.train.saving import Optimisers, load_module, restore, save
from longtake.train.sharding import clip
from longtake.train.spread import ONE, Spread

__all__ = [
    "Manner",
    "Optimisers",
    "Rates",
    "Stage",
    "drawing",
    "gradients",
    "load_module",
    "logged",
    "muon_and_adam",
    "run",
    "spent_s",
]

LOG_EVERY = 20
SAVE_EVERY = 200


@dataclass(frozen=True)
class Rates:
    """Learning rates: Muon for hidden matrices, AdamW for everything else; warm-up, then linear to nothing.

    Attributes:
        matrices: of Muon (0 leaves the matrices as they are).
        others: of AdamW: embeddings, convolutions, biases, norms.
        warm_up_steps: from nothing to full.
        hold: share of the steps before the rates begin to fall.
    """

    matrices: float
    others: float
    warm_up_steps: int = 20
    hold: float = 0.4

    def share(self, step: int, steps: int) -> float:
        """What part of the full rates step `step` of `steps` takes."""
        return min(1.0, (step + 1) / self.warm_up_steps, (1 - step / steps) / (1 - self.hold))


class Stage(Protocol):
    """Something that is learned in a number of steps."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def rates(self) -> Rates: ...
    @property
    def module(self) -> nn.Module:
        """All that is trained, and nothing else."""
        ...

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The losses of one batch, drawn with `rng`: one number of each target that this rank has, or one of the batch
        where that counts as one target.
        """
        ...

    def figures(self) -> dict[str, float]:
        """Shares of held-out things that are right now."""
        ...


def run(stage: Stage, folder: Path, *, seed: int, manner: Manner | None = None) -> None:
    """Train `stage`, going on from its last checkpoint in `folder`; log to `folder`/NAME.jsonl.

    The finished stage's checkpoint stays, so that running it again costs nothing.

    Raises:
        FloatingPointError: the loss is not finite.
        KeyboardInterrupt: `manner.after_step` wanted to stop; the checkpoint is of that step.
    """
    manner = manner or Manner()
    spread, place = manner.spread, folder / stage.name
    optimisers = manner.optimisers(stage)
    began = restore(place, stage.module, optimisers, spread)
    stage.module.train()
    started, losses = time.monotonic(), list[float]()
    for step in range(began, stage.steps):
        manner.before_step(step)
        _set_rates(optimisers, stage.rates.share(step, stage.steps))
        stage.module.zero_grad()
        loss = _take_step(stage, optimisers, manner, seed=seed, step=step)
        losses.append(loss)
        done = step + 1
        last = done == stage.steps
        stop = spread.any(manner.after_step(done, loss))
        # Also where it stops: who goes on knows nothing of the steps since the last row.
        if done % manner.log_every == 0 or last or stop:
            row: dict[str, Any] = {"step": done, "steps": stage.steps, "loss": round(float(np.mean(losses)), 4)}
            row["seconds"] = round(time.monotonic() - started, 1)
            row |= manner.told()
            losses.clear()
            if done % manner.save_every == 0 or last:
                row |= _figures(stage)
            if done % manner.save_every == 0 or last or stop:
                save(place, stage.module, optimisers, step=done, spread=spread)
            if spread.leads:
                with (folder / f"{stage.name}.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
        if stop and not last:
            raise KeyboardInterrupt
    stage.module.eval()


def _set_rates(optimisers: Optimisers, share: float) -> None:
    for optimiser, full in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = full * share


def gradients(stage: Stage, manner: Manner, *, seed: int, step: int) -> float:
    """Add to each parameter the gradient of the mean loss of a step's targets, over all batches and ranks; that mean.

    Every rank calls it.
    """
    spread = manner.spread
    own = spread.own(manner.batches)
    lost = targets = unit = 0.0
    for batch in own:
        torch.manual_seed(int(np.random.SeedSequence(_place(seed, stage.name, step, batch)).generate_state(1)[0]))
        losses = stage.loss(drawing(seed, stage.name, step, batch))
        # What a batch counts by on average, so that numbers keep their size; which it is does not matter in the end.
        unit = unit or max(1.0, spread.summed(losses.numel())[0] / spread.ranks.size)
        targets += losses.numel()
        loss = losses.sum() / unit / len(own)
        loss.backward()
        lost += loss.item()
    lost, targets = spread.summed(lost, targets)
    spread.average(stage.module)
    # Of which the gradients are: the mean over ranks of each one's sum / unit / batches.
    share = spread.ranks.size * len(own) * unit / max(1.0, targets)
    if share != 1.0:
        for parameter in stage.module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(share)
    return lost / spread.ranks.size * share


def drawing(seed: int, name: str, step: int, batch: int = 0) -> np.random.Generator:
    """What a batch of a step draws with, whoever reads it."""
    return np.random.default_rng(_place(seed, name, step, batch))


def _place(seed: int, name: str, step: int, batch: int) -> list[int]:
    # A step's first batch has what steps of one batch always had.
    return [seed, zlib.crc32(name.encode()), step, *([batch] if batch else [])]


def _take_step(stage: Stage, optimisers: Optimisers, manner: Manner, *, seed: int, step: int) -> float:
    """One step; returns its loss."""
    loss = gradients(stage, manner, seed=seed, step=step)
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss of stage {stage.name} is {loss} at step {step}")
    # Only of what learns: where a rate is nothing there are gradients too.
    learning = [p for optimiser, _ in optimisers for group in optimiser.param_groups for p in group["params"]]
    if not math.isfinite(clip(learning, 1.0)):
        raise FloatingPointError(
            f"a gradient of stage {stage.name} is not finite at step {step}; its loss is {loss:.4g}"
        )
    for optimiser, _ in optimisers:
        optimiser.step()
    return loss


def _figures(stage: Stage) -> dict[str, float]:
    stage.module.eval()
    figures = {name: round(share, 4) for name, share in stage.figures().items()}
    stage.module.train()
    return figures


def logged(folder: Path, name: str) -> dict[str, Any]:
    """The newest whole row of stage `name`'s log, which another process may be writing; empty before its first."""
    log = folder / f"{name}.jsonl"
    whole = log.read_text().rpartition("\n")[0] if log.exists() else ""
    newest: dict[str, Any] = json.loads(whole.splitlines()[-1]) if whole else {}
    return newest


def spent_s(folder: Path, name: str) -> float:
    """Wall time of stage `name` by its log, in which the clock begins anew with every new start."""
    clock = [json.loads(line)["seconds"] for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return float(sum(now for now, then in zip(clock, [*clock[1:], 0.0], strict=True) if then < now))


def muon_and_adam(stage: Stage) -> Optimisers:
    """Muon for hidden matrices, AdamW for everything else, at the stage's rates."""
    learning = [(name, p) for name, p in stage.module.named_parameters() if p.requires_grad]
    matrices = [p for name, p in learning if _is_matrix(name, p)]
    others = [p for name, p in learning if not _is_matrix(name, p)]
    found: Optimisers = []
    if matrices and stage.rates.matrices:
        found.append((torch.optim.Muon(matrices, lr=0.0, weight_decay=0.0), stage.rates.matrices))
    if others and stage.rates.others:
        found.append((torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.01), stage.rates.others))
    return found


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and "embed" not in name and "place" not in name and "labels" not in name


@dataclass(frozen=True)
class Manner:
    """How a stage is run, beside what it says itself.

    Attributes:
        optimisers: makes the optimisers of a stage, each with its full rate.
        batches: so many make the gradient of one step, on all ranks together.
        log_every: steps to a row of the log.
        save_every: steps to a checkpoint; a multiple of `log_every`.
        before_step: hears the number of the step whose batches are drawn next.
        after_step: hears the steps done and the loss; true asks for a checkpoint and an end here.
        told: more to write into a row of the log; every rank is asked.
        spread: of the stage over ranks.
    """

    optimisers: Callable[[Stage], Optimisers] = muon_and_adam
    batches: int = 1
    log_every: int = LOG_EVERY
    save_every: int = SAVE_EVERY
    before_step: Callable[[int], None] = lambda step: None
    after_step: Callable[[int, float], bool] = lambda done, loss: False
    told: Callable[[], dict[str, Any]] = dict
    spread: Spread = ONE

    def __post_init__(self) -> None:
        if min(self.batches, self.log_every, self.save_every) < 1 or self.save_every % self.log_every:
            counts = f"{self.batches} batches, log every {self.log_every}, save every {self.save_every}"
            raise ValueError(f"{counts}; want at least 1 each, and save_every a multiple of log_every")
