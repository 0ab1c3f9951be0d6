"""train/reading_on: rows of text in, the loss of the next token out: a stage of training on long text, and its exam.

Every token of a row sees all before it in the row, also those of documents that ended before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from longtake.train.entropy import losses_of
from longtake.train.packing import Rows, stretched
from longtake.train.schedule import Schedule


@dataclass(frozen=True)
class ReadingOn:
    """A language model learns to go on with text.

    Attributes:
        module: the language model.
        rows: where the text comes from, in rows of one length.
        rows_at_once: in one batch.
        span: positions are spread over so many (`packing.stretched`); 0 counts them one by one.
        pieces: that a row is cut into for that.
        half: compute in bfloat16 where torch's autocast does.
        exam_NL: held-out rows; none where nothing was held out.
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

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The mean loss of the next rows."""
        ids_BL = self.rows.take(self.rows_at_once)
        rows, length = ids_BL.shape
        places_BL = stretched(rng, rows, length, span=self.span, pieces=self.pieces) if self.span else None
        return next_losses(self.module, ids_BL, places_BL, half=self.half).mean()

    def figures(self) -> dict[str, float]:
        """The mean loss of the held-out rows."""
        if not len(self.exam_NL):
            return {}
        return {"held_out_loss": float(examined(self.module, self.exam_NL, half=self.half).mean())}


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


@torch.inference_mode()
def examined(language: nn.Module, rows_NL: torch.Tensor, *, half: bool) -> torch.Tensor:
    """(N, L - 1) losses of rows, read one by one in evaluation mode."""
    learning = language.training
    language.eval()
    losses = [next_losses(language, row_L[None], half=half).cpu() for row_L in rows_NL]
    language.train(learning)
    return torch.cat(losses)


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
