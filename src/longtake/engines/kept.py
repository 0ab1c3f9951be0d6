"""engines: keys and values of what was read, shared by whoever reads on. Knows nothing of how a model computes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

from longtake.engines import Prefix
from longtake.engines.cancelling import heed
from longtake.engines.keeping import PLAIN, Keeping
from longtake.engines.language import LanguageModel
from longtake.engines.segments import BLOCK_TOKENS, Eight, Exact, Seen, Segment, cropped
from longtake.engines.shelves import ExactShelf, Shelf, shelf_of
from longtake.networks import input_device
from longtake.prompt import VISUAL_PLACE, Prompt


class RoomyLayer(DynamicLayer):
    """What transformers takes for one layer's cache: segments that others may share, and a shelf of its own behind.

    Attributes:
        shared: what was read before, never written to.
        shelf: what was read since.
        keeping: how the shelf keeps it.
    """

    def __init__(self, shared: tuple[Segment, ...] = (), *, keeping: Keeping = PLAIN, expected: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shared = shared
        self.shelf: Shelf = shelf_of(keeping, expected)
        self.keeping = keeping
        self._before = sum(segment.positions for segment in shared)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: shelves take shape, dtype and device from what is put there."""
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        """Put a chunk away; return what it sees, itself exact whatever it is kept as, in place of keys and values.

        Raises:
            LongtakeError: `interrupted` if the run was cancelled; `disk.write`.
        """
        heed()
        self.is_initialized = True
        if self.keeping.beside(key_states.device):
            self.shelf.put(key_states, value_states)
            seen = Seen(self.shared, *cast(ExactShelf, self.shelf).dense())
        else:
            seen = Seen((*self.shared, *self.shelf.segments()), key_states, value_states)
            self.shelf.put(key_states, value_states)
        return seen, seen

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All that was read, in order."""
        return (*self.shared, *self.shelf.segments())

    def get_seq_length(self) -> int:
        """How many positions that is."""
        return self._before + self.shelf.positions

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.shelf.rewind(max(0, length - self._before))
        if length < self._before:
            self.shared, self._before = cropped(self.shared, length), length

    def fork(self, length: int, *, keeping: Keeping = PLAIN, expected: int = 0) -> RoomyLayer:
        """The first `length` positions, shared, to read on from in memory of its own."""
        return RoomyLayer(cropped(self.segments, length), keeping=keeping, expected=expected)

    def short_joined(self) -> RoomyLayer:
        """The same, the short exact pieces at the end of what is shared copied into one: a conversation that forks at
        each turn would come to hundreds, and each piece is a call more for each layer and token.
        """
        whole, short = len(self.shared), 0
        while whole > 1 and isinstance(piece := self.shared[whole - 1], Exact):
            if short + piece.positions > BLOCK_TOKENS:
                break
            short, whole = short + piece.positions, whole - 1
        pieces = self.shared[whole:]
        if len(pieces) > 1:
            self.shared = (*self.shared[:whole], Exact(*dense(pieces)))
        return self

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, (1, key-value heads, positions, width); copied where they lie in pieces."""
        return dense(self.segments)


class DenseLayer(RoomyLayer):
    """For a model that attends by transformers' own functions, which take plain tensors; so a fork is a copy."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        """Put a chunk away; return all keys and values."""
        heed()
        self.is_initialized = True
        self.shelf.put(key_states, value_states)
        return cast(ExactShelf, self.shelf).dense()

    def fork(self, length: int, *, keeping: Keeping = PLAIN, expected: int = 0) -> DenseLayer:
        """A copy of the first `length` positions."""
        other = DenseLayer(keeping=keeping, expected=length + expected)
        for segment in cropped(self.segments, length):
            other.shelf.put(*segment.dense())
        return other


def dense(segments: tuple[Segment, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of segments in a row, in one piece: where there is but one, without a copy if it is exact."""
    if len(segments) == 1:
        return segments[0].dense()
    keys, values = zip(*(segment.dense() for segment in segments), strict=True)
    return torch.cat(keys, dim=2), torch.cat(values, dim=2)


@dataclass
class _Use:
    """Who has to do with a prefix's memory.

    Attributes:
        readers: how many are reading on from it.
        lent: whether another prefix may lie in the same memory.
        spent: whether another prefix has overwritten it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    readers: int = 0
    lent: bool = False
    spent: bool = False


@dataclass(frozen=True)
class KeptPrefix:
    """A prompt that has been read.

    Attributes:
        layers: keys and values, one for each layer of the model, `length` positions.
        length: how many positions the prompt has.
        last_hidden_1D: the last position's final hidden state, (1, D); (0, D) where it was cropped away.
        whole_tokens: of how many positions the prompt was taken to be a part when it was read.
        prompt: what was read, where it may have to be read anew as a part of a longer one; else None.
    """

    layers: tuple[RoomyLayer, ...]
    length: int
    last_hidden_1D: torch.Tensor
    whole_tokens: int = 0
    prompt: Prompt | None = None
    _use: _Use = field(default_factory=_Use, repr=False, compare=False)

    @contextmanager
    def borrowed(self) -> Iterator[tuple[RoomyLayer, ...]]:
        """Layers that hold this prefix, to read on from in memory of their own. Any number may be lent at once."""
        with self._use.lock:
            self.refuse_spent()
            self._use.readers += 1
        try:
            yield tuple(layer.fork(self.length) for layer in self.layers)
        finally:
            with self._use.lock:
                self._use.readers -= 1

    def forked(self, keep: int, *, keeping: Keeping = PLAIN, expected: int = 0) -> tuple[RoomyLayer, ...]:
        """Layers that share the first `keep` positions for good, for another prefix: nothing is copied.

        Raises:
            ValueError: this prefix is spent, or has no `keep` positions.
        """
        self._refuse_longer(keep)
        with self._use.lock:
            self.refuse_spent()
            self._use.lent = True
        return tuple(layer.fork(keep, keeping=keeping, expected=expected) for layer in self.layers)

    def cropped(self, length: int) -> KeptPrefix:
        """The first `length` positions, in the same memory. To be read on from: what followed them is not known.

        Raises:
            ValueError: this prefix is spent, or has no `length` positions.
        """
        layers = self.forked(length)
        if length == self.length:
            return replace(self, layers=layers, _use=_Use())
        prompt = None if self.prompt is None else followed(self.prompt, length, _nothing(self.prompt))
        return KeptPrefix(layers, length, self.last_hidden_1D[:0], self.whole_tokens, prompt)

    def handed_on(self, keep: int, expected: int) -> tuple[RoomyLayer, ...]:
        """Layers that hold the first `keep` positions, in this prefix's own buffers: from now on it is spent. Where
        another prefix shares these, they are left alone, and room for `expected` positions is taken.

        Raises:
            ValueError: it is spent already or being read on from, or it has no `keep` positions.
        """
        self._refuse_longer(keep)
        with self._use.lock:
            self.refuse_spent()
            if self._use.readers:
                raise ValueError("somebody is reading on from this prefix; let them end first")
            self._use.spent, lent = True, self._use.lent
        if lent:
            return tuple(layer.fork(keep, keeping=layer.keeping, expected=expected) for layer in self.layers)
        for layer in self.layers:
            layer.rewind(keep)
        return self.layers

    def state(self) -> dict[str, torch.Tensor]:
        """All that `LocalEngine.restored` needs, by name, each tensor contiguous and of exactly `length` positions.

        For each layer `layers.N.keys` and `layers.N.values`, (1, key-value heads, length, width), not copied where they
        lie in one piece without room behind; in int8 also `layers.N.key_steps`, (blocks, key-value heads, 1, width),
        `layers.N.value_steps`, (1, key-value heads, length, 1), and `layers.N.starts`, (blocks,), where each block
        begins. `last_hidden`, (1, D); `whole_tokens`, a number; `prompt.token_ids` and `prompt.visual` where positions
        are turned by the length of the whole.

        Raises:
            ValueError: this prefix is spent.
        """
        self.refuse_spent()
        found = {"last_hidden": self.last_hidden_1D, "whole_tokens": torch.tensor(self.whole_tokens)}
        for number, layer in enumerate(self.layers):
            found |= {f"layers.{number}.{name}": tensor for name, tensor in _told(layer.segments).items()}
        if self.prompt is not None:
            found |= {"prompt.token_ids": self.prompt.token_ids_L, "prompt.visual": self.prompt.visual_ND}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def restored(cls, state: Mapping[str, torch.Tensor], layers: int) -> KeptPrefix:
        """What gave `state`, for a model of so many layers. Its tensors are attended to where they lie, never written.

        Raises:
            ValueError: it is of another number of layers, or its tensors do not fit together.
        """
        absent = {"last_hidden", "whole_tokens", *(f"layers.{number}.keys" for number in range(layers))} - set(state)
        if absent or f"layers.{layers}.keys" in state:
            raise ValueError(f"this is not the state of a prefix of {layers} layers")
        segments = [_segments(state, f"layers.{number}.") for number in range(layers)]
        (length, *others) = {sum(segment.positions for segment in each) for each in segments}
        if others:
            raise ValueError("the layers of this state have different lengths")
        prompt = None
        if "prompt.token_ids" in state:
            prompt = Prompt(state["prompt.token_ids"], state["prompt.visual"])
        whole_tokens = int(state["whole_tokens"])
        return cls(tuple(map(RoomyLayer, segments)), length, state["last_hidden"], whole_tokens, prompt)

    def refuse_spent(self) -> None:
        """Raises ValueError where another prefix was read on in this one's memory."""
        if self._use.spent:
            raise ValueError("this prefix is spent: another was read on in its memory; take that one")

    def _refuse_longer(self, keep: int) -> None:
        if not 0 <= keep <= self.length:
            raise ValueError(f"keep is {keep}; want 0 to {self.length:,}, the positions of this prefix")


def _told(segments: tuple[Segment, ...]) -> dict[str, torch.Tensor]:
    """The tensors of one layer, by name: in eight bits if all of it is."""
    eights = [segment for segment in segments if isinstance(segment, Eight)]
    if len(eights) != len(segments):
        keys, values = dense(segments)
        return {"keys": keys, "values": values}
    lengths = torch.tensor([eight.positions for eight in eights])
    return {
        "keys": torch.cat([eight.keys_1KSD for eight in eights], dim=2),
        "values": torch.cat([eight.values_1KSD for eight in eights], dim=2),
        "key_steps": torch.cat([eight.key_steps_1K1D for eight in eights]),
        "value_steps": torch.cat([eight.value_steps_1KS1 for eight in eights], dim=2),
        "starts": lengths.cumsum(0) - lengths,
    }


def _segments(state: Mapping[str, torch.Tensor], of: str) -> tuple[Segment, ...]:
    """The other way round: views of the tensors whose names begin with `of`."""
    keys, values = state[f"{of}keys"], state[f"{of}values"]
    if keys.shape != values.shape or keys.dtype != values.dtype or keys.dim() != 4 or len(keys) != 1:
        raise ValueError(f"{of}keys are {tuple(keys.shape)}, {of}values {tuple(values.shape)}")
    if keys.dtype != torch.int8:
        return (Exact(keys, values),)
    starts, key_steps, value_steps = (state[of + name] for name in ("starts", "key_steps", "value_steps"))
    stops = [*starts.tolist()[1:], keys.shape[2]]
    return tuple(
        Eight(keys[:, :, start:stop], values[:, :, start:stop], steps[None], value_steps[:, :, start:stop])
        for start, stop, steps in zip(starts.tolist(), stops, key_steps, strict=True)
    )


def followed(first: Prompt, keep: int, more: Prompt) -> Prompt:
    """The first `keep` positions of one prompt, and another behind them."""
    places = int((first.token_ids_L[:keep] == VISUAL_PLACE).sum())
    # A prompt of text only does not know how wide a visual token is.
    behind_ND = more.visual_ND.to(first.visual_ND) if len(more.visual_ND) else first.visual_ND[:0]
    visual_ND = torch.cat([first.visual_ND[:places], behind_ND])
    return Prompt(torch.cat([first.token_ids_L[:keep], more.token_ids_L]), visual_ND)


def beside_layers(state: Mapping[str, torch.Tensor], language: LanguageModel) -> dict[str, torch.Tensor]:
    """The tensors of a prefix's state, each on the device of the layer that made it."""
    of = {f"layers.{number}": layer for number, layer in enumerate(cast(Any, language.model).layers)}
    layers = {name: of.get(name.rpartition(".")[0]) for name in state}
    return {
        name: tensor if (layer := layers[name]) is None else tensor.to(input_device(layer))
        for name, tensor in state.items()
    }


def length_of(prompt: Prompt) -> int:
    """How many positions a prompt has.

    Raises:
        ValueError: none.
    """
    if not len(prompt.token_ids_L):
        raise ValueError("the prompt is empty")
    return len(prompt.token_ids_L)


def kept_of(prefix: Prefix) -> KeptPrefix:
    """The prefix, which a LocalEngine has read.

    Raises:
        ValueError: another engine has.
    """
    if not isinstance(prefix, KeptPrefix):
        raise ValueError(f"a LocalEngine reads on from what a LocalEngine has read, not from a {type(prefix).__name__}")
    return prefix


def text_prompt(token_ids: Sequence[int], like_1D: torch.Tensor) -> Prompt:
    """A prompt of text only, for a model of the width of `like_1D`."""
    return Prompt(torch.tensor(token_ids), like_1D[:0])


def _nothing(like: Prompt) -> Prompt:
    return Prompt(like.token_ids_L[:0], like.visual_ND[:0])


def cache_of(layers: tuple[RoomyLayer, ...]) -> Cache:
    """What a transformers model takes."""
    return Cache(layers=list(layers))
