"""checkpoint/files: a folder in, its config.json out; and how what is wrong with a folder is told. Opens no weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.checkpoint.hollow import hollow
from longtake.errors import ErrorCode, LongtakeError

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Where weights lie in several files, this one tells which tensor is in which."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
NAMED_AT_MOST = 5
"""Of each kind of fault so many are named; the rest are counted."""


def bad_checkpoint(path: Path, reason: str, advice: str) -> LongtakeError:
    """The refusal of a checkpoint."""
    return LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(path), reason, advice)


def refuse_any(
    path: Path,
    faults: Mapping[str, Sequence[str]],
    advice: str,
    *,
    lead: str = "tensors do not fit: ",
    code: ErrorCode = ErrorCode.MODEL_BAD_CHECKPOINT,
) -> None:
    """Refuse a checkpoint if it has any of `faults`: names (or sentences) by the kind of fault, after `lead`.

    Raises:
        LongtakeError: `code`, with the count of each kind and the first of its names.
    """
    told = []
    for kind, names in faults.items():
        more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
        if names:
            told.append(f"{len(names):,} {kind}: {', '.join(names[:NAMED_AT_MOST])}{more}")
    if told:
        raise LongtakeError(code, str(path), lead + "; ".join(told), advice)


def require_files(folder: Path, names: Iterable[str]) -> None:
    """Check that all of `names` are files of `folder`; shards and their index do for model.safetensors, and under
    `without_weights` nothing.

    Raises:
        LongtakeError: `model.bad_checkpoint`, naming all that are missing.
    """
    missing = [
        name
        for name in names
        if not (folder / name).is_file()
        and not (name == WEIGHTS and ((folder / INDEX).is_file() or hollow() is not None))
    ]
    if not missing:
        return
    advice = "copy the whole checkpoint"
    if WEIGHTS in missing and next(folder.glob("*.safetensors"), None):
        advice += f"; weights in several files want their {INDEX}"
    if WEIGHTS in missing and any(next(folder.glob(pattern), None) for pattern in PICKLES):
        advice += "; pickled weights are never opened, convert them to safetensors"
    raise bad_checkpoint(folder, f"has no {', '.join(missing)}", advice)


def read_config(folder: Path) -> dict[str, Any]:
    """The object of config.json.

    Raises:
        LongtakeError: `model.bad_checkpoint` if it cannot be read or is no JSON object.
    """
    return read_object(folder / CONFIG)


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        LongtakeError: `model.bad_checkpoint` if it cannot be read or is no JSON object.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return dict(read.items())
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = f"is not a JSON object: {error}"
        raise bad_checkpoint(path, reason, f"copy {path.name} from where the checkpoint came from") from error
