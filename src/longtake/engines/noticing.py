"""engines/noticing: what attention looked at, or what it is not to see, beside it. Knows no model, cache or words.

Two questions about a text that is read behind a kept past, and neither changes or copies what is kept:

- *tally*: how much of its weight each row gives each position, in every head of every layer;
- *hide*: what it would say if some positions were not there. Keys and values are split where the hidden ones lie; what
  is seen of each part is put together by the log of the sum of its exponents (online softmax, arXiv 1805.02867).

transformers hands an attention function its layer's queries, keys and values and nothing else; a context variable gets
the word past its forward, also where several threads read with one model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import torch

from longtake.engines.merging import Part, Span, merged, own
from longtake.engines.segments import Seen


class Notice(Protocol):
    """Attends in place of the model's own attention."""

    def attend(self, query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> torch.Tensor:
        """(B, H, Q, D): each row sees what it would see without a notice, at most."""
        ...


_NOTICE: ContextVar[Notice | None] = ContextVar("longtake_noticing", default=None)


@contextmanager
def noticing(notice: Notice | None) -> Iterator[None]:
    """Inside, layers that attend by `engines.attention.attend` attend by `notice`; None changes nothing."""
    if notice is None:
        yield
        return
    token = _NOTICE.set(notice)
    try:
        yield
    finally:
        _NOTICE.reset(token)


def notice() -> Notice | None:
    """Who attends instead, where this is called; None: nobody."""
    return _NOTICE.get()


@dataclass
class Tally:
    """Attends as ever, and adds up over all heads of all layers what each row that is read looked at.

    Attributes:
        positions: of the past, whose weights are kept; those of what is read now are not.
        rows: how many are read behind them, in chunks or at once.
        heads: how many have been added up.
    """

    positions: int
    rows: int
    heads: int = field(default=0, init=False)

    _sums_RP: torch.Tensor | None = field(default=None, init=False, repr=False)

    def attend(self, query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> torch.Tensor:
        """(B, H, Q, D)."""
        rows = query_BHQD.shape[2]
        whole = [own(query_BHQD, *seen.own(rows), scaling)]
        whole += [part for _, piece in seen.before(rows) for part in piece.parts(query_BHQD, scaling)]
        out_BHQD, lse_BHQ = merged(whole)
        if self._sums_RP is None:
            self._sums_RP = torch.zeros(self.rows, self.positions, device=query_BHQD.device)
        first = sum(piece.positions for _, piece in seen.before(rows)) - self.positions
        for start, piece in seen.before(rows):
            wanted = min(piece.positions, self.positions - start)
            if wanted > 0:
                into_RP = self._sums_RP[first : first + rows, start : start + wanted]
                into_RP += piece.cropped(wanted).weights(query_BHQD, lse_BHQ, scaling).to(into_RP.device)
        self.heads += query_BHQD.shape[1] if first == 0 else 0
        return out_BHQD.to(query_BHQD.dtype)

    @property
    def mean_RP(self) -> torch.Tensor:
        """(rows, positions) float32 on the processor: the share of its attention that each row gave to each position,
        averaged over heads. A row's shares sum to 1 less what it gave to what was read with it.
        """
        if self._sums_RP is None:
            raise ValueError("nothing attended")
        return (self._sums_RP / self.heads).cpu()


@dataclass(frozen=True)
class Hiding:
    """Attends as if some positions had never been read.

    Attributes:
        spans: hidden positions of the past.
    """

    spans: Sequence[Span]

    def attend(self, query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> torch.Tensor:
        """(B, H, Q, D)."""
        return merged(self._parts(query_BHQD, seen, scaling))[0].to(query_BHQD.dtype)

    def _parts(self, query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> Iterator[Part]:
        rows = query_BHQD.shape[2]
        yield own(query_BHQD, *seen.own(rows), scaling)
        for first, piece in seen.before(rows):
            yield from piece.parts(query_BHQD, scaling, [(start - first, stop - first) for start, stop in self.spans])
