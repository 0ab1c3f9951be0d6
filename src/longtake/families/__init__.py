"""families: a checkpoint in, a model whose parts can be swapped out. What is peculiar to one release is on one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from longtake.engines import Engine
from longtake.layouts import Layout
from longtake.prompt import ChatTemplate, Tokenizer
from longtake.samplers import Sampler
from longtake.vision import VisionEncoder


@dataclass(frozen=True)
class Model:
    """Everything that turns a video and a question into an answer; swap a part with `dataclasses.replace`.

    Attributes:
        name: as the user asked for it.
        sampler, encoder, layout, template, tokenizer, engine: the parts, in the order in which data meets them.
        image_layout, image_template: instead of `layout` and `template`, for files of one frame.
        image_encoder: instead of `encoder`, for the same; None where one sees both.
        several_layout: instead of `image_layout`, where there are several such files; None where that does not matter.
        beyond_trained_context: go on where a prompt is longer than the engine was trained to read.
    """

    name: str
    sampler: Sampler
    encoder: VisionEncoder
    layout: Layout
    image_layout: Layout
    template: ChatTemplate
    image_template: ChatTemplate
    tokenizer: Tokenizer
    engine: Engine
    beyond_trained_context: bool = False
    image_encoder: VisionEncoder | None = None
    several_layout: Layout | None = None


class Family(Protocol):
    """One kind of checkpoint: how to know it, how to load it."""

    def fits(self, config: dict[str, object]) -> bool:
        """Whether a checkpoint with this config.json is of this family. Its name is never looked at."""
        ...

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """The networks that config.json describes, by the prefix of their tensors' names, with weights of no meaning.

        Args:
            config: the object of config.json.
            folder: where it lies; some checkpoints name others, which lie beside them or on the hub.

        Raises:
            LongtakeError: `model.bad_checkpoint`.
            KeyError, TypeError, ValueError: `config` does not describe such networks.
        """
        ...

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """How many positions the language model was trained to read, or reads by the scaling that config.json tells.

        Args:
            config: the object of config.json.
            networks: what `networks` made of it.
        """
        ...

    def renamed(self, name: str) -> str | None:
        """`MODULE.TENSOR` of the tensor that checkpoints store as `name`; None for one that is left out on purpose."""
        ...

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`.
        """
        ...
