"""families._published: shapes and licences of the networks that published checkpoints are made of. No family itself.

Language models are told as (width, width inside a layer, layers, heads, key-value heads), the order of SHAPES. Padded
vocabularies of checkpoints in transformers' layout are those that its converter makes: the next multiple of 64 behind
the added tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHAPES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
VICUNA_7B, VICUNA_13B = (4096, 11_008, 32, 32, 32), (5120, 13_824, 40, 40, 40)
MISTRAL_7B, YI_34B = (4096, 14_336, 32, 32, 8), (7168, 20_480, 60, 56, 8)
QWEN2_HALF_B, QWEN2_7B = (896, 4864, 24, 14, 2), (3584, 18_944, 28, 28, 4)

CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
CLIP_L_336 = {**CLIP_L, "image_size": 336, "patch_size": 14}
CLIP_L_224 = {**CLIP_L, "image_size": 224, "patch_size": 14}
SIGLIP_384 = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}
"""So many of so400m's 27 layers are in LLaVA-OneVision's checkpoints: it reads the last but one of the whole."""

OF_LLAMA_2 = "Llama 2 Community License"
OF_MISTRAL = "that of mistralai/Mistral-7B-Instruct-v0.2 (Apache-2.0)"
OF_YI = "that of NousResearch/Nous-Hermes-2-Yi-34B (Apache-2.0)"


def side_of(vision: Mapping[str, Any]) -> int:
    """Rows, and columns, of features that such a tower makes of a picture."""
    return int(vision["image_size"]) // int(vision["patch_size"])


def hf_config(
    architecture: str, shapes: tuple[int, ...], vocabulary: int, *, vision: Mapping[str, Any], tied: bool = False
) -> dict[str, Any]:
    """So much of a config.json in transformers' layout as gives the networks their shapes."""
    clip = "vision_use_head" not in vision
    kinds: dict[tuple[int, ...], str] = {MISTRAL_7B: "mistral", QWEN2_HALF_B: "qwen2", QWEN2_7B: "qwen2"}
    text = {"model_type": kinds.get(shapes, "llama"), "vocab_size": vocabulary, "tie_word_embeddings": tied}
    return {
        "architectures": [architecture],
        "vision_feature_layer": -2 if clip else -1,
        "vision_feature_select_strategy": "default" if clip else "full",
        "vision_config": {"model_type": "clip_vision_model" if clip else "siglip_vision_model", **vision},
        "text_config": {**text, **dict(zip(SHAPES, shapes, strict=True))},
    }
