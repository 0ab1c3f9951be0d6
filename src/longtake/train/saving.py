"""train/saving: a stage's module and optimisers in, its checkpoint on disk out, and back. Knows nothing of the stage.

One process keeps one file, NAME.pt. Several ranks keep a folder, NAME-STEP.ranks (torch's distributed checkpoint), to
which each writes its part. Any number of them reads either. Both come into being whole or not at all, and the last good
one stays until the next is there.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as read
from torch.distributed.checkpoint.state_dict_saver import save as write

from longtake.checkpoint import bad_checkpoint
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.train.sharding import like
from longtake.train.spread import ONE, Spread

Optimisers = list[tuple[torch.optim.Optimizer, float]]
"""Each with its full learning rate."""

PARTIAL = ".partial"


def kept(folder: Path, name: str) -> tuple[Path, int] | None:
    """The last checkpoint of stage `name` in `folder`, and the steps that it holds; None before its first."""
    found = [(path, step) for path, step in _folders(folder, name)]
    whole = folder / f"{name}.pt"
    if whole.exists():
        found.append((whole, int(torch.load(whole, weights_only=True, mmap=True)["step"])))
    return max(found, key=lambda one: one[1], default=None)


def save(path: Path, module: nn.Module, optimisers: Optimisers, *, step: int, spread: Spread = ONE) -> None:
    """Keep what stage `path.name` of folder `path.parent` has come to. Every rank calls it.

    Raises:
        LongtakeError: `disk.write`; what could not be written whole leaves what was there before.
    """
    with _refused(str(path.parent)):
        _save(path, module, optimisers, step=step, spread=spread)


def _save(path: Path, module: nn.Module, optimisers: Optimisers, *, step: int, spread: Spread) -> None:
    folder, name = path.parent, path.name
    alone = spread.ranks.size == 1 and spread.hold == "whole"
    if alone:
        partial = folder / f"{name}{PARTIAL}"
        states = [optimiser.state_dict() for optimiser, _ in optimisers]
        torch.save({"module": module.state_dict(), "optimisers": states, "step": step}, partial)
        os.replace(partial, folder / f"{name}.pt")
    else:
        # A process that was killed may have left a part of one.
        partial = folder / f"{name}-{step}.ranks{PARTIAL}"
        spread.led(lambda: shutil.rmtree(partial, ignore_errors=True))
        write(_state(module, optimisers), checkpoint_id=partial, process_group=spread.ranks.group)
        spread.led(lambda: _rename(partial, folder / f"{name}-{step}.ranks"))
    if spread.leads:
        _drop_others(folder, name, step, alone=alone)


def restore(path: Path, module: nn.Module, optimisers: Optimisers, spread: Spread = ONE) -> int:
    """Give module and optimisers what the last checkpoint holds; the steps it holds, 0 before the first.

    Every rank calls it.

    Raises:
        LongtakeError: `model.bad_checkpoint` for one of several ranks that cannot be read.
    """
    found = spread.led(lambda: kept(path.parent, path.name))
    if found is None:
        return 0
    place, step = found
    if place.suffix == ".pt":
        _restore_whole(place, module, optimisers)
    else:
        try:
            _restore_together(place, module, optimisers)
        except CheckpointException as error:
            advice = "remove it, and the stage begins anew"
            raise bad_checkpoint(place, f"cannot be read: {_why(error)}", advice) from error
    return step


def load_module(folder: Path, name: str, module: nn.Module) -> None:
    """Give `module` the weights that stage `name` ended with.

    Raises:
        FileNotFoundError: there is no checkpoint of it.
    """
    found = kept(folder, name)
    if found is None:
        raise FileNotFoundError(f"no checkpoint of stage {name} in {folder}")
    if found[0].suffix == ".pt":
        module.load_state_dict(torch.load(found[0], weights_only=True)["module"])
        return
    state = {"module": module.state_dict()}
    with _one_process():
        read(state, checkpoint_id=found[0], no_dist=True)
    module.load_state_dict(state["module"])


def _rename(partial: Path, whole: Path) -> None:
    # It may be there: one that was killed right after the same step.
    shutil.rmtree(whole, ignore_errors=True)
    partial.rename(whole)


def _drop_others(folder: Path, name: str, step: int, *, alone: bool) -> None:
    """Remove all checkpoints but the one just made."""
    for path, other in _folders(folder, name):
        if alone or other != step:
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{name}-*.ranks{PARTIAL}"):
        shutil.rmtree(path, ignore_errors=True)
    if not alone:
        (folder / f"{name}.pt").unlink(missing_ok=True)


def _folders(folder: Path, name: str) -> Iterator[tuple[Path, int]]:
    for path in folder.glob(f"{name}-*.ranks"):
        numbered = re.fullmatch(rf"{re.escape(name)}-(\d+)\.ranks", path.name)
        if numbered:
            yield path, int(numbered[1])


def _state(module: nn.Module, optimisers: Optimisers) -> dict[str, Any]:
    """By the names of parameters, so that it does not depend on who holds which part; optimisers' zeros included."""
    weights, states = get_state_dict(module, [optimiser for optimiser, _ in optimisers])
    return {"module": weights, "optimisers": states}


def _restore_together(place: Path, module: nn.Module, optimisers: Optimisers) -> None:
    state = _state(module, optimisers)
    weights, moments = {"module": state["module"]}, {"optimisers": state["optimisers"]}
    with _one_process():
        how: dict[str, Any] = {"checkpoint_id": place, "no_dist": not torch.distributed.is_initialized()}
        read(weights, **how)
        # What never got a gradient (a tower's layers behind the one that is read off) has no moments, and gets none.
        there = FileSystemReader(place).read_metadata().state_dict_metadata
        found = {
            name: values
            for name, values in moments["optimisers"]["state"].items()
            if any(f"optimisers.state.{name}.{key}" in there for key in values)
        }
        moments["optimisers"]["state"] = found
        read(moments, **how)
    set_state_dict(
        module,
        [optimiser for optimiser, _ in optimisers],
        model_state_dict=weights["module"],
        optim_state_dict=moments["optimisers"],
        options=StateDictOptions(strict=False),
    )


def _restore_whole(place: Path, module: nn.Module, optimisers: Optimisers) -> None:
    saved = torch.load(place, weights_only=True, map_location="cpu", mmap=True)
    now = module.state_dict()
    module.load_state_dict(
        {key: like(tensor, now[key]) if key in now else tensor for key, tensor in saved["module"].items()}
    )
    for (optimiser, _), state in zip(optimisers, saved["optimisers"], strict=True):
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        held = {
            number: {key: like(value, parameters[number]) for key, value in values.items()}
            for number, values in state["state"].items()
        }
        optimiser.load_state_dict({**state, "state": held})


@contextmanager
def _refused(subject: str) -> Iterator[None]:
    """Tells as `disk.write` what torch makes of a disk that refuses: of one process, or of any of several."""
    advice = "choose a place with room where you may write"
    try:
        with writing(subject):
            yield
    except CheckpointException as error:
        raise LongtakeError(ErrorCode.DISK_WRITE, subject, _why(error), advice) from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "inline_container" not in str(error):
            raise
        raise LongtakeError(ErrorCode.DISK_WRITE, subject, "cannot be written whole", advice) from error


def _why(error: CheckpointException) -> str:
    """What the first rank that failed says."""
    first, _ = next(iter(error.failures.values()))
    return " ".join(str(first).split())[:200] or type(first).__name__


@contextmanager
def _one_process() -> Iterator[None]:
    with warnings.catch_warnings():
        # It warns of what is wanted here: to read alone.
        warnings.filterwarnings("ignore", message="torch.distributed is ")
        yield
