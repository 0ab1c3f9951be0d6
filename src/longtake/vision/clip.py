"""vision.clip: normalised pixels in, CLIP's features of an inner layer out. Knows no checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel


class ClipTower(nn.Module):
    """A CLIP vision transformer, read off at one of its layers; the layers behind that one are not computed.

    Args:
        config: of transformers' CLIPVisionModel.
        layer: whose output is taken, counted as Python counts: -2 is the last but one (LLaVA-1.5, arXiv 2310.03744).

    Raises:
        ValueError: there is no such layer.
    """

    def __init__(self, config: CLIPVisionConfig, layer: int) -> None:
        super().__init__()
        self.used_layers = used_layers(layer, config.num_hidden_layers)
        told: Any = config
        self.side_px: int = told.image_size
        self.patch_px: int = told.patch_size
        self.width: int = told.hidden_size
        self.model = CLIPVisionModel(config)

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(T, 3, side_px, side_px) normalised pixels to (T, H, W, width) features; the class token is left out."""
        return self.with_class(pixels_TCHW)[1]

    def with_class(self, pixels_TCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The class token of each picture too, (T, width), before its features."""
        model: Any = self.model
        states_TNC = model.pre_layrnorm(model.embeddings(pixels_TCHW))
        for layer in model.encoder.layers[: self.used_layers]:
            states_TNC = layer(states_TNC, attention_mask=None)
        side = self.side_px // self.patch_px
        return states_TNC[:, 0], states_TNC[:, 1:].unflatten(1, (side, side))


def used_layers(layer: int, layers: int) -> int:
    """How many of a tower's `layers` are computed where the states behind one of them are taken.

    Args:
        layer: as transformers counts states: 0 is before the first layer, -1 behind the last.

    Raises:
        ValueError: there is no such layer, or nothing would be computed.
    """
    used = layer if layer >= 0 else layers + 1 + layer
    if not 1 <= used <= layers:
        raise ValueError(f"layer is {layer}; the tower has {layers}")
    return used
