"""families.llava_next_video: LLaVA-NeXT-Video checkpoints in transformers' own layout in, a model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model, Release
from longtake.families._hf import OF_LLAMA, chat_of, is_a, load_released, networks_of, renamed
from longtake.families._loaded import trained_context
from longtake.families._published import CLIP_L_336, OF_LLAMA_2, VICUNA_7B, hf_config, side_of
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer
from longtake.vision.encoding import Encoder

ARCHITECTURE = "LlavaNextVideoForConditionalGeneration"
FRAMES = 32
"""So many it was trained with (LLaVA blog, 2024-04-30, section 2)."""
TEXT_TOKENS = 512
"""Of its context so many are left to the question and the answer: it holds 4,096, and 32 frames make 4,608."""


@dataclass(frozen=True)
class LlavaNextVideo:
    """LLaVA-NeXT-Video as transformers lays it out: LLaVA-1.6 trained on videos. Source: LLaVA blog, 2024-04-30.

    Videos: 32 frames, or as many as its context holds beside some text, cropped to squares; features are averaged 2 x 2
    *before* the projector, so the model has a smaller grid for a video (12 x 12) than for a picture (24 x 24). Layouts
    arrange that smaller grid; `replace(model, encoder=model.image_encoder)` shows them the larger one.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LlavaNextVideoForConditionalGeneration."""
        return is_a(config, ARCHITECTURE)

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector, language model and newline."""
        _pooling(config)
        return networks_of(config, "vision_tower", languages=OF_LLAMA, newline=True)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config tells."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """The one of 7B; DPO's has the same shapes. A frame's features are pooled before any layout sees them."""
        config = hf_config(ARCHITECTURE, VICUNA_7B, 32_064, vision=CLIP_L_336)
        side = side_of(CLIP_L_336) // _pooling(config)[0]
        layout = parts.find("layouts", "grid")(pool=1)
        return tuple(
            Release(f"llava-hf/{name}", config, 4096, _frames(4096, side * side), side, layout, licence=OF_LLAMA_2)
            for name in ("LLaVA-NeXT-Video-7B-hf", "LLaVA-NeXT-Video-7B-DPO-hf")
        )

    def filming(self, encoder: Encoder, config: Mapping[str, Any]) -> Encoder:
        """The same with its features pooled in squares."""
        return _pooled(encoder, *_pooling(config))

    def renamed(self, name: str) -> str | None:
        """transformers' names, old and new."""
        return renamed(name)

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`, `model.nonfinite`; `usage.bad_option` for a device or dtype that does
                not exist.
        """
        released = load_released(self, folder, placement(device, dtype))
        loaded, tokenizer = released.loaded, read_tokenizer(folder)
        template = find_template(chat_of(folder, loaded.config, tokenizer))
        encoder = self.filming(released.film_encoder(), loaded.config)
        context = trained_context(loaded.config, loaded.networks)
        frames = _frames(context, encoder.grid_height * encoder.grid_width)
        return Model(
            name=name,
            sampler=parts.find("samplers", "uniform")(frames=frames),
            encoder=encoder,
            layout=parts.find("layouts", "grid")(pool=1),
            image_layout=parts.find("layouts", "anyres")(),
            template=template,
            image_template=template,
            tokenizer=tokenizer,
            engine=loaded.engine(tokenizer, template),
            image_encoder=released.picture_encoder(),
        )


def _frames(context: int, frame_tokens: int) -> int:
    """As many as it was trained with, or as fit."""
    return min(FRAMES, max(1, (context - TEXT_TOKENS) // frame_tokens))


class Pooled(nn.Module):
    """A tower whose features are pooled in squares; rows and columns that fill no square are left out."""

    def __init__(self, tower: nn.Module, side: int, mode: Literal["average", "max"]) -> None:
        super().__init__()
        self.tower = tower
        self.pool = nn.MaxPool2d(side) if mode == "max" else nn.AvgPool2d(side)

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(T, 3, side_px, side_px) normalised pixels to (T, H // side, W // side, C) features."""
        features_TCHW: torch.Tensor = self.pool(self.tower(pixels_TCHW).permute(0, 3, 1, 2))
        return features_TCHW.permute(0, 2, 3, 1)


def _pooled(encoder: Encoder, side: int, mode: Literal["average", "max"]) -> Encoder:
    tower = Pooled(encoder.tower, side, mode).requires_grad_(False).eval()
    return replace(encoder, tower=tower, patch_px=encoder.patch_px * side)


def _pooling(config: Mapping[str, Any]) -> tuple[int, Literal["average", "max"]]:
    """The side of the square of features that becomes one, and what becomes of it."""
    side, mode = config.get("spatial_pool_stride", 2), config.get("spatial_pool_mode", "average")
    if mode not in ("average", "max"):
        raise ValueError(f"spatial_pool_mode is {mode}; want average or max")
    if not isinstance(side, int) or side < 1:
        raise ValueError(f"spatial_pool_stride is {side}; want at least 1")
    return side, cast(Literal["average", "max"], mode)
