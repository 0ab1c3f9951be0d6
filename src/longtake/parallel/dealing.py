"""parallel/dealing: chunks of positions in; which rank reads and holds which of them out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

Span = tuple[int, int]
"""Positions from a first up to a last, which is not of it."""


def share_of(rows: int, rank: int, size: int) -> Span:
    """Which of so many rows a rank has: runs that differ by one row at most; the last row is the last rank's."""
    return rows * rank // size, rows * (rank + 1) // size


def most_of(rows: int, size: int) -> int:
    """Rows of the rank that has most."""
    return -(-rows // size)


@dataclass(frozen=True)
class Chunk:
    """Positions that were dealt together.

    Attributes:
        start: the first.
        rows: how many were dealt.
        kept: how many of them, from the first, are still there.
    """

    start: int
    rows: int
    kept: int


@dataclass(frozen=True)
class Deal:
    """Who holds which positions of a text: of each chunk, each rank one run, in order of rank.

    Every rank knows the whole of it, and nobody asks. Where a chunk is cut later, what is left of it may be uneven.

    Attributes:
        size: how many ranks.
        chunks: in order, without a gap.
    """

    size: int
    chunks: tuple[Chunk, ...] = ()

    @property
    def length(self) -> int:
        """How many positions there are."""
        return self.chunks[-1].start + self.chunks[-1].kept if self.chunks else 0

    def grown(self, rows: int) -> Deal:
        """With a chunk more."""
        return replace(self, chunks=(*self.chunks, Chunk(self.length, rows, rows)))

    def cropped(self, length: int) -> Deal:
        """The first `length` positions."""
        left = [chunk for chunk in self.chunks if chunk.start < length]
        return replace(self, chunks=tuple(replace(one, kept=min(one.kept, length - one.start)) for one in left))

    def runs(self, rank: int) -> Iterator[Span]:
        """What a rank holds, in order."""
        for chunk in self.chunks:
            start, stop = share_of(chunk.rows, rank, self.size)
            if start < min(stop, chunk.kept):
                yield chunk.start + start, chunk.start + min(stop, chunk.kept)

    def before(self, rank: int, position: int) -> int:
        """How many positions before this one a rank holds."""
        return sum(max(0, min(stop, position) - start) for start, stop in self.runs(rank))

    def hidden(self, rank: int, spans: Sequence[Span]) -> list[Span]:
        """Spans of all positions, as the rank counts those that it holds."""
        return [(self.before(rank, start), self.before(rank, stop)) for start, stop in spans]

    def positions(self, rank: int) -> torch.Tensor:
        """(P,) int64: those that a rank holds, in order."""
        runs = [torch.arange(start, stop) for start, stop in self.runs(rank)]
        return torch.cat(runs) if runs else torch.zeros(0, dtype=torch.int64)
