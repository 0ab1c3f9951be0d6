"""families.llava_next_hf: LLaVA-1.6 checkpoints in transformers' own layout in, a model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model, Release, knows
from longtake.families._hf import CHATML, OF_LLAMA, chat_of, is_a, load_released, networks_of, renamed
from longtake.families._loaded import trained_context
from longtake.families._published import (
    CLIP_L_336,
    MISTRAL_7B,
    OF_LLAMA_2,
    OF_MISTRAL,
    OF_YI,
    VICUNA_7B,
    VICUNA_13B,
    YI_34B,
    hf_config,
    side_of,
)
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer

ARCHITECTURE = "LlavaNextForConditionalGeneration"
FRAMES = 50
"""As SlowFast-LLaVA is released (arXiv 2407.15841, section 4)."""


@dataclass(frozen=True)
class LlavaNextHf:
    """LLaVA-1.6 of Vicuna, Mistral or Yi-34B as transformers lays it out; videos by SlowFast-LLaVA (arXiv 2407.15841).

    The same model as the family `llava_next` under other names (llava-hf/llava-v1.6-vicuna-7b-hf and its like).
    Pictures: AnyRes, as released on 2024-01-30, in the chat that the hub's repositories spell. Videos, for which it was
    not trained: 50 frames, each squeezed into a square, the layout `slowfast` and its prompt.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LlavaNextForConditionalGeneration."""
        return is_a(config, ARCHITECTURE)

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector, language model and newline."""
        return networks_of(config, "vision_tower", languages=OF_LLAMA, newline=True)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config tells."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """The four of January 2024, as transformers' converter wrote them."""
        return (
            _release("vicuna-7b", VICUNA_7B, 32_064, context=4096, licence=OF_LLAMA_2),
            _release("vicuna-13b", VICUNA_13B, 32_064, context=4096, licence=OF_LLAMA_2),
            _release("mistral-7b", MISTRAL_7B, 32_064, context=32_768, licence=OF_MISTRAL),
            _release("34b", YI_34B, 64_064, context=4096, licence=OF_YI),
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
        tokenizer = read_tokenizer(folder)
        chat = find_template(chat_of(folder, released.loaded.config, tokenizer))
        return Model(
            name=name,
            sampler=parts.find("samplers", "middles")(frames=FRAMES),
            encoder=released.film_encoder("stretch"),
            layout=parts.find("layouts", "slowfast")(),
            image_layout=parts.find("layouts", "anyres")(),
            template=find_template("slowfast_yi" if knows(tokenizer, CHATML) else "slowfast"),
            image_template=chat,
            tokenizer=tokenizer,
            engine=released.loaded.engine(tokenizer, chat),
            image_encoder=released.picture_encoder(),
        )


def _release(name: str, shapes: tuple[int, ...], vocabulary: int, *, context: int, licence: str) -> Release:
    return Release(
        f"llava-hf/llava-v1.6-{name}-hf",
        hf_config(ARCHITECTURE, shapes, vocabulary, vision=CLIP_L_336),
        context=context,
        frames=FRAMES,
        side=side_of(CLIP_L_336),
        layout=parts.find("layouts", "slowfast")(),
        newline=True,
        licence=licence,
    )
