"""parallel/row: how long a row is, its documents and who shares it in; which products each rank computes out.

Knows no tensors of attention. Nothing here is a mask: a document lies in one piece, so what one rank's rows see of
another's keys is a rectangle, and of its own a triangle. What nobody sees is in no block and is never computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from longtake.parallel import Ranks
from longtake.parallel.order import padded

ALL = slice(None)


@dataclass(frozen=True)
class Span:
    """A document: the positions from `start` up to `stop`, in these rows of the batch."""

    batch: slice
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """Products of some rows with some keys, by their places in the shares of the ranks that hold them.

    Attributes:
        batch: the rows of the batch.
        rows: of this rank's queries.
        keys: of the keys that come by.
        triangle: each row sees the keys up to its own place; if not, all of them.
    """

    batch: slice
    rows: slice
    keys: slice
    triangle: bool


@dataclass(frozen=True)
class Row:
    """A row of positions that ranks share in zigzag order.

    Attributes:
        ranks: who share it.
        length: of the whole row, without padding.
        spans: its documents, which do not see one another.
        batch: for which `spans` are; None where they are for any.
    """

    ranks: Ranks
    length: int
    spans: tuple[Span, ...]
    batch: int | None = None

    @property
    def held(self) -> int:
        """Positions that each rank holds, with padding."""
        return padded(self.length, self.ranks.size) // self.ranks.size

    @cached_property
    def blocks(self) -> tuple[tuple[Block, ...], ...]:
        """What this rank computes, for each rank whose keys come by."""
        return tuple(tuple(self._with(other)) for other in range(self.ranks.size))

    @cached_property
    def alone(self) -> Row:
        """The same row where one holds all of it, in order."""
        return replace(self, ranks=Ranks(0, 1, self.ranks.device))

    def _with(self, other: int) -> Iterator[Block]:
        """An earlier rank's first chunk comes before all that this one holds, and its second behind all of it; of a
        later rank this one's second chunk sees both, and its first none.
        """
        mine, chunk = self.ranks.rank, self.held // 2
        for span in self.spans:
            rows, keys = self._places(span, mine), self._places(span, other)
            if other < mine:
                keys = slice(keys.start, min(keys.stop, chunk))
            elif other > mine:
                rows = slice(max(rows.start, chunk), rows.stop)
            if rows.start < rows.stop and keys.start < keys.stop:
                yield Block(span.batch, rows, keys, triangle=other == mine)

    def _places(self, span: Span, rank: int) -> slice:
        """Where a rank holds a span: in one piece, for its two chunks lie behind each other."""
        chunk, last = self.held // 2, 2 * self.ranks.size - 1
        starts = (rank * chunk, (last - rank) * chunk)

        def before(position: int) -> int:
            return sum(min(max(position - start, 0), chunk) for start in starts)

        return slice(before(span.start), before(span.stop))


def row_of(ranks: Ranks, length: int, documents_BL: torch.Tensor | None = None) -> Row:
    """The row that `ranks` share.

    Args:
        documents_BL: to which document each position belongs: equal numbers that stand side by side are one, which sees
            no other. (1, L) is for any batch. None: the row is one document.

    Raises:
        ValueError: for an empty row, or documents of another length.
    """
    if length < 1:
        raise ValueError(f"a row of {length} positions; at least one is wanted")
    if documents_BL is None:
        return Row(ranks, length, (Span(ALL, 0, length),))
    if documents_BL.ndim != 2 or documents_BL.shape[1] != length:
        came = tuple(documents_BL.shape)
        raise ValueError(
            f"documents of shape {came}; wanted is one number for each of {length:,} positions: (B, {length})"
        )
    batch = len(documents_BL)
    spans = [
        span for row in range(batch) for span in _spans(documents_BL[row], slice(row, row + 1) if batch > 1 else ALL)
    ]
    return Row(ranks, length, tuple(spans), batch if batch > 1 else None)


def _spans(documents_L: torch.Tensor, batch: slice) -> Iterator[Span]:
    lengths = torch.unique_consecutive(documents_L, return_counts=True)[1]
    stops = lengths.cumsum(0).tolist()
    yield from (Span(batch, start, stop) for start, stop in zip([0, *stops], stops, strict=False))
