"""train/schedule: how fast what learns: rates over the steps, and the optimisers that take them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from longtake.train.loop import Optimisers, Rates, Stage

NOT_HIDDEN = ("embed_tokens", "lm_head")
"""Matrices that Muon is not for: it is meant for those between layers (K. Jordan and others, 2024)."""


@dataclass(frozen=True)
class Schedule(Rates):
    """Warm-up, then a rate that stays, falls in a line or falls as a cosine.

    Attributes:
        shape: `constant`; `linear`: whole for `hold` of the steps, then in a line to nothing; `cosine`, likewise.
    """

    shape: Literal["constant", "linear", "cosine"] = "cosine"

    def share(self, step: int, steps: int) -> float:
        """What part of the full rates step `step` of `steps` takes."""
        rising = (step + 1) / max(1, self.warm_up_steps)
        if self.shape == "constant":
            return min(1.0, rising)
        gone = max(0.0, step / steps - self.hold) / (1 - self.hold)
        falling = 1 - gone if self.shape == "linear" else (1 + math.cos(math.pi * gone)) / 2
        return min(1.0, rising, falling)


def adam(parts: Mapping[str, nn.Module], rates: Mapping[str, float], *, decay: float) -> Optimisers:
    """AdamW for each part at its own rate. Vectors (norms, biases) are not decayed."""
    return [
        (_adam(nn_module.named_parameters(), decay), rates[part]) for part, nn_module in parts.items() if rates[part]
    ]


def muon(*, decay: float) -> Callable[[Stage], Optimisers]:
    """Muon for hidden matrices and AdamW for the rest, at the stage's two rates."""

    def make(stage: Stage) -> Optimisers:
        learning = [(name, p) for name, p in stage.module.named_parameters() if p.requires_grad]
        hidden = [p for name, p in learning if p.ndim == 2 and not any(word in name for word in NOT_HIDDEN)]
        chosen = {id(p) for p in hidden}
        rest = [(name, p) for name, p in learning if id(p) not in chosen]
        return [
            (torch.optim.Muon(hidden, lr=0.0, weight_decay=decay), stage.rates.matrices),
            (_adam(rest, decay), stage.rates.others),
        ]

    return make


def _adam(named: Iterable[tuple[str, nn.Parameter]], decay: float) -> torch.optim.Optimizer:
    learning = [p for _, p in named if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    # Second-moment decay as GPT-3's (arXiv 2005.14165, appendix B): 0.999 remembers too long for steps so different.
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=(0.9, 0.95))
