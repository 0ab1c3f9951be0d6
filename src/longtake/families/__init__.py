"""families: a checkpoint in, a model whose parts can be swapped out. What is peculiar to one release is on one page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from longtake.checkpoint import Origin
from longtake.engines import Engine
from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Layout, view_of
from longtake.prompt import ChatTemplate, Control, Tokenizer
from longtake.samplers import Sampler
from longtake.store import Store
from longtake.vision import GridShape, VisionEncoder


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
        caption_prompt: what this model is asked when it is to say in words what it sees.
        origin: the checkpoint that it was loaded from; None for a model that was put together by hand.
        store: where what it makes of videos is kept and found again; None: nowhere.
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
    caption_prompt: str = "Describe what is shown, in one sentence."
    origin: Origin | None = field(default=None, repr=False)
    store: Store | None = None

    def with_template(self, template: ChatTemplate, *, name: str) -> Model:
        """The same model with another template, for videos and for pictures; what ended its answers still does.

        Args:
            template: whose control tokens the model must have; that which ends an answer may be missing.
            name: for the refusal.

        Raises:
            LongtakeError: `usage.bad_option` if the tokenizer lacks a control token of the template.
        """
        written = (*template.opening, *template.between, *template.closing, *template.later)
        controls = dict.fromkeys(segment.token for segment in written if isinstance(segment, Control))
        lacking = [token for token in controls if not knows(self.tokenizer, token)]
        if lacking:
            reason = f"this model's tokenizer has no {' and no '.join(lacking)}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"template {name}", reason, "take a template of its kind")
        stops = [self.tokenizer.control(token) for token in template.stop if knows(self.tokenizer, token)]
        engine = self.engine.stopping_at(stops)
        return replace(self, template=template, image_template=template, engine=engine)


def knows(tokenizer: Tokenizer, token: str) -> bool:
    """Whether a tokenizer has a control token of that spelling."""
    try:
        tokenizer.control(token)
    except LongtakeError:
        return False
    return True


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
        class_token: whether it reads the tower's class token of each frame.
        licence: of the weights, as their card states it.
    """

    name: str
    config: Mapping[str, Any]
    context: int
    frames: int
    side: int
    layout: Layout
    newline: bool = False
    class_token: bool = False
    licence: str = SEE_CARD

    @property
    def tokens_a_frame(self) -> float:
        """Visual tokens of a video of `frames` frames, divided by their number."""
        pictures = math.ceil(self.frames / view_of(self.layout).frames)
        shape = GridShape(pictures, self.side, self.side, self.newline, class_token=self.class_token)
        return self.layout.count(shape) / self.frames


def releases_of(family: Family) -> tuple[Release, ...]:
    """What a family says (`known` in its class) has been published of its kind; nothing where it says nothing."""
    known: Callable[[], tuple[Release, ...]] = getattr(family, "known", tuple)
    return known()


def filming(family: Family, encoder: VisionEncoder, config: dict[str, Any]) -> VisionEncoder:
    """What videos are seen with, where that is not what pictures are seen with: as a family says (`filming` in its
    class) of the encoder for pictures.
    """
    told: Callable[[VisionEncoder, dict[str, Any]], VisionEncoder] | None = getattr(family, "filming", None)
    return encoder if told is None else told(encoder, config)


def folders_of(family: Family, config: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    """The folders that a checkpoint is read from: its own, and behind it those that a family says (`folders` in its
    class) it names of others.

    Raises:
        LongtakeError: `model.not_found` if there is no such folder.
    """
    named: Callable[[dict[str, Any], Path], tuple[Path, ...]] | None = getattr(family, "folders", None)
    return (folder, *(named(config, folder) if named else ()))


def spelled_by(family: Family, own: str) -> str | None:
    """How a family says (`spelled` in its class) that a checkpoint stores the tensor `own` (MODULE.TENSOR) which one
    that it was loaded from lacks; None where it says nothing: all that is learned is stored there already.
    """
    said: Callable[[str], str] | None = getattr(family, "spelled", None)
    return said(own) if said else None


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
