"""families.llava_onevision: LLaVA-OneVision checkpoints in transformers' own layout in, a model out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model, Release
from longtake.families._hf import is_a, load_released, networks_of, renamed
from longtake.families._loaded import trained_context
from longtake.families._published import QWEN2_7B, QWEN2_HALF_B, SIGLIP_384, hf_config, side_of
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer

ARCHITECTURE = "LlavaOnevisionForConditionalGeneration"
FRAMES = 32
"""So many it was trained and evaluated with (arXiv 2408.03326, section 3.2)."""
ANYRES = re.compile(r"anyres_max_(\d+)")


@dataclass(frozen=True)
class LlavaOnevision:
    """LLaVA-OneVision as transformers lays it out: SigLIP, Qwen2, pictures and videos. Source: arXiv 2408.03326.

    Pictures: AnyRes of up to nine tiles' tokens. Videos: 32 frames, each squeezed into a square and scaled down to
    14 x 14 tokens, one newline at the end. Several pictures: each padded to a square and shown as a whole alone.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LlavaOnevisionForConditionalGeneration."""
        return is_a(config, ARCHITECTURE)

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector, language model and newline."""
        _most_tiles(config)
        return networks_of(config, "vision_tower", languages=("qwen2",), newline=True)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config tells."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """The two that fit one graphics card; the third has 72B parameters."""
        return (
            _release("0.5b", hf_config(ARCHITECTURE, QWEN2_HALF_B, 151_936, vision=SIGLIP_384, tied=True)),
            _release("7b", hf_config(ARCHITECTURE, QWEN2_7B, 152_064, vision=SIGLIP_384)),
        )

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
        tokenizer, template = read_tokenizer(folder), find_template("onevision")
        anyres = parts.find("layouts", "anyres")
        return Model(
            name=name,
            sampler=parts.find("samplers", "uniform")(frames=FRAMES),
            encoder=released.film_encoder(),
            layout=parts.find("layouts", "bilinear")(),
            image_layout=anyres(most_tiles=_most_tiles(released.loaded.config)),
            template=template,
            image_template=template,
            tokenizer=tokenizer,
            engine=released.loaded.engine(tokenizer, template),
            image_encoder=released.picture_encoder("pad"),
            several_layout=anyres(tiled=False),
        )


def _release(size: str, config: dict[str, Any]) -> Release:
    return Release(
        f"llava-hf/llava-onevision-qwen2-{size}-ov-hf",
        config,
        context=32_768,
        frames=FRAMES,
        side=side_of(SIGLIP_384),
        layout=parts.find("layouts", "bilinear")(),
        newline=True,
    )


def _most_tiles(config: Mapping[str, Any]) -> int:
    told = str(config.get("vision_aspect_ratio", "anyres_max_9"))
    found = ANYRES.fullmatch(told)
    if found is None:
        raise ValueError(f"vision_aspect_ratio is {told}; want anyres_max_ and a number")
    return int(found[1])
