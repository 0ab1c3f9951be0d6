"""train/reading_on: rows of text in, the loss of the next token out: a stage of training on long text, and its exam.

Every token of a row sees all before it in the row, also those of documents that ended before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from longtake.parallel.attending import reading
from longtake.parallel.order import gathered, share
from longtake.train.loop import drawing
from longtake.train.packing import Rows, stretched
from longtake.train.schedule import Schedule
from longtake.train.spread import ONE, Spread

NO_TARGET = -100
"""What torch's cross-entropy leaves out."""
LOGITS_AT_ONCE = 2**25
"""So many logits are held at once: with 152,000 words those of a 224,000-token row would take 136 GB."""


@dataclass(frozen=True)
class ReadingOn:
    """A language model learns to go on with text.

    Attributes:
        module: the language model.
        rows: where the text comes from, in rows of one length.
        rows_at_once: in one batch.
        rows_a_step: in all batches of a step, on all ranks; and the seed: how the positions of each row are spread
            follows from these and the row's number, whoever reads it.
        span: positions are spread over so many (`packing.stretched`); 0 counts them one by one.
        pieces: that a row is cut into for that.
        half: compute in bfloat16 where torch's autocast does.
        exam_NL: held-out rows; none where nothing was held out.
        spread: of the stage over ranks; those of a ring read the same rows.
    """

    name: str
    steps: int
    rates: Schedule
    module: Any
    rows: Rows
    rows_at_once: int
    span: int
    pieces: int
    half: bool
    exam_NL: torch.Tensor
    rows_a_step: int = 1
    seed: int = 0
    spread: Spread = ONE

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """(M,) the losses of the next rows' tokens, of which this rank reads what stands before them."""
        first = self.rows.next_row
        ids_BL = self.rows.take(self.rows_at_once)
        places_BL = self._places(first, *ids_BL.shape) if self.span else None
        return own_losses(self.module, ids_BL, places_BL, half=self.half, spread=self.spread)

    def figures(self) -> dict[str, float]:
        """The mean loss of the held-out rows."""
        if not len(self.exam_NL):
            return {}
        losses_NL = examined(self.module, self.exam_NL, half=self.half, spread=self.spread)
        return {"held_out_loss": float(losses_NL.mean())}

    def _places(self, first: int, rows: int, length: int) -> torch.Tensor:
        """Those of the rows from number `first` on: each step draws anew, row after row."""
        step, before = divmod(first, self.rows_a_step)
        rng = drawing(self.seed, self.name, step)
        return stretched(rng, before + rows, length, span=self.span, pieces=self.pieces)[before:]


def own_losses(
    language: Any,
    ids_BL: torch.Tensor,
    positions_BL: torch.Tensor | None = None,
    *,
    half: bool,
    spread: Spread = ONE,
) -> torch.Tensor:
    """(M,) float32: `next_losses` of those tokens that follow what this rank reads. Every rank of a ring calls it."""
    if spread.ring.size == 1:
        return spread.within(lambda: next_losses(language, ids_BL, positions_BL, half=half)).flatten()
    losses_BS, targets_BS = _shared_losses(language, ids_BL, positions_BL, half=half, spread=spread)
    return losses_BS[targets_BS != NO_TARGET]


def next_losses(
    language: Any, ids_BL: torch.Tensor, positions_BL: torch.Tensor | None = None, *, half: bool
) -> torch.Tensor:
    """(B, L - 1) float32: the negative log probability of each token of a row but the first, given those before it.

    Args:
        language: a transformers causal language model.
        positions_BL: of the tokens; None counts them.
        half: compute in bfloat16 where autocast does.
    """
    device = next(language.parameters()).device
    ids_BL = ids_BL.to(device)
    more: dict[str, torch.Tensor] = {}
    if positions_BL is not None:
        # Without a mask transformers takes a jump in the positions for the start of another document, and lets nothing
        # behind it see what is before it.
        more = {"position_ids": positions_BL.to(device), "attention_mask": torch.ones_like(ids_BL)}
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        hidden_BLD = language.model(input_ids=ids_BL, use_cache=False, **more).last_hidden_state
        losses_M = losses_of(hidden_BLD[:, :-1].flatten(0, 1), ids_BL[:, 1:].flatten(), language.lm_head)
    return losses_M.view(len(ids_BL), -1)


def losses_of(
    hidden_MD: torch.Tensor, ids_M: torch.Tensor, to_logits: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """(M,) float32 negative log probabilities of `ids_M`; logits are made, and made again, in handfuls."""
    at_once = max(1, LOGITS_AT_ONCE // max(1, _width(to_logits)))
    if len(ids_M) <= at_once:
        return _losses(hidden_MD, ids_M, to_logits)
    parts = [
        checkpoint(_losses, hidden_MD[start : start + at_once], ids_M[start : start + at_once], to_logits, **_ONCE_MORE)
        for start in range(0, len(ids_M), at_once)
    ]
    return torch.cat(parts)


_ONCE_MORE: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}


# Not in inference mode: what FSDP gathers there could not be learned with any more.
@torch.no_grad()
def examined(language: nn.Module, rows_NL: torch.Tensor, *, half: bool, spread: Spread = ONE) -> torch.Tensor:
    """(N, L - 1) losses of rows, read one by one in evaluation mode. Every rank calls it, and gets all of it."""
    learning = language.training
    language.eval()
    losses = [_all_losses(language, row_L[None], half=half, spread=spread).cpu() for row_L in rows_NL]
    language.train(learning)
    return torch.cat(losses)


def _all_losses(language: Any, ids_BL: torch.Tensor, *, half: bool, spread: Spread) -> torch.Tensor:
    """`next_losses`, also where a ring shares the rows."""
    if spread.ring.size == 1:
        return spread.within(lambda: next_losses(language, ids_BL, half=half))
    losses_BS, _ = _shared_losses(language, ids_BL, None, half=half, spread=spread)
    return gathered(losses_BS, spread.ring, ids_BL.shape[1])[:, :-1]


def _shared_losses(
    language: Any, ids_BL: torch.Tensor, positions_BL: torch.Tensor | None, *, half: bool, spread: Spread
) -> tuple[torch.Tensor, torch.Tensor]:
    """What follows each position that a rank of a ring holds: (B, S) its losses, and (B, S) what it is.

    0 and NO_TARGET where nothing does.
    """
    ring, length = spread.ring, ids_BL.shape[1]
    ids_BL = ids_BL.to(ring.device)
    places_BL = torch.arange(length)[None].expand_as(ids_BL) if positions_BL is None else positions_BL
    # Before the row is shared: what follows a rank's last position may be another's.
    following_BL = nn.functional.pad(ids_BL[:, 1:], (0, 1), value=NO_TARGET)
    ids_BS, targets_BS = share(ids_BL, ring), share(following_BL, ring, pad=NO_TARGET)
    places_BS = share(places_BL.to(ring.device), ring)

    def work() -> torch.Tensor:
        with reading(ring, length), torch.autocast(ring.device.type, torch.bfloat16, enabled=half):
            hidden_BSD = language.model(input_ids=ids_BS, position_ids=places_BS, use_cache=False).last_hidden_state
            return losses_of(hidden_BSD.flatten(0, 1), targets_BS.flatten(), language.lm_head)

    return spread.within(work).view_as(targets_BS), targets_BS


def by_position(losses_NL: torch.Tensor, *, first: int = 256) -> dict[str, float]:
    """The mean loss of the first `first` tokens, of as many behind them, of twice as many behind those, and so on.

    A model that uses what it read long ago does better the further it has come; one that does not stays where it was,
    and one that reads beyond what it was trained on gets worse.
    """
    length = losses_NL.shape[1]
    edges = [0, min(first, length)]
    while edges[-1] < length:
        edges.append(min(2 * edges[-1], length))
    return {
        f"{start}-{end}": round(float(losses_NL[:, start:end].mean()), 4)
        for start, end in zip(edges, edges[1:], strict=False)
    }


def _losses(hidden_MD: torch.Tensor, ids_M: torch.Tensor, to_logits: Callable[..., torch.Tensor]) -> torch.Tensor:
    return nn.functional.cross_entropy(to_logits(hidden_MD).float(), ids_M, reduction="none")


def _width(to_logits: Any) -> int:
    return len(to_logits.weight)
