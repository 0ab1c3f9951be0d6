"""loading: a model's name or folder in, the model out. Knows no family by name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from longtake import checkpoint, parts
from longtake.checkpoint import CONFIG, INDEX, WEIGHTS, bad_checkpoint, read_config, require_files
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Family, Model
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
        device: "auto", "cpu", "cuda", "cuda:1", ...
        dtype: "auto", "float32", "bfloat16" or "float16".
        tower: what computes the vision tower. "openvino", on the processor only, is faster than torch and exacter
            than its bfloat16; "openvino-int8" is faster again, with two to three times the error (benchmarks/tower.py).

    Raises:
        LongtakeError: `model.not_found` if there is no such model or no family fits it; `model.bad_checkpoint` if its
            files are missing, damaged or do not fit each other; `usage.bad_option` for device, dtype and tower;
            `environment.missing` without openvino; of the hub `network.unreachable` and `disk.write` too.
    """
    folder = folder_of(name)
    family, _ = family_of(name, folder)
    model = family.load(folder, name=name, device=device, dtype=dtype)
    if tower == "torch":
        return model
    make = partial(OpenvinoTower, eight_bits=tower == "openvino-int8")
    return replace(model, encoder=model.encoder.with_tower(make))


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
    families: dict[str, Family] = {family: parts.find("families", family)() for family in parts.names("families")}
    for family in families.values():
        if family.fits(config):
            return family, config
    reason = f"is of no family that longtake knows: config.json has architectures {config.get('architectures')}"
    raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, f"known families: {', '.join(families)}")
