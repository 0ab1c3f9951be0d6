"""train/packing: documents in, rows of a fixed length out. Knows nothing of files or models.

Row n of a stage is the n-th stretch of `length` tokens of one endless stream: documents in the order of their source,
each followed by the end-of-text token. So it follows from data, seed and n alone. Whoever goes on at row n packs the
rows before it again and throws them away; that costs tokenizing, not training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from longtake.errors import LongtakeError
from longtake.prompt import Tokenizer
from longtake.train.corpus import Document, bad_data

PIECE_CHARACTERS = 2**18
"""Longer documents are tokenized in pieces, cut after a line where there is one: a tokenizer holds several bytes for
every character it is given at once."""


@dataclass(frozen=True)
class Packer:
    """Turns documents into one stream of ids.

    Attributes:
        tokenizer: reads text literally: what looks like a control token in a document is text.
        end_id: of the token after each document.
    """

    tokenizer: Tokenizer
    end_id: int

    def ids(self, document: Document) -> list[int]:
        """The document's ids and the end-of-text token.

        Raises:
            LongtakeError: `data.bad` if the vocabulary cannot spell it.
        """
        return [token_id for piece in self._spelt(document) for token_id in piece]

    def rows(self, documents: Iterator[Document], length: int) -> Iterator[list[int]]:
        """Rows of `length` ids; what fills no last row is left out."""
        waiting: list[int] = []
        for piece in (piece for document in documents for piece in self._spelt(document)):
            waiting += piece
            whole = len(waiting) - len(waiting) % length
            yield from (waiting[start : start + length] for start in range(0, whole, length))
            waiting = waiting[whole:]

    def _spelt(self, document: Document) -> Iterator[list[int]]:
        """What `ids` gives, piece by piece."""
        for piece in _pieces(document.text):
            try:
                yield self.tokenizer.encode(piece)
            except LongtakeError as error:
                raise bad_data(document.place, error.reason, "leave it out, or take another tokenizer") from error
        yield [self.end_id]


@dataclass
class Rows:
    """The rows of one stage, to be taken from any row on.

    Attributes:
        begin: makes the stream of rows from its first.
        heard: hears how many tokens are taken.
        next_row: the number of the row that `take` gives next.
    """

    begin: Callable[[], Iterator[list[int]]]
    heard: Callable[[int], None] = lambda tokens: None
    next_row: int = 0
    _stream: Iterator[list[int]] | None = field(default=None, repr=False)

    def seek(self, row: int) -> None:
        """Let `row` be the next one."""
        if self._stream is None or row < self.next_row:
            self._stream, self.next_row = self.begin(), 0
        while self.next_row < row:
            next(self._stream)
            self.next_row += 1

    def take(self, rows: int) -> torch.Tensor:
        """(rows, length) int64 ids."""
        if self._stream is None:
            self.seek(self.next_row)
        assert self._stream is not None
        taken = torch.tensor([next(self._stream) for _ in range(rows)])
        self.next_row += rows
        self.heard(taken.numel())
        return taken


def stretched(rng: np.random.Generator, rows: int, length: int, *, span: int, pieces: int = 2) -> torch.Tensor:
    """Positions for rows of `length` tokens, spread over `span`: (rows, length) int64, ascending, below `span`.

    Each row is cut at random into `pieces`; the first begins at 0 and every other is moved back by a random distance
    of its own, so that over many rows every distance up to `span` is met (PoSE, arXiv 2309.10400, section 3.2).
    """
    if not length <= span or not 1 <= pieces <= length:
        raise ValueError(f"span is {span} and pieces {pieces} for rows of {length}; want at least {length}, at most it")
    positions = np.tile(np.arange(length), (rows, 1))
    for row in positions:
        cuts = np.sort(1 + rng.permutation(length - 1)[: pieces - 1])
        moved = np.sort(rng.integers(0, span - length + 1, size=pieces - 1))
        for cut, before, now in zip(cuts, [0, *moved], moved, strict=False):
            row[cut:] += now - before
    return torch.from_numpy(positions)


def documents_of(ids_BL: torch.Tensor, end_id: int) -> torch.Tensor:
    """(B, L) int64: which document of its row each token belongs to, counted from 0; the token that ends one included.

    What looks like that token in a document is text, so that nothing else is cut.
    """
    ended_BL = (ids_BL == end_id).long()
    return ended_BL.cumsum(1) - ended_BL


def places_in(documents_BL: torch.Tensor) -> torch.Tensor:
    """(B, L) int64: positions that begin at 0 with each document, and with the row."""
    places_BL = torch.arange(documents_BL.shape[1], device=documents_BL.device).expand_as(documents_BL)
    begins_BL = torch.ones_like(documents_BL, dtype=torch.bool)
    begins_BL[:, 1:] = documents_BL[:, 1:] != documents_BL[:, :-1]
    return places_BL - places_BL.masked_fill(~begins_BL, 0).cummax(1).values


def _pieces(text: str) -> Sequence[str]:
    if len(text) <= PIECE_CHARACTERS:
        return [text]
    pieces, start = [], 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        cut = text.rfind("\n", start, end) + 1 if end < len(text) else len(text)
        end = cut if cut > start else end
        pieces.append(text[start:end])
        start = end
    return pieces
