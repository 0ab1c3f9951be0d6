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

Span = tuple[int, int]
"""Positions from a first up to a last, which is not of it."""


class Notice(Protocol):
    """Attends in place of the model's own attention."""

    def attend(
        self, query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """(B, H, Q, D): row q of the queries sees the keys up to position S - Q + q, at most."""
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

    def attend(
        self, query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """(B, H, Q, D). One head of keys at a time: the weights of all would be large."""
        groups, rows = query_BHQD.shape[1] // key_BKSD.shape[1], query_BHQD.shape[2]
        first = key_BKSD.shape[2] - rows - self.positions
        if self._sums_RP is None:
            self._sums_RP = torch.zeros(self.rows, self.positions, device=query_BHQD.device)
        outs = []
        for head in range(key_BKSD.shape[1]):
            scores = _scores(query_BHQD[:, head * groups : (head + 1) * groups], key_BKSD[:, head, None], scaling)
            weights = scores.masked_fill(_ahead(scores), float("-inf")).softmax(-1)
            seen_RP = weights[..., : self.positions].sum((0, 1))
            self._sums_RP[first : first + rows] += seen_RP.to(self._sums_RP.device)
            outs.append((weights @ value_BKSD[:, head, None].float()).to(query_BHQD.dtype))
        self.heads += query_BHQD.shape[1] if first == 0 else 0
        return torch.cat(outs, dim=1)

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

    def attend(
        self, query_BHQD: torch.Tensor, key_BKSD: torch.Tensor, value_BKSD: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """(B, H, Q, D)."""
        past = key_BKSD.shape[2] - query_BHQD.shape[2]
        out, lse = _seen(query_BHQD, key_BKSD[:, :, past:], value_BKSD[:, :, past:], scaling, triangle=True)
        for start, stop in left_of(past, self.spans):
            part, part_lse = _seen(
                query_BHQD, key_BKSD[:, :, start:stop], value_BKSD[:, :, start:stop], scaling, triangle=False
            )
            out = torch.lerp(out, part, torch.sigmoid(part_lse - lse))
            lse = torch.logaddexp(lse, part_lse)
        return out.to(query_BHQD.dtype)


def left_of(past: int, hidden: Sequence[Span]) -> list[Span]:
    """What of `past` positions is not hidden, in order, each run as long as can be."""
    found, begin = [], 0
    for start, stop in sorted(hidden):
        if start > begin:
            found.append((begin, min(start, past)))
        begin = max(begin, stop)
    return [*found, (begin, past)] if begin < past else found


def _seen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """What queries see of some keys, (B, H, Q, D) float32, and the log of the sum of its exponents, (B, H, Q, 1).

    `triangle`: the keys are the queries' own, and row q sees the first q + 1 of them.
    """
    see = by_kernel if query.device.type == "cpu" else by_hand
    return see(query, key, value, scaling, triangle=triangle)


def by_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The processor's: a group's queries are laid below each other, so that no key is repeated but a row's own."""
    batch, heads, rows, width = query.shape
    groups = heads // key.shape[1]
    folded = query.reshape(batch, key.shape[1], groups * rows, width)
    if triangle:
        folded, key, value = query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    found, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        folded, key, value, 0.0, triangle, scale=scaling
    )
    return found.reshape(query.shape).float(), lse.reshape(batch, heads, rows, 1)


def by_hand(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, *, triangle: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Other devices': the kernels that tell their sums differ by device and number format. One head of keys at a time:
    the scores of all would be large.
    """
    outs, sums = [], []
    groups = query.shape[1] // key.shape[1]
    for head in range(key.shape[1]):
        scores = _scores(query[:, head * groups : (head + 1) * groups], key[:, head, None], scaling)
        if triangle:
            scores = scores.masked_fill(_ahead(scores), float("-inf"))
        outs.append(scores.softmax(-1) @ value[:, head, None].float())
        sums.append(scores.logsumexp(-1, keepdim=True))
    return torch.cat(outs, 1), torch.cat(sums, 1)


def _scores(query: torch.Tensor, key: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Scaled products in float32, (B, H, Q, S)."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return (query.float() @ key.float().transpose(-1, -2)) * scale


def _ahead(scores: torch.Tensor) -> torch.Tensor:
    """(Q, S): whether a row would look ahead of itself."""
    rows, positions = scores.shape[-2:]
    return torch.ones(rows, positions, dtype=torch.bool, device=scores.device).triu(positions - rows + 1)
