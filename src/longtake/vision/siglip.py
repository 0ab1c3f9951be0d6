"""vision.siglip: normalised pixels in, SigLIP's features of one of its layers out. Knows no checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from longtake.vision.clip import used_layers


class SiglipTower(nn.Module):
    """A SigLIP vision transformer (arXiv 2303.15343), read off behind one of its layers, before its last norm.

    It has no class token. Where a side is no multiple of a patch, the rest of the picture is not looked at: 384 pixels
    make 27 patches of 14.

    Args:
        config: of transformers' SiglipVisionModel.
        layer: whose output is taken, counted as Python counts: -1 is the last.

    Raises:
        ValueError: there is no such layer.
    """

    def __init__(self, config: SiglipVisionConfig, layer: int) -> None:
        super().__init__()
        self.used_layers = used_layers(layer, config.num_hidden_layers)
        told: Any = config
        self.side_px: int = told.image_size
        self.patch_px: int = told.patch_size
        self.width: int = told.hidden_size
        self.model = SiglipVisionModel(config)

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(T, 3, side_px, side_px) normalised pixels to (T, H, W, width) features."""
        model: Any = self.model
        states_TNC = model.embeddings(pixels_TCHW)
        for layer in model.encoder.layers[: self.used_layers]:
            states_TNC = layer(states_TNC, attention_mask=None)
        side = self.side_px // self.patch_px
        features_THWC: torch.Tensor = states_TNC.unflatten(1, (side, side))
        return features_THWC
