"""engines: keys and values of what was read, in buffers that grow in place. Knows nothing of models.

transformers' own cache concatenates: each new token copies all that was read before. Here a layer writes into a buffer
with room at its end, so a token costs one row, and going back to the kept prefix is to forget the rows after it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers.cache_utils import Cache, DynamicLayer

from longtake.prompt import Prompt

ROOM_TOKENS = 256
"""Buffers grow by this many positions beyond what is asked: all is copied once in so many tokens, not for each."""


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, (1, key-value heads, positions, head width), in buffers with room at the end."""

    _expected = 0

    @classmethod
    def expecting(cls, positions: int) -> RoomyLayer:
        """A layer that allocates so many positions (and some room) at once, at its first states."""
        layer = cls()
        layer._expected = positions
        return layer

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take shape, dtype and device from the first states."""
        super().lazy_initialization(key_states, value_states)
        capacity = max(self._expected, key_states.shape[-2]) + ROOM_TOKENS
        self._key_buffer = _with_positions(key_states, capacity)
        self._value_buffer = _with_positions(value_states, capacity)
        self.keys, self.values = self._key_buffer[:, :, :0], self._value_buffer[:, :, :0]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states after the old; return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        total = past + key_states.shape[-2]
        if total > self._key_buffer.shape[-2]:
            self._key_buffer = _grown(self._key_buffer, past, total + ROOM_TOKENS)
            self._value_buffer = _grown(self._value_buffer, past, total + ROOM_TOKENS)
        self._key_buffer[:, :, past:total] = key_states
        self._value_buffer[:, :, past:total] = value_states
        self.keys, self.values = self._key_buffer[:, :, :total], self._value_buffer[:, :, :total]
        return self.keys, self.values

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.keys, self.values = self._key_buffer[:, :, :length], self._value_buffer[:, :, :length]

    def copied(self, length: int) -> RoomyLayer:
        """The first `length` positions in buffers of their own."""
        other = RoomyLayer.expecting(length)
        other.update(self._key_buffer[:, :, :length], self._value_buffer[:, :, :length])
        return other


def _with_positions(states: torch.Tensor, capacity: int) -> torch.Tensor:
    return states.new_empty((*states.shape[:2], capacity, states.shape[3]))


def _grown(buffer: torch.Tensor, used: int, capacity: int) -> torch.Tensor:
    grown = _with_positions(buffer, capacity)
    grown[:, :, :used] = buffer[:, :, :used]
    return grown


@dataclass(frozen=True)
class KeptPrefix:
    """A prompt that has been read.

    Attributes:
        layers: keys and values, one for each layer of the model; the first `length` positions are the prompt's.
        length: how many positions the prompt has.
        last_hidden_1D: the last position's final hidden state, (1, D).
        whole_tokens: of how many positions the prompt was taken to be a part when it was read.
        prompt: what was read, where it may have to be read anew as a part of a longer one; else None.
    """

    layers: tuple[RoomyLayer, ...]
    length: int
    last_hidden_1D: torch.Tensor
    whole_tokens: int = 0
    prompt: Prompt | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _spent: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @contextmanager
    def borrowed(self) -> Iterator[Cache]:
        """A cache that holds this prefix, to read on from; what was read after it is forgotten at the end.

        The first borrower writes behind the prefix in place. Whoever comes while it is lent works on a copy, so any
        number can read on at once, at the price of their copies.
        """
        if not self._lock.acquire(blocking=False):
            self.refuse_spent()
            with torch.inference_mode():
                layers = [layer.copied(self.length) for layer in self.layers]
            yield Cache(layers=list(layers))
            return
        try:
            yield Cache(layers=list(self.layers))
        finally:
            for layer in self.layers:
                layer.rewind(self.length)
            self._lock.release()

    def handed_on(self, keep: int) -> Cache:
        """A cache that holds the first `keep` positions, in this prefix's own buffers: from now on it is spent.

        Raises:
            ValueError: it is spent already or being read on from, or it has no `keep` positions.
        """
        if not 0 <= keep <= self.length:
            raise ValueError(f"keep is {keep}; want 0 to {self.length:,}, the positions of this prefix")
        if not self._lock.acquire(blocking=False):
            self.refuse_spent()
            raise ValueError("somebody is reading on from this prefix; let them end first")
        # The lock stays taken for good: whoever comes now is told that this prefix is spent.
        self._spent.set()
        for layer in self.layers:
            layer.rewind(keep)
        return Cache(layers=list(self.layers))

    def refuse_spent(self) -> None:
        """Raises ValueError where another prefix was read on in this one's memory."""
        if self._spent.is_set():
            raise ValueError("this prefix is spent: another was read on in its memory; take that one")
