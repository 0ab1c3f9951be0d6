"""niah.identity: what a run's rows depend on, told so that another run is known from it. Knows no model.

A name may stay while weights, pictures or films change; so the bytes are hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake import parts
from longtake.niah import Grid, Trial
from longtake.niah.haystack import Source

VERSION = 1
"""Counted up where the same settings no longer make the same rows."""
MODEL_FILES = ("*config.json", "tokenizer*.json", "*.safetensors")
"""Of a model's folder, what its answers come from."""
_BLOCK_BYTES = 1 << 20


def settings_of(
    grid: Grid, trials: Sequence[Trial], haystack: dict[str, object], *, model: dict[str, object]
) -> dict[str, object]:
    """All that the rows of a run depend on, as JSON values."""
    return {
        "version": VERSION,
        "frames": list(grid.frames),
        "depths": list(grid.depths),
        "trials": len(trials),
        "needles": digest_of_trials(trials),
        **haystack,
        **model,
    }


def haystack_settings(chosen: Sequence[Source], *, every_frame: bool, seed: int) -> dict[str, object]:
    """Which frames of which files, in which order."""
    files = [
        {
            "name": Path(source.video.path).name,
            "sha256": digest_of_files([Path(source.video.path)]),
            "frames": len(source.numbers),
        }
        for source in chosen
    ]
    return {"haystack": files, "every_frame": every_frame, "seed": seed}


def model_settings(folder: Path, layout: Any, rope: Any = None, *, dtype: str) -> dict[str, object]:
    """Which weights, how frames become tokens, and how their positions are turned, if not as the weights' config tells.
    What only tells of a model (a card's figures) may change.
    """
    weights = digest_of_files(sorted(path for pattern in MODEL_FILES for path in folder.glob(pattern)))
    settings: dict[str, object] = {"weights": weights, "dtype": dtype, "layout": _told(layout)}
    return settings if rope is None else {**settings, "rope": _told(rope)}


def _told(part: Any) -> dict[str, object]:
    return {"part": f"{type(part).__module__}:{type(part).__qualname__}", **parts.options(part)}


def digest_of_trials(trials: Iterable[Trial]) -> str:
    """SHA-256 of names, questions, answers, depths and every picture."""
    digest = hashlib.sha256()
    for trial in trials:
        digest.update(repr((trial.name, trial.question, trial.answer)).encode("utf-8", "surrogatepass"))
        for insertion in trial.insertions:
            digest.update(repr((insertion.depth, insertion.beside, insertion.text)).encode())
            digest.update(digest_of_pictures(insertion.pictures).encode())
    return digest.hexdigest()


def digest_of_pictures(pictures: Iterable[NDArray[np.uint8]]) -> str:
    """SHA-256 of every picture's shape and bytes."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.shape).encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()


def digest_of_ids(ids_L: NDArray[np.int64]) -> str:
    """SHA-256 of token ids."""
    return hashlib.sha256(ids_L.astype("<i8").tobytes()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' names and bytes."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(repr(path.name).encode("utf-8", "surrogatepass"))
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
