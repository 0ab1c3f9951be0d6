"""costs.outlining: a model's name in; the model without its weights, as far as it is known here, out. Asks no network.

Where the small files of a checkpoint are here, everything but the weights is as `load` makes it. Where only its
config.json is, or it is a published one that a family knows, networks follow from the configuration and the rest from
what the family's releases have; words are then counted, not encoded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.checkpoint import (
    CONFIG,
    INT8,
    UNBUILT,
    Hollow,
    Placement,
    fill,
    placement,
    without_hub,
    without_memory,
    without_weights,
)
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Family, Model, Release, filming, releases_of
from longtake.loading import family_of, folder_of, load
from longtake.prompt import chatml
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import PixelRecipe

BYTES_A_TOKEN = 3
"""Of text whose tokenizer is not here: so many of English make a token, or a few more."""


@dataclass(frozen=True)
class Outline:
    """A model without its weights.

    Attributes:
        model: whose parts can be swapped like those of any other.
        made: by what its tensors were made.
        text_bytes: what its tokenizer's files have on disk.
        built_s: processor seconds that this took.
        apart: whether it would be on another device than the processor.
        dtype: what its large matrices would be kept as.
        notes: what is not known.
    """

    model: Model
    made: Hollow
    text_bytes: int
    built_s: float
    apart: bool
    dtype: str = ""
    notes: tuple[str, ...] = ()

    @property
    def weights_bytes(self) -> int:
        """What its weights would take in memory."""
        return self.made.weights_bytes[-1]

    @property
    def weights(self) -> int:
        """How many numbers they are."""
        return self.made.weights[-1]


def outline_of(name: str, *, device: str = "auto", dtype: str = "auto") -> Outline:
    """A model without its weights; a cuda device need not be there.

    Args:
        name, device, dtype: as `loading.load` takes them, but one device only.

    Raises:
        LongtakeError: as `load`; `model.not_found` for a model of the hub that is not here and that no family knows.
    """
    begun = time.process_time()
    notes: tuple[str, ...] = ()
    with without_hub(), without_weights() as made:
        where = placement(device, dtype)
        try:
            model, folder = load(name, device=device, dtype=dtype), folder_of(name, fetch=False)
        except LongtakeError as error:
            if error.code not in (ErrorCode.MODEL_NOT_FOUND, ErrorCode.MODEL_BAD_CHECKPOINT):
                raise
            alone = _known_or_config(name, error)
            model, folder, notes = _from_config(name, *alone, where), None, (_note(alone[1]),)
    text_bytes = 0 if folder is None else sum(_size(folder, file) for file in TEXT_FILES)
    took_s = time.process_time() - begun
    language: Any = model.engine
    numbers = language.language.lm_head.weight.dtype  # a small model may read `auto` otherwise than others
    kept = INT8 if where.int8 else str(numbers).removeprefix("torch.")
    return Outline(model, made, text_bytes, took_s, where.device.type != "cpu", kept, notes)


TEXT_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model")


def _size(folder: Path, file: str) -> int:
    return (folder / file).stat().st_size if (folder / file).is_file() else 0


def _note(release: Release) -> str:
    return f"told from its config.json alone: layout and frames are those of {release.name}, words are estimated"


def _known_or_config(name: str, error: LongtakeError) -> tuple[Family, Release, Path]:
    """The family of what is not wholly here, a release that stands for it, and its folder.

    Raises:
        LongtakeError: `error`, where nothing is known of it.
    """
    if Path(name).is_dir() and (Path(name) / CONFIG).is_file():
        family, config = family_of(name, Path(name))
        for release in releases_of(family):
            return family, replace(release, config=config), Path(name)
        raise error
    for family_name in parts.names("families"):
        family = parts.find("families", family_name)()
        for release in releases_of(family):
            if release.name == name:
                return family, release, Path()
    if error.code is not ErrorCode.MODEL_NOT_FOUND:
        raise error
    advice = f"fetch its small files (hf download {name} --include '*.json' --local-dir DIR) and plan for --model DIR"
    raise LongtakeError(error.code, error.subject, f"{error.reason}, and no family knows its shapes", advice) from error


def _from_config(name: str, family: Family, release: Release, folder: Path, where: Placement) -> Model:
    """A model of the shapes that a configuration tells, and the rest as in the release."""
    config = dict(release.config)
    try:
        with without_memory():
            networks = family.networks(config, folder=folder)
        context = release.context if folder == Path() else family.trained_context(config, networks)
    except UNBUILT as error:
        reason = f"does not describe such a model: {type(error).__name__} {error}"
        advice = "take the config.json that belongs to the weights"
        raise LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(folder / CONFIG), reason, advice) from error
    fill(networks, {}, where, renamed=family.renamed, folder=folder)
    for network in networks.values():
        network.eval()
    template = chatml()
    pictures = _encoder(networks, release)
    return Model(
        name=name,
        sampler=parts.find("samplers", "uniform")(frames=release.frames),
        encoder=filming(family, pictures, config),
        layout=release.layout,
        image_layout=release.layout,
        template=template,
        image_template=template,
        tokenizer=Guessing(),
        engine=LocalEngine(folding(networks["language"]), (), context),
        image_encoder=pictures,
    )


def _encoder(networks: Mapping[str, nn.Module], release: Release) -> Encoder:
    seeing: Any = next(network for network in networks.values() if hasattr(network, "side_px"))
    newline: Any = networks.get("newline")
    newline_D = None if newline is None or not release.newline else newline.vector_D
    patch_px = seeing.side_px // release.side
    return Encoder(
        PixelRecipe(seeing.side_px),
        seeing,
        networks["projector"],
        getattr(seeing, "patch_px", patch_px),
        newline_D=newline_D,
        class_token=release.class_token,
    )


@dataclass(frozen=True)
class Guessing:
    """Stands for a tokenizer that is not here: says how many ids a text would have, roughly, but not which."""

    vocabulary_size: int = 1
    control_ids: frozenset[int] = frozenset()
    beginning_ids: tuple[int, ...] = ()

    def encode(self, text: str, *, inside: bool = False) -> list[int]:
        """So many zeros."""
        return [0] * math.ceil(len(text.encode("utf-8", "replace")) / BYTES_A_TOKEN)

    def control(self, token: str) -> int:
        """Zero for any."""
        return 0

    def decode(self, token_ids: Sequence[int]) -> str:
        """Nothing can be said."""
        raise ValueError("a model without weights says nothing")
