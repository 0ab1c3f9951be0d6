"""families: a checkpoint in, a model whose parts can be swapped out. What is peculiar to one release is on one page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from longtake.engines import Engine
from longtake.layouts import Layout, view_of
from longtake.prompt import ChatTemplate, Tokenizer
from longtake.samplers import Sampler
from longtake.vision import GridShape, VisionEncoder


@dataclass(frozen=True)
class Model:
    """Everything that turns a video and a question into an answer; swap a part with `dataclasses.replace`.

    Attributes:
        name: as the user asked for it.
        sampler, encoder, layout, template, tokenizer, engine: the parts, in the order in which data meets them.
        image_layout, image_template: instead of `layout` and `template`, for files of one frame.
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


SEE_CARD = "see its card"


@dataclass(frozen=True)
class Release:
    """A checkpoint that its makers have published, as far as it is known without having it.

    Attributes:
        name: on the hub, or of a bundled model.
        config: so much of its config.json as gives its networks their shapes; a tower that lies in a repository of its
            own is told here as `vision_config`.
        context: how many positions it was trained to read.
        frames: how many of a video it is shown by default.
        side: rows, and columns, of features in a frame.
        layout: of videos, by default.
        newline: whether it learned a vector that ends a row.
        licence: of the weights, as their card states it.
    """

    name: str
    config: Mapping[str, Any]
    context: int
    frames: int
    side: int
    layout: Layout
    newline: bool = False
    licence: str = SEE_CARD

    @property
    def tokens_a_frame(self) -> float:
        """Visual tokens of a video of `frames` frames, divided by their number."""
        pictures = math.ceil(self.frames / view_of(self.layout).frames)
        return self.layout.count(GridShape(pictures, self.side, self.side, self.newline)) / self.frames


def releases_of(family: Family) -> tuple[Release, ...]:
    """What a family says (`known` in its class) has been published of its kind; nothing where it says nothing."""
    known: Callable[[], tuple[Release, ...]] = getattr(family, "known", tuple)
    return known()


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

    def renamed(self, name: str) -> str | None:
        """`MODULE.TENSOR` of the tensor that checkpoints store as `name`; None for one that is left out on purpose."""
        ...

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`.
        """
        ...
