"""train/entropy: hidden states and the ids that follow them in, how badly each was foreseen out. Knows no model.

All logits of a row at once are what runs out of memory first: with 152,000 words those of 16,000 tokens take 10 GB, and
a plain cross-entropy holds them three times. Here they are made in blocks of some tokens by some words, and forgotten:

    forward    block by block the largest logit and the sum of exponentials so far (online softmax, arXiv 1805.02867)
    backward   each block once more, now as its gradient, which goes at once into those of hidden states and weights

So the logits are multiplied twice, and four products are made where a plain loss makes three. Gradients are not made in
the forward pass, which would save that product: they would be held while the layers' activations are, and a loss of
each token by itself, which preferences and weights of tokens need, could not be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""The label of a position that nothing is asked of; transformers' and torch's own."""
BLOCK_WORDS = 4096
"""Of the vocabulary, in one block of logits."""
BLOCK_TOKENS = 4096
LOGITS_AT_ONCE = BLOCK_WORDS * BLOCK_TOKENS
"""64 MiB of float32."""


def cross_entropy(
    hidden_MD: torch.Tensor,
    labels_M: torch.Tensor,
    to_logits: Callable[[torch.Tensor], torch.Tensor],
    *,
    reduction: Literal["mean", "sum", "none"] = "mean",
    weights_M: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy of the labels, in float32.

    Args:
        hidden_MD: final hidden states; a row cut over several processes gives each its own.
        labels_M: what follows each; IGNORED where nothing is asked.
        to_logits: the model's head.
        reduction: `none` gives (M,), 0 where nothing is asked; `sum` their sum; `mean` that by `counted`, or by the sum
            of the asked weights, and 0 where nothing is asked at all. Over several processes, divide the sum of sums by
            the sum of counts.
        weights_M: what each label's loss is worth.

    Raises:
        ValueError: a label is no word of the head, or shapes do not fit.
    """
    losses_M = losses_of(hidden_MD, labels_M, to_logits)
    if weights_M is not None:
        losses_M = losses_M * weights_M
    if reduction == "none":
        return losses_M
    if reduction == "sum":
        return losses_M.sum()
    worth = counted(labels_M) if weights_M is None else weights_M.masked_fill(labels_M == IGNORED, 0).sum()
    return losses_M.sum() / torch.where(worth == 0, 1, worth)


def counted(labels_M: torch.Tensor) -> torch.Tensor:
    """How many labels are asked: what a sum of losses, over all processes, is divided by."""
    return (labels_M != IGNORED).sum()


def losses_of(
    hidden_MD: torch.Tensor, ids_M: torch.Tensor, to_logits: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """(M,) float32 negative log probabilities of `ids_M`, 0 where that is IGNORED.

    A head that is a matrix is computed with in blocks, as `token_losses`; any other (adapted, in eight bits) makes, and
    makes again, the logits of a handful of tokens at once.
    """
    if isinstance(to_logits, nn.Linear):
        return token_losses(hidden_MD, ids_M, to_logits.weight, to_logits.bias)
    return _among_asked(lambda hidden_AD, ids_A: _in_handfuls(hidden_AD, ids_A, to_logits), hidden_MD, ids_M)


def token_losses(
    hidden_MD: torch.Tensor,
    labels_M: torch.Tensor,
    weight_VD: torch.Tensor,
    bias_V: torch.Tensor | None = None,
    *,
    vocabulary: int | None = None,
) -> torch.Tensor:
    """(M,) float32 negative log probability of each label, 0 where it is IGNORED; those cost nothing.

    Under autocast the products are made in its dtype, as a plain head's are; sums are in float32 always.

    Args:
        vocabulary: only so many words, from the first, can be said: rows behind them are padding, and learn nothing.

    Raises:
        ValueError: a label is no word, or shapes do not fit.
    """
    words = len(weight_VD) if vocabulary is None else vocabulary
    if hidden_MD.shape != (len(labels_M), weight_VD.shape[1]) or not 0 < words <= len(weight_VD):
        shapes = f"hidden {tuple(hidden_MD.shape)}, labels {tuple(labels_M.shape)}, weight {tuple(weight_VD.shape)}"
        raise ValueError(f"{shapes}, {words} words; want (M, D), (M,), (V, D) and at most V")
    kind = hidden_MD.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_MD.dtype

    def asked(hidden_AD: torch.Tensor, labels_A: torch.Tensor) -> torch.Tensor:
        if len(labels_A) and not 0 <= int(labels_A.min()) <= int(labels_A.max()) < words:
            found = f"labels from {int(labels_A.min())} to {int(labels_A.max())}"
            raise ValueError(f"{found}; want 0 to {words - 1}, or {IGNORED} where nothing is asked")
        losses_A: torch.Tensor = _TokenLosses.apply(hidden_AD, weight_VD, bias_V, _Blocks(labels_A, words, dtype))  # type: ignore[no-untyped-call]
        return losses_A

    return _among_asked(asked, hidden_MD, labels_M)


Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _among_asked(losses: Losses, hidden_MD: torch.Tensor, labels_M: torch.Tensor) -> torch.Tensor:
    """`losses` of the tokens that are asked, with 0 for all others."""
    asked_M = labels_M != IGNORED
    if bool(asked_M.all()):
        return losses(hidden_MD, labels_M)
    losses_A = losses(hidden_MD[asked_M], labels_M[asked_M])
    return losses_A.new_zeros(len(labels_M)).masked_scatter(asked_M, losses_A)


@dataclass(frozen=True)
class _Blocks:
    """How logits are cut up.

    Attributes:
        labels_M: what is asked of each token.
        words: so many rows of the matrix count.
        dtype: of the products.
    """

    labels_M: torch.Tensor
    words: int
    dtype: torch.dtype

    def of_words(self) -> Iterator[slice]:
        for start in range(0, self.words, BLOCK_WORDS):
            yield slice(start, min(start + BLOCK_WORDS, self.words))

    def of_tokens(self) -> Iterator[slice]:
        for start in range(0, len(self.labels_M), BLOCK_TOKENS):
            yield slice(start, min(start + BLOCK_TOKENS, len(self.labels_M)))

    def logits(
        self, hidden_CD: torch.Tensor, rows_WD: torch.Tensor, bias_V: torch.Tensor | None, words: slice
    ) -> torch.Tensor:
        """(C, W) float32, nobody else's."""
        bias_W = None if bias_V is None else bias_V[words].to(self.dtype)
        return nn.functional.linear(hidden_CD, rows_WD, bias_W).float()


class _TokenLosses(torch.autograd.Function):
    """What `token_losses` says, for labels that are all asked."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: torch.Tensor,
        weight_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        blocks: _Blocks,
    ) -> torch.Tensor:
        labels_M = blocks.labels_M
        with torch.autocast(hidden_MD.device.type, enabled=False):
            normal_M = torch.empty(len(labels_M), dtype=torch.float32, device=hidden_MD.device)
            losses_M = torch.empty_like(normal_M)
            for some in blocks.of_tokens():
                hidden_CD, labels_C = hidden_MD[some].to(blocks.dtype), labels_M[some]
                normal_M[some], said_C = _normalised(blocks, hidden_CD, weight_VD, bias_V, labels_C)
                losses_M[some] = normal_M[some] - said_C
        ctx.blocks = blocks
        ctx.save_for_backward(hidden_MD, weight_VD, bias_V, normal_M)
        return losses_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        hidden_MD, weight_VD, bias_V, normal_M = ctx.saved_tensors
        blocks: _Blocks = ctx.blocks
        wanted = _Wanted(
            torch.empty_like(hidden_MD) if ctx.needs_input_grad[0] else None,
            torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None,
            torch.zeros_like(bias_V) if bias_V is not None and ctx.needs_input_grad[2] else None,
        )
        with torch.autocast(hidden_MD.device.type, enabled=False):
            for some in blocks.of_tokens():
                hidden_CD = hidden_MD[some].to(blocks.dtype)
                onto_CD = torch.zeros_like(hidden_CD, dtype=torch.float32)
                for words in blocks.of_words():
                    rows_WD = weight_VD[words].to(blocks.dtype)
                    slope_CW = blocks.logits(hidden_CD, rows_WD, bias_V, words).sub_(normal_M[some, None]).exp_()
                    inside_C, place_C1 = _inside(blocks.labels_M[some], words)
                    slope_CW.scatter_add_(1, place_C1, -inside_C[:, None].float())
                    slope_CW = slope_CW.mul_(grads[0][some, None]).to(blocks.dtype)
                    wanted.add(words, slope_CW, rows_WD, hidden_CD=hidden_CD, onto_CD=onto_CD)
                if wanted.hidden_MD is not None:
                    wanted.hidden_MD[some] = onto_CD.to(hidden_MD.dtype)
        return wanted.hidden_MD, wanted.weight_VD, wanted.bias_V, None


@dataclass(frozen=True)
class _Wanted:
    """The gradients that somebody wants, filled block by block."""

    hidden_MD: torch.Tensor | None
    weight_VD: torch.Tensor | None
    bias_V: torch.Tensor | None

    def add(
        self,
        words: slice,
        slope_CW: torch.Tensor,
        rows_WD: torch.Tensor,
        *,
        hidden_CD: torch.Tensor,
        onto_CD: torch.Tensor,
    ) -> None:
        """Add what one block of logits' gradients gives; `onto_CD` is that of its hidden states."""
        if self.hidden_MD is not None:
            _add_product(onto_CD, slope_CW, rows_WD)
        if self.weight_VD is not None:
            _add_product(self.weight_VD[words], slope_CW.T, hidden_CD)
        if self.bias_V is not None:
            self.bias_V[words] += slope_CW.sum(0, dtype=torch.float32).to(self.bias_V.dtype)


def _add_product(onto: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> None:
    if onto.dtype == one.dtype:
        onto.addmm_(one, other)
    else:
        onto += one @ other


def _normalised(
    blocks: _Blocks,
    hidden_CD: torch.Tensor,
    weight_VD: torch.Tensor,
    bias_V: torch.Tensor | None,
    labels_C: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(C,) float32 each: the log of the sum of all exponentials, and the logit of the label."""
    top_C = torch.full((len(labels_C),), -torch.inf, dtype=torch.float32, device=hidden_CD.device)
    sum_C, said_C = torch.zeros_like(top_C), torch.zeros_like(top_C)
    for words in blocks.of_words():
        logits_CW = blocks.logits(hidden_CD, weight_VD[words].to(blocks.dtype), bias_V, words)
        inside_C, place_C1 = _inside(labels_C, words)
        said_C = torch.where(inside_C, logits_CW.gather(1, place_C1)[:, 0], said_C)
        higher_C = torch.maximum(top_C, logits_CW.amax(1))
        sum_C = sum_C * (top_C - higher_C).exp() + logits_CW.sub_(higher_C[:, None]).exp_().sum(1)
        top_C = higher_C
    return top_C + sum_C.log(), said_C


def _inside(labels_C: torch.Tensor, words: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """(C,) which tokens have their label in a block of words; (C, 1) where in it, for the others anywhere.

    In no way that a graphics card would have to be waited for.
    """
    inside_C = (labels_C >= words.start) & (labels_C < words.stop)
    return inside_C, (labels_C - words.start).clamp(0, words.stop - words.start - 1)[:, None]


def _in_handfuls(
    hidden_MD: torch.Tensor, ids_M: torch.Tensor, to_logits: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    with torch.no_grad():
        words = to_logits(hidden_MD[:1]).shape[-1]
    at_once = max(1, LOGITS_AT_ONCE // words)
    if len(ids_M) <= at_once:
        return _losses(hidden_MD, ids_M, to_logits)
    parts = [
        checkpoint(_losses, hidden_MD[start : start + at_once], ids_M[start : start + at_once], to_logits, **_ONCE_MORE)
        for start in range(0, len(ids_M), at_once)
    ]
    return torch.cat(parts)


_ONCE_MORE: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}


def _losses(hidden_MD: torch.Tensor, ids_M: torch.Tensor, to_logits: Callable[..., torch.Tensor]) -> torch.Tensor:
    return nn.functional.cross_entropy(to_logits(hidden_MD).float(), ids_M, reduction="none")
