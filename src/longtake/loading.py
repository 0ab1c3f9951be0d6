"""loading: a model's name or folder in, the model out. Knows no family by name."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from longtake import parts
from longtake.checkpoint import CONFIG, read_config, require_files
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Family, Model

BUNDLED = Path(str(files("longtake"))) / "assets"
"""Checkpoints that ship in the package, one folder each."""


def bundled_names() -> list[str]:
    """The models that ship in the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def load(name: str = "nano", *, device: str = "auto", dtype: str = "auto") -> Model:
    """Load a model.

    Args:
        name: a bundled model's name, or a checkpoint's folder (`./nano` where the name would mean the bundled one).
        device: "auto", "cpu", "cuda", "cuda:1", ...
        dtype: "auto", "float32", "bfloat16" or "float16".

    Raises:
        LongtakeError: `model.not_found` if there is no such model or no family fits it; `model.bad_checkpoint` if its
            files are missing, damaged or do not fit each other; `usage.bad_option` for device and dtype.
    """
    folder = folder_of(name)
    require_files(folder, [CONFIG])
    config = read_config(folder)
    families: dict[str, Family] = {family: parts.find("families", family)() for family in parts.names("families")}
    for family in families.values():
        if family.fits(config):
            return family.load(folder, name=name, device=device, dtype=dtype)
    reason = f"is of no family that longtake knows: config.json has architectures {config.get('architectures')}"
    raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, reason, f"known families: {', '.join(families)}")


def folder_of(name: str) -> Path:
    """Where the checkpoint lies that `load` takes for `name`.

    Raises:
        LongtakeError: `model.not_found`.
    """
    folder = BUNDLED / name if name in bundled_names() else Path(os.path.expanduser(name))
    if not (name and folder.is_dir()):
        fits = " or ".join([*bundled_names(), "the folder of a checkpoint"])
        raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, name, "is neither a bundled model nor a folder", f"take {fits}")
    return folder
