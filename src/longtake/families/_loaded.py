"""families._loaded: a family and a checkpoint's tensors in, filled networks out. Shared by families; none itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtake.checkpoint import CONFIG, UNBUILT, Placement, StoredTensor, bad_checkpoint, fill, without_memory
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.engines.turning import trained_context_of
from longtake.errors import LongtakeError
from longtake.families import Family
from longtake.prompt import ChatTemplate, Tokenizer
from longtake.vision.pixels import Fit, PixelRecipe

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "vocab_size",
)
"""Some of these torch takes without a word, and fails later."""


class Newline(nn.Module):
    """The vector that a model learned to read at the end of a row of a picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector_D = nn.Parameter(torch.zeros(width))


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, loaded.

    Attributes:
        config: the object of config.json.
        networks: by name: projector, language, newline where the model has one, and one or several towers.
    """

    config: Mapping[str, Any]
    networks: Mapping[str, nn.Module]

    @property
    def newline_D(self) -> torch.Tensor | None:
        """The vector at the end of a row of a picture, where the model has one."""
        newline: Any = self.networks.get("newline")
        return None if newline is None else newline.vector_D

    def engine(self, tokenizer: Tokenizer, template: ChatTemplate) -> LocalEngine:
        """The language model; it says nothing that the tokenizer has no word for."""
        language: Any = self.networks["language"]
        stop_ids = tuple(tokenizer.control(token) for token in template.stop)
        reads = trained_context(self.config, self.networks)
        return LocalEngine(folding(language), stop_ids, reads, vocabulary_size=tokenizer.vocabulary_size)


def trained_context(config: Mapping[str, Any], networks: Mapping[str, nn.Module]) -> int:
    """How many positions are read: as config.json tells of the language model or of the tokenizer, if that is more."""
    language: Any = networks["language"]
    return max(trained_context_of(language.config), int(config.get("tokenizer_model_max_length") or 0))


def refuse_sizeless(told: Mapping[str, Any]) -> None:
    """Raises ValueError where a network's configuration has nothing of something."""
    for name in SIZES:
        if isinstance(told.get(name), int) and told[name] < 1:
            raise ValueError(f"{name} is {told[name]}; want 1 or more")


def load_networks(
    family: Family, folder: Path, where: Placement, config: dict[str, Any], stored: Mapping[str, StoredTensor]
) -> Loaded:
    """Build what config.json describes and fill it strictly.

    Raises:
        LongtakeError: `model.bad_checkpoint`, `model.not_found`, `model.nonfinite`.
    """
    try:
        with without_memory():
            networks = family.networks(config, folder=folder)
        if family.trained_context(config, networks) < 1:
            raise ValueError("the language model reads no position")
    except UNBUILT as error:
        raise no_such_model(folder / CONFIG, error) from error
    fill(networks, stored, where, renamed=family.renamed, folder=folder)
    for module in networks.values():
        module.eval().requires_grad_(False)
    return Loaded(config, networks)


def no_such_model(path: Path, error: Exception) -> LongtakeError:
    """The refusal of a configuration that describes no model of the family."""
    reason = f"does not describe such a model: {type(error).__name__} {error}"
    return bad_checkpoint(path, reason, f"take the {path.name} that belongs to the weights")


def recipe_of(pixels: Mapping[str, Any], side_px: int, fit: Fit) -> PixelRecipe:
    """The preprocessing that a preprocessor_config.json tells, for a tower that reads pictures of `side_px`."""
    return PixelRecipe(side_px, fit=fit, mean_3=tuple(pixels["image_mean"]), std_3=tuple(pixels["image_std"]))
