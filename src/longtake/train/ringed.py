"""train/ringed: rows that a ring of ranks shares in; the losses of each rank's own positions out. Knows no stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from longtake.parallel.attending import reading
from longtake.parallel.order import gathered, share
from longtake.train.entropy import IGNORED, losses_of
from longtake.train.spread import Spread


@dataclass(frozen=True)
class WholeRows:
    """Rows of one length, the same on every rank of a ring.

    Attributes:
        ids_BL: their tokens.
        places_BL: where each stands.
        following_BL: what follows each, IGNORED where nothing is asked.
        documents_BL: to which document each belongs, where these do not see one another.
    """

    ids_BL: torch.Tensor
    places_BL: torch.Tensor
    following_BL: torch.Tensor
    documents_BL: torch.Tensor | None = None


def shared_losses(language: Any, rows: WholeRows, spread: Spread, *, half: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, S) the losses of what follows the positions that this rank holds, 0 where nothing is asked; (B, S) what does.

    Args:
        language: a transformers causal language model of `parallel.attending_together`.
        half: compute in bfloat16 where autocast does.
    """
    ring, length = spread.ring, rows.ids_BL.shape[1]
    # Shifted before it is shared: what follows a rank's last position is another's.
    ids_BS, places_BS = share(rows.ids_BL.to(ring.device), ring), share(rows.places_BL.to(ring.device), ring)
    asked_BS = share(rows.following_BL.to(ring.device), ring, pad=IGNORED)

    def work() -> torch.Tensor:
        with reading(ring, length, rows.documents_BL), torch.autocast(ring.device.type, torch.bfloat16, enabled=half):
            hidden_BSD = language.model(input_ids=ids_BS, position_ids=places_BS, use_cache=False).last_hidden_state
            return losses_of(hidden_BSD.flatten(0, 1), asked_BS.flatten(), language.lm_head)

    return spread.within(work).view_as(asked_BS), asked_BS


def whole_losses(language: Any, rows: WholeRows, spread: Spread, *, half: bool) -> torch.Tensor:
    """(B, L) those of all positions, on every rank."""
    losses_BS, _ = shared_losses(language, rows, spread, half=half)
    return gathered(losses_BS, spread.ring, rows.ids_BL.shape[1])
