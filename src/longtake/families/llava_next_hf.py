"""families.llava_next_hf: LLaVA-1.6 checkpoints in transformers' own layout in, a model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model
from longtake.families._hf import CHATML, OF_LLAMA, chat_of, is_a, load_released, networks_of, renamed
from longtake.families._loaded import knows, trained_context
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer


@dataclass(frozen=True)
class LlavaNextHf:
    """LLaVA-1.6 of Vicuna, Mistral or Yi-34B as transformers lays it out; videos by SlowFast-LLaVA (arXiv 2407.15841).

    The same model as the family `llava_next` under other names (llava-hf/llava-v1.6-vicuna-7b-hf and its like).
    Pictures: AnyRes, as released on 2024-01-30, in the chat that the hub's repositories spell. Videos, for which it was
    not trained: 50 frames, each squeezed into a square, the layout `slowfast` and its prompt.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LlavaNextForConditionalGeneration."""
        return is_a(config, "LlavaNextForConditionalGeneration")

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector, language model and newline."""
        return networks_of(config, "vision_tower", languages=OF_LLAMA, newline=True)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config tells."""
        return trained_context(config, networks)

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
            sampler=parts.find("samplers", "middles")(),
            encoder=released.film_encoder("stretch"),
            layout=parts.find("layouts", "slowfast")(),
            image_layout=parts.find("layouts", "anyres")(),
            template=find_template("slowfast_yi" if knows(tokenizer, CHATML) else "slowfast"),
            image_template=chat,
            tokenizer=tokenizer,
            engine=released.loaded.engine(tokenizer, chat),
            image_encoder=released.picture_encoder(),
        )
