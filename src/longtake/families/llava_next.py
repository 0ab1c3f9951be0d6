"""families.llava_next: LLaVA-1.6 checkpoints in the original layout in, a model out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from longtake import parts
from longtake.checkpoint import placement
from longtake.families import Model, Release, knows
from longtake.families._loaded import trained_context
from longtake.families._original import SEES, SIDE, load_original, networks_of, renamed, spelled, tower_folder
from longtake.families._published import (
    MISTRAL_7B,
    OF_LLAMA_2,
    OF_MISTRAL,
    OF_YI,
    SHAPES,
    VICUNA_7B,
    VICUNA_13B,
    YI_34B,
)
from longtake.layouts import Layout
from longtake.prompt import Tokenizer
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer

MISTRAL = "LlavaMistralForCausalLM"
ARCHITECTURES = ("LlavaLlamaForCausalLM", MISTRAL)
CHATML = "<|im_start|>"
FRAMES = 50
"""As SlowFast-LLaVA is released (arXiv 2407.15841, section 4)."""


@dataclass(frozen=True)
class LlavaNext:
    """LLaVA-1.6 of Vicuna, Mistral or Yi-34B; SlowFast-LLaVA is its way with videos (arXiv 2407.15841).

    Videos: 50 frames, each squeezed into a square, the layout `slowfast` and its prompt. Pictures: AnyRes and the chat
    that the language model was taught, which its config and tokenizer tell: nothing is read off a name. Where its
    config says that pictures are padded, not cut into tiles, as that of LLaVA-1.5 does, they are seen so.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names one of LLaVA's first architectures, over Llama or Mistral."""
        return config.get("architectures") in [[name] for name in ARCHITECTURES]

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector, language model and, where rows of pictures are ended, the newline."""
        _image_layout(config)
        newline = "unpad" in str(config.get("mm_patch_merge_type"))
        return networks_of(config, folder, _language, newline=newline)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config or the tokenizer's length tells, whichever is more."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """The four releases of January 2024; their language models tell how much they read."""
        return (
            _release("vicuna-7b", VICUNA_7B, 32_000, context=4096, licence=OF_LLAMA_2),
            _release("vicuna-13b", VICUNA_13B, 32_000, context=4096, licence=OF_LLAMA_2),
            _release("mistral-7b", MISTRAL_7B, 32_000, context=32_768, licence=OF_MISTRAL),
            _release("34b", YI_34B, 64_000, context=4096, licence=OF_YI),
        )

    def folders(self, config: dict[str, Any], folder: Path) -> tuple[Path, ...]:
        """Where the tower's configuration lies, and its weights where they were not tuned."""
        return (tower_folder(config, folder),)

    def renamed(self, name: str) -> str | None:
        """The original layout's names."""
        return renamed(name)

    def spelled(self, own: str) -> str:
        """The original layout's names of a tower that was tuned and of what else such a checkpoint may lack."""
        return spelled(own)

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`, `model.not_found`, `model.nonfinite`; `usage.bad_option` for a device
                or dtype that does not exist.
        """
        original = load_original(self, folder, placement(device, dtype))
        loaded = original.loaded
        tokenizer = read_tokenizer(folder)
        chat, film = _templates(loaded.config, tokenizer)
        return Model(
            name=name,
            sampler=parts.find("samplers", "middles")(frames=FRAMES),
            encoder=original.encoder("stretch"),
            layout=parts.find("layouts", "slowfast")(),
            image_layout=_image_layout(loaded.config),
            template=find_template(film),
            image_template=find_template(chat),
            tokenizer=tokenizer,
            engine=loaded.engine(tokenizer, find_template(chat)),
            image_encoder=None if _is_tiled(loaded.config) else original.encoder("pad"),
        )


def _release(name: str, shapes: tuple[int, ...], words: int, *, context: int, licence: str) -> Release:
    config = {
        "architectures": [MISTRAL if shapes == MISTRAL_7B else ARCHITECTURES[0]],
        "mm_patch_merge_type": "spatial_unpad",
        **SEES,
        **dict(zip(SHAPES, shapes, strict=True)),
        "vocab_size": words,
        "tie_word_embeddings": False,
    }
    return Release(
        f"liuhaotian/llava-v1.6-{name}",
        config,
        context=context,
        frames=FRAMES,
        side=SIDE,
        layout=parts.find("layouts", "slowfast")(),
        newline=True,
        licence=licence,
    )


def _image_layout(config: Mapping[str, Any]) -> Layout:
    merge = config.get("mm_patch_merge_type", "flat")
    layout: Layout = parts.find("layouts", "anyres")(merge=merge, tiled=_is_tiled(config))
    return layout


def _is_tiled(config: Mapping[str, Any]) -> bool:
    """Whether a picture is cut into tiles; LLaVA-1.5, which has the same architecture, saw it as a whole, padded."""
    told = config.get("image_aspect_ratio", "anyres")
    if told not in ("anyres", "pad"):
        raise ValueError(f"image_aspect_ratio is {told}; want anyres or pad")
    return bool(told == "anyres")


def _templates(config: Mapping[str, Any], tokenizer: Tokenizer) -> tuple[str, str]:
    """The names of the templates for pictures and for videos."""
    if knows(tokenizer, CHATML):
        return "chatml_direct", "slowfast_yi"
    return ("mistral" if config["architectures"] == [MISTRAL] else "vicuna"), "slowfast"


def _language(config: Mapping[str, Any]) -> nn.Module:
    kinds: dict[bool, tuple[str, Callable[[dict[str, Any]], nn.Module]]] = {
        True: ("mistral", lambda told: MistralForCausalLM(MistralConfig.from_dict(told))),
        False: ("llama", lambda told: LlamaForCausalLM(LlamaConfig.from_dict(told))),
    }
    model_type, make = kinds[config["architectures"] == [MISTRAL]]
    return make({**config, "model_type": model_type})
