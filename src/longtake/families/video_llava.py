"""families.video_llava: Video-LLaVA checkpoints in transformers' own layout in, a model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model, Release
from longtake.families._hf import OF_LLAMA, chat_of, is_a, load_released, networks_of, renamed
from longtake.families._loaded import trained_context
from longtake.families._published import CLIP_L_224, VICUNA_7B, hf_config, side_of
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer

ARCHITECTURE = "VideoLlavaForConditionalGeneration"
FRAMES = 8
"""So many it was trained with (arXiv 2311.10122, section 4.1)."""


@dataclass(frozen=True)
class VideoLlava:
    """Video-LLaVA as transformers lays it out: one tower for pictures, one for videos. Source: arXiv 2311.10122.

    Videos: 8 frames, cropped to squares, each with the tower's class token before its features: 257 tokens. Pictures:
    the features alone. Its video tower looks at each frame by itself, as transformers' does.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture VideoLlavaForConditionalGeneration."""
        return is_a(config, ARCHITECTURE)

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Both towers, projector and language model."""
        return networks_of(config, "image_tower", "video_tower", languages=OF_LLAMA, newline=False)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config tells."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """The one release."""
        config = hf_config(ARCHITECTURE, VICUNA_7B, 32_064, vision=CLIP_L_224)
        layout, side = parts.find("layouts", "every_token")(), side_of(CLIP_L_224)
        name = "LanguageBind/Video-LLaVA-7B-hf"
        return (Release(name, config, 4096, FRAMES, side, layout, class_token=True),)

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
        tokenizer = read_tokenizer(folder)
        template = find_template(chat_of(folder, released.loaded.config, tokenizer))
        return Model(
            name=name,
            sampler=parts.find("samplers", "uniform")(frames=FRAMES),
            encoder=replace(released.film_encoder(tower="video_tower"), class_token=True),
            layout=parts.find("layouts", "every_token")(),
            image_layout=parts.find("layouts", "every_token")(),
            template=template,
            image_template=template,
            tokenizer=tokenizer,
            engine=released.loaded.engine(tokenizer, template),
            image_encoder=released.picture_encoder(tower="image_tower"),
        )
