"""loading: a model's name or folder in, the model out. Knows no family by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch

from longtake import checkpoint, parts
from longtake.checkpoint import (
    CONFIG,
    INDEX,
    INT8,
    WEIGHTS,
    Origin,
    bad_checkpoint,
    read_config,
    require_files,
    weights_bytes,
    without_memory,
)
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Family, Model, Release, folders_of, releases_of
from longtake.networks import networks_in
from longtake.vision.openvino import OpenvinoTower

BUNDLED = Path(str(files("longtake"))) / "assets"
"""Checkpoints that ship in the package, one folder each."""
ADAPTER = "adapter_config.json"
"""What low-rank adapters are saved with (the package peft)."""


Tower = Literal["torch", "openvino", "openvino-int8"]
"""What computes a model's vision tower."""


def bundled_names() -> list[str]:
    """The models that ship in the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def load(name: str = "nano", *, device: str = "auto", dtype: str = "auto", tower: Tower = "torch") -> Model:
    """Load a model.

    Args:
        name: a bundled model's name, a checkpoint's folder (`./nano` where the name would mean the bundled one), or a
            model of the Hugging Face hub, like `lmms-lab/LongVA-7B`, which is downloaded if it is not here yet.
        device: "auto", "cpu", "cuda", "cuda:1", ..., or several, as `checkpoint.placement` takes them.
        dtype: "auto", "float32", "bfloat16", "float16" or "int8".
        tower: what computes the vision tower. "openvino", on the processor only, is faster than torch and exacter
            than its bfloat16; "openvino-int8" is faster again, with two to three times the error (benchmarks/tower.py).

    Raises:
        LongtakeError: `model.not_found` if there is no such model or no family fits it; `model.bad_checkpoint` if its
            files are missing, damaged or do not fit each other; `model.nonfinite` if a weight is no number;
            `usage.bad_option` for device, dtype and tower; `limit.memory` if the devices may not be given so much;
            `environment.missing` for several without accelerate, or without openvino; of the hub `network.unreachable`
            and `disk.write` too.
    """
    folder = folder_of(name)
    family, config = family_of(name, folder)
    model = family.load(folder, name=name, device=device, dtype=dtype)
    if tower != "torch":
        model = _with_tower(model, tower)
    folders = folders_of(family, config, folder)
    seeing = [encoder for encoder in (model.encoder, model.image_encoder) if encoder is not None]
    networks = [network for part in (*seeing, model.engine) for network in networks_in(part)]
    return replace(model, origin=Origin.of(folders, networks, int8=dtype == INT8, tower=tower))


def _with_tower(model: Model, tower: Tower) -> Model:
    make = cache(partial(OpenvinoTower, eight_bits=tower == "openvino-int8"))  # one tower may serve two encoders
    pictures = model.image_encoder and model.image_encoder.with_tower(make)
    return replace(model, encoder=model.encoder.with_tower(make), image_encoder=pictures)


@dataclass(frozen=True)
class Known:
    """A published checkpoint that a family knows.

    Attributes:
        family: its family's name.
        release: what is known of it.
        weights_bytes: what its weights take in bfloat16, by their shapes.
        here: whether it lies on this machine, wholly downloaded.
    """

    family: str
    release: Release
    weights_bytes: int
    here: bool


def known_models() -> Iterator[Known]:
    """What the families know to be published, one by one. No network is reached, no weights are read."""
    for name, family in _families().items():
        for release in releases_of(family):
            with without_memory():
                networks = family.networks(dict(release.config), folder=Path())
            yield Known(name, release, weights_bytes(networks, torch.bfloat16), _is_here(release.name))


def _is_here(name: str) -> bool:
    try:
        return bool(folder_of(name, fetch=False))
    except LongtakeError:
        return False


def folder_of(name: str, *, fetch: bool = True) -> Path:
    """Where the checkpoint lies that `load` takes for `name`; a model of the hub is downloaded if it is not here yet.

    Args:
        name: as `load` takes it.
        fetch: ask the hub; else only what has been downloaded before is found.

    Raises:
        LongtakeError: `model.not_found`; of the hub `network.unreachable` and `disk.write` too.
    """
    known = bundled_names()
    return BUNDLED / name if name in known else checkpoint.folder_of(name, fetch=fetch, also=known)


def family_of(name: str, folder: Path) -> tuple[Family, dict[str, Any]]:
    """The family of a checkpoint, and its config.json.

    Only config.json says it: code that a checkpoint brings along is not looked at.

    Raises:
        LongtakeError: `model.not_found` if no family fits; `model.bad_checkpoint` if there is no config.json.
    """
    if (folder / ADAPTER).is_file() and not any((folder / weights).is_file() for weights in (WEIGHTS, INDEX)):
        reason = f"is an adapter ({ADAPTER}) without the model that it adapts"
        raise bad_checkpoint(folder, reason, "merge it into its base model and save that as safetensors")
    require_files(folder, [CONFIG])
    config = read_config(folder)
    families = _families()
    for family in families.values():
        if family.fits(config):
            return family, config
    reason = f"is of no family that longtake knows: config.json has architectures {config.get('architectures')}"
    raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, f"known families: {', '.join(families)}")


def _families() -> dict[str, Family]:
    return {name: parts.find("families", name)() for name in parts.names("families")}
