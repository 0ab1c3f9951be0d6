"""costs.rehearsing: a model without weights in; what each step of it computes, and holds at once, out. Reads no file.

The model's own code is run on tensors that have a shape and no numbers. Layers of a language model are alike, so two of
them are rehearsed for all; and what a chunk costs grows evenly with the past that it attends to, so two pasts do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from longtake.checkpoint import Hollow
from longtake.costs.work import Watching, Work
from longtake.layouts import Layout, Visual
from longtake.vision import FeatureGrid, GridShape

LONG_PAST = 4096
"""Positions; the second of the two pasts."""
FEW_VIEWS, MORE_VIEWS = 96, 192
"""Layouts of longer videos are taken to go on as between these."""


@dataclass(frozen=True)
class Step:
    """What one step of a model computes, and the most bytes of what it made that were alive at once."""

    work: Work
    peak_bytes: float

    def __add__(self, other: Step) -> Step:
        return Step(self.work + other.work, self.peak_bytes + other.peak_bytes)

    def __sub__(self, other: Step) -> Step:
        return self + other * -1

    def __mul__(self, times: float) -> Step:
        return Step(self.work * times, self.peak_bytes * times)


class Unrehearsed(Exception):
    """A model's code does not run without numbers; the message tells how it failed."""


class _Past(DynamicLayer):
    """Keys and values that are there already: what is written now has its place in them."""

    def __init__(self, past: int, states: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_initialized = True
        self._past, self._states = past, states

    def update(self, *_: object, **__: object) -> tuple[torch.Tensor, torch.Tensor]:
        """All of them."""
        return self._states, self._states

    def get_seq_length(self) -> int:
        """Positions before those that are read now."""
        return self._past


@dataclass
class Rehearsal:
    """Steps of one model, each rehearsed when it is first asked for.

    Attributes:
        model: as `loading.load` makes one under `without_weights`.
        made: by what it was made.
        spent_s: processor seconds that rehearsing took so far.
    """

    model: Any
    made: Hollow
    spent_s: float = 0.0
    _chunks: dict[tuple[int, int], Step] = field(default_factory=dict)
    _views: dict[tuple[int, int], Step] = field(default_factory=dict)
    _arranged: dict[tuple[Layout, GridShape], tuple[Step, int]] = field(default_factory=dict)

    @contextmanager
    def _watching(self) -> Iterator[Watching]:
        begun = time.process_time()
        try:
            with torch.inference_mode(), Watching() as watching:
                yield watching
        except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            # What looks at numbers to decide what to do cannot be run without them; torch says so in several ways.
            raise Unrehearsed(f"{type(error).__name__}: {error}") from error
        self.spent_s += time.process_time() - begun

    @property
    def language(self) -> Any:
        """transformers' model."""
        return self.model.engine.language

    @property
    def dtype(self) -> torch.dtype:
        """Of numbers with a fraction."""
        dtype: torch.dtype = self.language.lm_head.weight.dtype
        return dtype

    @property
    def width(self) -> int:
        """Of the language model."""
        return int(self.language.config.hidden_size)

    @property
    def layers(self) -> int:
        """Of the language model."""
        return int(self.language.config.num_hidden_layers)

    @property
    def key_value_numbers(self) -> int:
        """So many numbers are kept of each position."""
        config = self.language.config
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * self.layers * config.num_key_value_heads * head)

    @property
    def key_value_heads(self) -> int:
        """In each layer of the language model."""
        return int(self.language.config.num_key_value_heads)

    def views(self, encoder: Any, count: int) -> Step:
        """So many views through normalising, tower and projector, at once."""
        key = (id(encoder), count)
        if key not in self._views:
            side = encoder.recipe.side_px
            pixels = self.made.tensor((count, 3, side, side), torch.uint8)
            with self._watching() as watching:
                encoder.seen(pixels)
            self._views[key] = Step(watching.work, watching.peak_bytes)
        return self._views[key]

    def chunk(self, rows: int, past: int) -> Step:
        """So many positions read after `past` others, all layers of the language model."""
        near, far = self._chunk(rows, 0), self._chunk(rows, LONG_PAST)
        return near + (far - near) * (past / LONG_PAST)

    def head(self) -> Step:
        """One position's logits, as float32 numbers of the processor."""
        hidden_1D = self.made.tensor((1, self.width), self.dtype)
        with self._watching() as watching:
            self.language.lm_head(hidden_1D).float()
        return Step(watching.work, watching.peak_bytes)

    def arranged(self, layout: Layout, shape: GridShape) -> tuple[Step, int]:
        """What a layout computes of a grid of that shape, and the bytes of the visual tokens that come out; beside the
        grid. Of many frames it is told from fewer; of a layout that looks at numbers, that it writes its tokens twice.
        """
        tokens_bytes = layout.count(shape) * self._vector_bytes
        try:
            return self._arranged_like(layout, shape, tokens_bytes)
        except Unrehearsed:
            return Step(Work({"move": 4.0 * tokens_bytes}), 2.0 * tokens_bytes), tokens_bytes

    def _arranged_like(self, layout: Layout, shape: GridShape, tokens_bytes: int) -> tuple[Step, int]:
        if shape.tilings or shape.views <= MORE_VIEWS:
            return self._arrange(layout, shape)
        few, more = (self._arrange(layout, _so_many(shape, views)) for views in (FEW_VIEWS, MORE_VIEWS))
        times = (shape.views - FEW_VIEWS) / (MORE_VIEWS - FEW_VIEWS)
        step = few[0] + (more[0] - few[0]) * times
        return Step(step.work, max(step.peak_bytes, more[0].peak_bytes)), tokens_bytes

    @property
    def _vector_bytes(self) -> int:
        return self.width * self.dtype.itemsize

    def _arrange(self, layout: Layout, shape: GridShape) -> tuple[Step, int]:
        key = (layout, shape)
        if key not in self._arranged:
            size = (shape.views, shape.height, shape.width, self.width)
            newline_D = self.made.tensor((self.width,), self.dtype) if shape.newline else None
            class_TD = self.made.tensor((shape.views, self.width), self.dtype) if shape.class_token else None
            values_THWD = self.made.tensor(size, self.dtype)
            grid = FeatureGrid(values_THWD, np.zeros(shape.views), newline_D, shape.tilings, class_TD)
            with self._watching() as watching:
                pieces = layout.arrange(grid)
            storages = {
                piece.tokens_ND.untyped_storage()._cdata: piece.tokens_ND.untyped_storage().nbytes()
                for piece in pieces
                if isinstance(piece, Visual)
            }
            self._arranged[key] = Step(watching.work, watching.peak_bytes), sum(storages.values())
        return self._arranged[key]

    def _chunk(self, rows: int, past: int) -> Step:
        key = (rows, past)
        if key not in self._chunks:
            one, two = (self._read(rows, past, layers) for layers in (1, 2))
            each = Step(two.work - one.work, 0.0)
            self._chunks[key] = Step(one.work, two.peak_bytes) + each * (self.layers - 1)
        return self._chunks[key]

    def _read(self, rows: int, past: int, layers: int) -> Step:
        """The first of the layers alone, the rest laid aside meanwhile."""
        language, config = self.language.model, self.language.config
        head = self.key_value_numbers // (2 * self.layers * config.num_key_value_heads)
        states = self.made.tensor((1, config.num_key_value_heads, past + rows, head), self.dtype)
        cache = Cache(layers=[_Past(past, states) for _ in range(self.layers)])
        embedded = self.made.tensor((1, rows, self.width), self.dtype)
        whole = language.layers
        language.layers = whole[:layers]
        try:
            with self._watching() as watching:
                language(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
        finally:
            language.layers = whole
        # New keys and values are copied to their place; a chunk's embeddings are there before anything is computed.
        written = Work({"move": 2.0 * rows * self.key_value_numbers / self.layers * self.dtype.itemsize * layers})
        return Step(watching.work + written, watching.peak_bytes + 2 * embedded.nbytes)


def _so_many(shape: GridShape, views: int) -> GridShape:
    return GridShape(views, shape.height, shape.width, shape.newline, (), shape.class_token)
