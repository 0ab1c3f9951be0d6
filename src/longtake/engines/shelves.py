"""engines: chunks of one layer's keys and values in, segments out: where they are put away. Knows nothing of models.

transformers' own cache concatenates: each new token copies all that was read before. Here a layer writes into a buffer
with room at its end, so a token costs one row, and going back is to forget the rows after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch

from longtake.engines.keeping import PLAIN, Keeping
from longtake.engines.segments import BLOCK_TOKENS, POSITIONS, WIDTH, Eight, Exact, Segment, in_steps

ROOM_TOKENS = 256
"""A buffer that is full grows by this many positions beyond what is asked: all is copied once in so many tokens."""


class Shelf(Protocol):
    """Keys and values of one layer, position after position."""

    @property
    def positions(self) -> int:
        """How many are there."""
        ...

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """More, (B, key-value heads, positions, width), behind what is there."""
        ...

    def segments(self) -> tuple[Segment, ...]:
        """What is there, in order; views, which `put` never writes to."""
        ...

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        ...


def shelf_of(keeping: Keeping, expected: int) -> Shelf:
    """An empty one that takes memory for `expected` positions at once, at the first that come."""
    return EightShelf(keeping, expected) if keeping.dtype == "int8" else ExactShelf(keeping, expected)


@dataclass
class Rows:
    """Numbers of one kind, (B, heads, positions, width), in a buffer with room at its end."""

    keeping: Keeping
    expected: int
    buffer: torch.Tensor | None = None

    def put(self, start: int, states: torch.Tensor) -> None:
        """Write from position `start` on."""
        batch, heads, more, width = states.shape
        stop, old = start + more, self.buffer
        if old is None or stop > old.shape[2]:
            capacity = max(self.expected, stop) if old is None else stop + ROOM_TOKENS
            self.buffer = self.keeping.empty((batch, heads, capacity, width), states.dtype, states.device)
            if old is not None:
                self.buffer[:, :, :start] = old[:, :, :start]
        assert self.buffer is not None
        self.buffer[:, :, start:stop] = states

    def __getitem__(self, some: slice) -> torch.Tensor:
        assert self.buffer is not None, "nothing was put here"
        return self.buffer[:, :, some]


@dataclass
class ExactShelf:
    """As they come."""

    keeping: Keeping = PLAIN
    expected: int = 0
    positions: int = 0

    def __post_init__(self) -> None:
        self.keys, self.values = Rows(self.keeping, self.expected), Rows(self.keeping, self.expected)

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write both behind what is there."""
        self.keys.put(self.positions, keys)
        self.values.put(self.positions, values)
        self.positions += keys.shape[2]

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, in one piece."""
        return self.keys[: self.positions], self.values[: self.positions]

    def segments(self) -> tuple[Segment, ...]:
        """One piece, or none."""
        return (Exact(*self.dense()),) if self.positions else ()

    def rewind(self, length: int) -> None:
        """Nothing moves."""
        self.positions = min(length, self.positions)


@dataclass
class EightShelf:
    """In eight bits: each chunk by itself, or each block of it, with its own steps."""

    keeping: Keeping
    expected: int = 0
    positions: int = 0
    blocks: list[tuple[int, int, torch.Tensor]] = field(default_factory=list)
    """Start, stop and the keys' steps."""

    def __post_init__(self) -> None:
        self.keys, self.values, self.value_steps = (Rows(self.keeping, self.expected) for _ in range(3))

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Count in steps and write behind what is there."""
        for some_keys, some_values in zip(keys.split(BLOCK_TOKENS, 2), values.split(BLOCK_TOKENS, 2), strict=True):
            counted_keys, key_steps = in_steps(some_keys, POSITIONS)
            counted_values, value_steps = in_steps(some_values, WIDTH)
            start, stop = self.positions, self.positions + some_keys.shape[2]
            self.keys.put(start, counted_keys)
            self.values.put(start, counted_values)
            self.value_steps.put(start, value_steps)
            self.blocks.append((start, stop, key_steps))
            self.positions = stop

    def segments(self) -> tuple[Segment, ...]:
        """A piece for each block."""
        return tuple(
            Eight(self.keys[start:stop], self.values[start:stop], steps, self.value_steps[start:stop])
            for start, stop, steps in self.blocks
        )

    def rewind(self, length: int) -> None:
        """Nothing moves; a block that is cut keeps its steps."""
        kept = [(start, min(stop, length), steps) for start, stop, steps in self.blocks if start < length]
        self.blocks, self.positions = kept, min(length, self.positions)
