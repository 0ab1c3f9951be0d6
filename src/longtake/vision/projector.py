"""vision/projector: features of a vision tower in, vectors of the language model's width out. Knows neither of them."""

from __future__ import annotations

import torch
from torch import nn


class Projector(nn.Module):
    """The two-layer GELU perceptron between tower and language model (LLaVA-1.5, arXiv 2310.03744, section 3.3).

    Args:
        in_width: channels C of the features.
        hidden_width: of the layer between.
        out_width: width D of the language model.
    """

    def __init__(self, *, in_width: int, hidden_width: int, out_width: int) -> None:
        super().__init__()
        self.rise = nn.Linear(in_width, hidden_width)
        self.land = nn.Linear(hidden_width, out_width)

    def forward(self, features_THWC: torch.Tensor) -> torch.Tensor:
        """(..., C) to (..., D)."""
        # As rows: features that are a part of something (no class token) do not lie side by side, and in bfloat16 torch
        # then multiplies each row of pictures by a copy of the matrix of its own. At LongVA's shapes that took 5.6 GB.
        rows_NC = features_THWC.reshape(-1, features_THWC.shape[-1])
        projected_ND: torch.Tensor = self.land(nn.functional.gelu(self.rise(rows_NC)))
        return projected_ND.reshape(*features_THWC.shape[:-1], -1)
