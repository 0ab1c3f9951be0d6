"""engines: keys and values of positions in a row, as attention reads them. Knows nothing of models or buffers.

What was read is never copied to be read on from: a prefix is some segments that nobody writes to any more, and any
number of questions attend to them, each with rows of its own behind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from longtake.engines.merging import Part, Span, left_of, past, weights

BLOCK_TOKENS = 1024
"""So many positions are widened, or brought to another device, at once."""


class Segment(Protocol):
    """Keys and values of one layer, for positions that all rows of a chunk see."""

    @property
    def positions(self) -> int:
        """How many."""
        ...

    def parts(self, query_BHQD: torch.Tensor, scaling: float | None, hidden: Sequence[Span] = ()) -> Iterator[Part]:
        """Attention of rows that see all of it, some positions at a time; of hidden ones nothing is seen."""
        ...

    def weights(self, query_BHQD: torch.Tensor, lse_BHQ: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """(Q, positions) float32: what each row gives to each, over all heads; `lse_BHQ` is of all it sees."""
        ...

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, (1, key-value heads, positions, width), where they lie."""
        ...

    def cropped(self, length: int) -> Segment:
        """The first `length` positions, in the same memory."""
        ...


class Here(ABC):
    """Keys and values that lie in this process, whatever they are kept as."""

    @abstractmethod
    def blocks(self, like: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values (1, key-value heads, some positions, width) in the dtype and on the device of `like`."""

    def parts(self, query_BHQD: torch.Tensor, scaling: float | None, hidden: Sequence[Span] = ()) -> Iterator[Part]:
        """Attention of rows that see all of it, a block at a time; of hidden positions nothing is seen."""
        first = 0
        for keys, values in self.blocks(query_BHQD):
            left = left_of(keys.shape[2], [(start - first, stop - first) for start, stop in hidden])
            for start, stop in left:
                yield past(query_BHQD, keys[:, :, start:stop], values[:, :, start:stop], scaling)
            first += keys.shape[2]

    def weights(self, query_BHQD: torch.Tensor, lse_BHQ: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """(Q, positions) float32: what each row gives to each, added up over heads."""
        return torch.cat([weights(query_BHQD, keys, lse_BHQ, scaling) for keys, _ in self.blocks(query_BHQD)], dim=1)


@dataclass(frozen=True)
class Exact(Here):
    """Keys and values as they were computed, (1, key-value heads, positions, width)."""

    keys_1KSD: torch.Tensor
    values_1KSD: torch.Tensor

    @property
    def positions(self) -> int:
        """How many."""
        return self.keys_1KSD.shape[2]

    def blocks(self, like: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One block on a processor, which reads them where they lie; else as many as keep a device's memory bounded."""
        if like.device.type == "cpu" == self.keys_1KSD.device.type and like.dtype == self.keys_1KSD.dtype:
            yield self.keys_1KSD, self.values_1KSD
            return
        blocks = (states.split(BLOCK_TOKENS, dim=2) for states in (self.keys_1KSD, self.values_1KSD))
        for keys, values in zip(*blocks, strict=True):
            yield _brought(keys, like), _brought(values, like)

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As they lie."""
        return self.keys_1KSD, self.values_1KSD

    def cropped(self, length: int) -> Exact:
        """A view."""
        return Exact(self.keys_1KSD[:, :, :length], self.values_1KSD[:, :, :length])


@dataclass(frozen=True)
class Eight(Here):
    """Keys and values in whole steps from -127 to 127.

    A key's channels differ in size and keep it from position to position, so each channel of a head has one step for
    all positions here; a value's do not, so each position of a head has its own (KIVI, arXiv 2402.02750, found both;
    benchmarks/engine.py measures them the other way round too).

    Attributes:
        keys_1KSD, values_1KSD: int8.
        key_steps_1K1D, value_steps_1KS1: what a step is worth, in the dtype that all was computed in.
    """

    keys_1KSD: torch.Tensor
    values_1KSD: torch.Tensor
    key_steps_1K1D: torch.Tensor
    value_steps_1KS1: torch.Tensor

    @property
    def positions(self) -> int:
        """How many."""
        return self.keys_1KSD.shape[2]

    def blocks(self, like: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Widened, some positions at a time."""
        key_steps = _brought(self.key_steps_1K1D, like)
        for start in range(0, self.positions, BLOCK_TOKENS):
            keys, values, value_steps = (
                _brought(kept[:, :, start : start + BLOCK_TOKENS], like)
                for kept in (self.keys_1KSD, self.values_1KSD, self.value_steps_1KS1)
            )
            yield keys.mul_(key_steps), values.mul_(value_steps)

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All of them widened."""
        keys, values = zip(*self.blocks(self.key_steps_1K1D), strict=True)
        return torch.cat(keys, dim=2), torch.cat(values, dim=2)

    def cropped(self, length: int) -> Eight:
        """Views."""
        return replace(
            self,
            keys_1KSD=self.keys_1KSD[:, :, :length],
            values_1KSD=self.values_1KSD[:, :, :length],
            value_steps_1KS1=self.value_steps_1KS1[:, :, :length],
        )


@dataclass(frozen=True)
class Seen:
    """What the rows of a chunk see. A cache hands it to `attend` through the model's layer, in place of keys.

    Attributes:
        shared: segments that every row of every batch element sees all of.
        key_BKSD, value_BKSD: behind them, each batch element's own positions, which end with the chunk's.
        lengths_B: how many own positions each sees, where that differs: the chunk has one row then, and what lies
            behind is not looked at. None: all, row after row.
    """

    shared: tuple[Segment, ...]
    key_BKSD: torch.Tensor
    value_BKSD: torch.Tensor
    lengths_B: torch.Tensor | None = None

    def before(self, rows: int) -> Iterator[tuple[int, Segment]]:
        """What lies before a chunk of so many rows, each piece with its first position."""
        start = 0
        for segment in self.shared:
            yield start, segment
            start += segment.positions
        if self.key_BKSD.shape[2] > rows:
            yield start, Exact(self.key_BKSD[:, :, :-rows], self.value_BKSD[:, :, :-rows])

    def own(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the chunk's own rows."""
        return self.key_BKSD[:, :, -rows:], self.value_BKSD[:, :, -rows:]


POSITIONS, WIDTH = 2, 3
"""Dimensions of keys and values."""


def in_steps(states_1KSD: torch.Tensor, over: int) -> tuple[torch.Tensor, torch.Tensor]:
    """int8, and what a step is worth in the states' dtype: along dimension `over`, the largest is 127 steps.

    Steps are rounded before they are counted, so that rounding them makes nothing larger or smaller as a whole.
    """
    steps = (states_1KSD.abs().amax(dim=over, keepdim=True).float() / 127).to(states_1KSD.dtype)
    steps = torch.where(steps > 0, steps, torch.ones_like(steps))
    counted = (states_1KSD.float() / steps.float()).round().clamp(-127, 127)
    return counted.to(torch.int8), steps


def _brought(kept: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """On the device of `like`, then in its dtype: what is small travels."""
    return kept.to(like.device).to(like.dtype)


def cropped(segments: tuple[Segment, ...], length: int) -> tuple[Segment, ...]:
    """The first `length` positions of segments in a row."""
    kept: list[Segment] = []
    for segment in segments:
        if length <= 0:
            break
        kept.append(segment if segment.positions <= length else segment.cropped(length))
        length -= segment.positions
    return tuple(kept)
