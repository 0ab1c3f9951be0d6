"""vision/nano: nano's vision tower: small pictures in, a 4 x 4 grid of features out. Knows nothing of language.

Convolutions read strokes and colours; two transformer layers let every place of the grid know of every other.
"""

from __future__ import annotations

import torch
from torch import nn

REDUCTION = 24
"""Pixels of the picture to one place of the grid: strides 2 x 2 x 2 x 3."""


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a straight way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x_TCHW: torch.Tensor) -> torch.Tensor:
        return torch.relu(x_TCHW + self.body(x_TCHW))


def _shrinking(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1 if stride == 2 else 0, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


class NanoTower(nn.Module):
    """nano's vision tower.

    Args:
        side_px: height and width of a picture; a multiple of REDUCTION.
        width: channels C of the features.
        layers: transformer layers over the grid.
        heads: attention heads of each.
    """

    def __init__(self, *, side_px: int = 96, width: int = 256, layers: int = 2, heads: int = 8) -> None:
        super().__init__()
        if side_px % REDUCTION:
            raise ValueError(f"side_px is {side_px}; want a multiple of {REDUCTION}")
        self.side_px = side_px
        self.width = width
        self.grid_height = self.grid_width = side_px // REDUCTION
        self.strokes = nn.Sequential(
            _shrinking(3, width // 8, 2),
            _shrinking(width // 8, width // 4, 2),
            _Residual(width // 4),
            _shrinking(width // 4, width // 2, 2),
            _Residual(width // 2),
            _shrinking(width // 2, width, 3),
        )
        self.place = nn.Parameter(torch.zeros(self.grid_height * self.grid_width, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.mixing = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        nn.init.trunc_normal_(self.place, std=0.02)

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(T, 3, side_px, side_px) normalised pixels to (T, grid_height, grid_width, width) features."""
        strokes_TCHW = self.strokes(pixels_TCHW)
        places_TNC = strokes_TCHW.flatten(2).transpose(1, 2) + self.place
        mixed_TNC: torch.Tensor = self.norm(self.mixing(places_TNC))
        features_THWC: torch.Tensor = mixed_TNC.unflatten(1, (self.grid_height, self.grid_width))
        return features_THWC
