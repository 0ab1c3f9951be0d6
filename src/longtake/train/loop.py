"""train/loop: a stage in, its trained module out. One small loop for every stage; knows nothing of what is learned.

Every step draws its data from (seed, stage, step) alone, so that a run which was stopped and goes on from its last
checkpoint takes the very steps that it would have taken.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

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
        """The loss of one batch, drawn with `rng`."""
        ...

    def figures(self) -> dict[str, float]:
        """Shares of held-out things that are right now."""
        ...


Optimisers = list[tuple[torch.optim.Optimizer, float]]
"""Each with its full learning rate."""


def run(stage: Stage, folder: Path, *, seed: int, manner: Manner | None = None) -> None:
    """Train `stage`, going on from its last checkpoint in `folder`; log to `folder`/NAME.jsonl.

    The finished stage's checkpoint stays, so that running it again costs nothing.

    Raises:
        FloatingPointError: the loss is not finite.
        KeyboardInterrupt: `manner.after_step` wanted to stop; the checkpoint is of that step.
    """
    manner = manner or Manner()
    optimisers = manner.optimisers(stage)
    state = folder / f"{stage.name}.pt"
    began = _restore(state, stage, optimisers) if state.exists() else 0
    log_path = folder / f"{stage.name}.jsonl"
    stage.module.train()
    started, losses = time.monotonic(), list[float]()
    for step in range(began, stage.steps):
        manner.before_step(step)
        _set_rates(optimisers, stage.rates.share(step, stage.steps))
        number = zlib.crc32(stage.name.encode())
        torch.manual_seed(int(np.random.SeedSequence([seed, number, step]).generate_state(1)[0]))
        rng = np.random.default_rng([seed, number, step])
        loss = _take_step(stage, optimisers, rng, step=step, batches=manner.batches)
        losses.append(loss)
        done = step + 1
        last = done == stage.steps
        stop = manner.after_step(done, loss)
        # Also where it stops: who goes on knows nothing of the steps since the last row.
        if done % manner.log_every == 0 or last or stop:
            row: dict[str, Any] = {"step": done, "steps": stage.steps, "loss": round(float(np.mean(losses)), 4)}
            row["seconds"] = round(time.monotonic() - started, 1)
            row |= manner.told()
            losses.clear()
            if done % manner.save_every == 0 or last:
                row |= _figures(stage)
            if done % manner.save_every == 0 or last or stop:
                _save(state, stage, optimisers, done)
            with log_path.open("a") as log:
                log.write(json.dumps(row) + "\n")
        if stop and not last:
            raise KeyboardInterrupt
    stage.module.eval()


def _set_rates(optimisers: Optimisers, share: float) -> None:
    for optimiser, full in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = full * share
        optimiser.zero_grad()


def _take_step(stage: Stage, optimisers: Optimisers, rng: np.random.Generator, *, step: int, batches: int) -> float:
    """One step on the mean gradient of `batches` batches; returns their mean loss."""
    lost = 0.0
    for _ in range(batches):
        loss = stage.loss(rng) / batches
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of stage {stage.name} is {loss.item()} at step {step}")
        loss.backward()
        lost += loss.item()
    nn.utils.clip_grad_norm_(stage.module.parameters(), 1.0)
    for optimiser, _ in optimisers:
        optimiser.step()
    return lost


def _figures(stage: Stage) -> dict[str, float]:
    stage.module.eval()
    figures = {name: round(share, 4) for name, share in stage.figures().items()}
    stage.module.train()
    return figures


def load_module(folder: Path, name: str, module: nn.Module) -> None:
    """Give `module` the weights that stage `name` ended with."""
    module.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True)["module"])


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
        batches: so many make the gradient of one step.
        log_every: steps to a row of the log.
        save_every: steps to a checkpoint; a multiple of `log_every`.
        before_step: hears the number of the step whose batches are drawn next.
        after_step: hears the steps done and the loss; true asks for a checkpoint and an end here.
        told: more to write into a row of the log.
    """

    optimisers: Callable[[Stage], Optimisers] = muon_and_adam
    batches: int = 1
    log_every: int = LOG_EVERY
    save_every: int = SAVE_EVERY
    before_step: Callable[[int], None] = lambda step: None
    after_step: Callable[[int, float], bool] = lambda done, loss: False
    told: Callable[[], dict[str, Any]] = dict

    def __post_init__(self) -> None:
        if min(self.batches, self.log_every, self.save_every) < 1 or self.save_every % self.log_every:
            counts = f"{self.batches} batches, log every {self.log_every}, save every {self.save_every}"
            raise ValueError(f"{counts}; want at least 1 each, and save_every a multiple of log_every")


def _save(path: Path, stage: Stage, optimisers: Optimisers, step: int) -> None:
    partial = path.with_suffix(".partial")
    optimiser_states = [optimiser.state_dict() for optimiser, _ in optimisers]
    torch.save({"module": stage.module.state_dict(), "optimisers": optimiser_states, "step": step}, partial)
    os.replace(partial, path)


def _restore(path: Path, stage: Stage, optimisers: Optimisers) -> int:
    saved = torch.load(path, weights_only=True)
    stage.module.load_state_dict(saved["module"])
    for (optimiser, _), state in zip(optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    return int(saved["step"])
