"""train/reading_on: rows of text in, the loss of the next token out: a stage of training on long text, and its exam.

Every token of a row sees all before it in the row, also those of documents that ended before; or, where documents are
kept apart, only those of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from longtake.train.entropy import IGNORED, losses_of
from longtake.train.loop import drawing
from longtake.train.packing import Rows, documents_of, places_in, stretched
from longtake.train.ringed import WholeRows, shared_losses, whole_losses
from longtake.train.schedule import Schedule
from longtake.train.spread import ONE, Spread


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
        end_id: of the token that ends each document, where they do not see one another; None where they do.
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
    end_id: int | None = None
    rows_a_step: int = 1
    seed: int = 0
    spread: Spread = ONE

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """(M,) the losses of the next rows' tokens, of which this rank reads what stands before them."""
        first = self.rows.next_row
        ids_BL = self.rows.take(self.rows_at_once)
        places_BL = self._places(first, *ids_BL.shape) if self.span else None
        if self.spread.ring.size > 1:
            rows = _whole_rows(ids_BL, places_BL, self.end_id)
            losses_BS, asked_BS = shared_losses(self.module, rows, self.spread, half=self.half)
            return losses_BS[asked_BS != IGNORED]

        def work() -> torch.Tensor:
            return next_losses(self.module, ids_BL, places_BL, half=self.half, end_id=self.end_id)

        losses_BK = self.spread.within(work)
        if self.end_id is None:
            return losses_BK.flatten()
        return losses_BK[next_ids(ids_BL, self.end_id).to(losses_BK.device) != IGNORED]

    def figures(self) -> dict[str, float]:
        """The mean loss of the held-out rows."""
        if not len(self.exam_NL):
            return {}
        return {"held_out_loss": float(self.examined(self.module).nanmean())}

    def examined(self, language: nn.Module) -> torch.Tensor:
        """(N, L - 1) what a language model loses of the held-out rows; see `examined`."""
        return examined(language, self.exam_NL, half=self.half, end_id=self.end_id, spread=self.spread)

    def _places(self, first: int, rows: int, length: int) -> torch.Tensor:
        """Those of the rows from number `first` on: each step draws anew, row after row."""
        step, before = divmod(first, self.rows_a_step)
        rng = drawing(self.seed, self.name, step)
        return stretched(rng, before + rows, length, span=self.span, pieces=self.pieces)[before:]


def next_ids(ids_BL: torch.Tensor, end_id: int | None = None) -> torch.Tensor:
    """(B, L - 1): the token that follows each; IGNORED where it begins a document that does not see the one before."""
    next_BK = ids_BL[:, 1:]
    return next_BK if end_id is None else next_BK.masked_fill(ids_BL[:, :-1] == end_id, IGNORED)


def next_losses(
    language: Any,
    ids_BL: torch.Tensor,
    positions_BL: torch.Tensor | None = None,
    *,
    half: bool,
    end_id: int | None = None,
) -> torch.Tensor:
    """(B, L - 1) float32: the negative log probability of each token of a row but the first, given those before it.

    Args:
        language: a transformers causal language model.
        positions_BL: of the tokens; None counts them.
        half: compute in bfloat16 where autocast does.
        end_id: documents end with this token and do not see one another; nothing is asked of the first token of each,
            whose loss is 0, and positions are counted from it. Not with `positions_BL`. transformers makes a mask for
            that, of L x L numbers of a row with several documents.
    """
    device = next(language.parameters()).device
    ids_BL = ids_BL.to(device)
    more: dict[str, torch.Tensor] = {}
    if positions_BL is not None and end_id is not None:
        raise ValueError("want positions of a row, or documents apart, which count their own")
    if positions_BL is not None:
        # Without a mask transformers takes a jump in the positions for the start of another document, and lets nothing
        # behind it see what is before it.
        more = {"position_ids": positions_BL.to(device), "attention_mask": torch.ones_like(ids_BL)}
    if end_id is not None:
        # And just so here: without a mask, positions that begin anew are another document.
        more = {"position_ids": places_in(documents_of(ids_BL, end_id))}
    asked_BK = next_ids(ids_BL, end_id)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        hidden_BLD = language.model(input_ids=ids_BL, use_cache=False, **more).last_hidden_state
        losses_M = losses_of(hidden_BLD[:, :-1].flatten(0, 1), asked_BK.flatten(), language.lm_head)
    return losses_M.view(len(ids_BL), -1)


# Not in inference mode: what FSDP gathers there could not be learned with any more.
@torch.no_grad()
def examined(
    language: nn.Module, rows_NL: torch.Tensor, *, half: bool, end_id: int | None = None, spread: Spread = ONE
) -> torch.Tensor:
    """(N, L - 1) losses of rows, read one by one in evaluation mode; nan where nothing is asked.

    Every rank calls it, and gets all of them.
    """
    learning = language.training
    language.eval()
    losses = []
    for row_L in rows_NL:
        row_1L = row_L[None]
        if spread.ring.size > 1:
            losses_1L = whole_losses(language, _whole_rows(row_1L, None, end_id), spread, half=half)
            losses.append(losses_1L[:, :-1].cpu())
        else:
            read = partial(next_losses, language, row_1L, half=half, end_id=end_id)
            losses.append(spread.within(read).cpu())
    language.train(learning)
    return torch.cat(losses).masked_fill(next_ids(rows_NL, end_id) == IGNORED, torch.nan)


def _whole_rows(ids_BL: torch.Tensor, places_BL: torch.Tensor | None, end_id: int | None) -> WholeRows:
    following_BL = nn.functional.pad(next_ids(ids_BL, end_id), (0, 1), value=IGNORED)
    if end_id is not None:
        documents_BL = documents_of(ids_BL, end_id)
        return WholeRows(ids_BL, places_in(documents_BL), following_BL, documents_BL)
    counted_BL = torch.arange(ids_BL.shape[1]).expand_as(ids_BL)
    return WholeRows(ids_BL, counted_BL if places_BL is None else places_BL, following_BL)


def by_position(losses_NL: torch.Tensor, *, first: int = 256) -> dict[str, float]:
    """The mean loss of the first `first` tokens, of as many behind them, of twice as many behind those, and so on.

    A model that uses what it read long ago does better the further it has come; one that does not stays where it was,
    and one that reads beyond what it was trained on gets worse. Losses that are nan count for nothing.
    """
    return {
        f"{start}-{end}": round(float(losses_NL[:, start:end].nanmean()), 4)
        for start, end in doubling(losses_NL.shape[1], first=first)
    }


def doubling(length: int, *, first: int = 256) -> list[tuple[int, int]]:
    """Stretches of 0 to `length`: `first` positions, as many behind them, twice as many behind those, and so on."""
    edges = [0, min(first, length)]
    while edges[-1] < length:
        edges.append(min(2 * edges[-1], length))
    return list(zip(edges, edges[1:], strict=False))
