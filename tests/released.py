"""Tiny random checkpoints in transformers' own layout: saved by its classes, or spelled as older files of the hub."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

IMAGE, VIDEO = "<image>", "<video>"
WORDS = (
    "USER",
    "ASSISTANT",
    "What",
    "is",
    "on",
    "the",
    "picture",
    "user",
    "assistant",
    "Answer",
    "questions",
    "system",
)
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def clip(side_px: int = 56) -> dict[str, Any]:
    """4 x 4 features of a picture of 56 pixels."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    return {"model_type": "clip_vision_model", "image_size": side_px, "patch_size": 14, "projection_dim": 8, **shape}


def siglip() -> dict[str, Any]:
    """5 x 5 features of a picture of 74 pixels: neither a multiple of a patch, nor even, as 384 and 27 are."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {"model_type": "siglip_vision_model", "image_size": 74, "patch_size": 14, "vision_use_head": False, **shape}


def language(model_type: str, **changes: Any) -> dict[str, Any]:
    """Two layers; weights are large, so that what is said varies with what is seen."""
    return {
        "model_type": model_type,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "max_position_embeddings": 8192,
        "vocab_size": 512,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **changes,
    }


def llama_tokenizer(*, spaces: str = "first", chatml: bool = False) -> Tokenizer:
    """Llama's kind. `spaces`: `first` begins a prompt with a space, `each` every text between added tokens."""
    controls = ["<unk>", "<s>", "</s>", IMAGE, VIDEO, *(["<|im_start|>", "<|im_end|>"] if chatml else [])]
    pieces = [(token, 0.0) for token in controls] + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [("▁", -12.0), (":", -3.0), ("?", -3.0), ("\n", -3.0), *((f"▁{word}", -1.0) for word in WORDS)]
    pieces += [(word, -2.0) for word in WORDS]
    inner = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    if spaces == "first":
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))]
    )
    return inner


def qwen_tokenizer() -> Tokenizer:
    """Qwen2's kind: bytes; nothing is put before a prompt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    controls = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", IMAGE, VIDEO)
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    return inner


@dataclass(frozen=True)
class Recipe:
    """A tiny model of one family.

    Attributes:
        architecture: the name of transformers' class, without ForConditionalGeneration.
        vision, text: configurations of its halves.
        tokenizer: is saved as tokenizer.json.
        changes: of the whole configuration.
        crops: whether its processors bring the shorter side to the square's and crop.
    """

    architecture: str
    vision: dict[str, Any]
    text: dict[str, Any]
    tokenizer: Tokenizer
    changes: dict[str, Any] = field(default_factory=dict)
    crops: bool = True

    @property
    def side_px(self) -> int:
        """Of a picture that the tower reads."""
        return int(self.vision["image_size"])

    def model(self) -> Any:
        """transformers' own class, with random weights, always the same."""
        config = getattr(transformers, f"{self.architecture}Config")
        make = getattr(transformers, f"{self.architecture}ForConditionalGeneration")
        ids = {"image_token_index": IMAGE, "video_token_index": VIDEO}
        told = {key: self.tokenizer.token_to_id(token) for key, token in ids.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make(config(vision_config=self.vision, text_config=self.text, **told, **self.changes)).eval()

    def pixels(self) -> dict[str, Any]:
        """A preprocessor_config.json."""
        side = self.side_px
        size = {"shortest_edge": side} if self.crops else {"height": side, "width": side}
        told = {"image_mean": MEAN, "image_std": STD, "resample": 3, "do_center_crop": self.crops, "size": size}
        pinpoints = {"image_grid_pinpoints": self.changes.get("image_grid_pinpoints")}
        return {**told, **pinpoints, "crop_size": {"height": side, "width": side}}

    def save(self, folder: Path, *, older: bool = False) -> Path:
        """A checkpoint as transformers saves it; `older`: with the names of tensors that hub files have."""
        self.model().save_pretrained(folder)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "preprocessor_config.json").write_text(json.dumps(self.pixels()))
        if older:
            respell(
                folder, {f"{tower}_tower.": f"{tower}_tower.vision_model." for tower in ("vision", "image", "video")}
            )
        return folder


def respell(folder: Path, beginnings: dict[str, str]) -> None:
    """Change how names of tensors begin."""

    def spelled(name: str) -> str:
        found = next((old for old in beginnings if name.startswith(old)), "")
        return beginnings.get(found, "") + name.removeprefix(found)

    weights = load_file(folder / "model.safetensors")
    save_file({spelled(name): tensor for name, tensor in weights.items()}, folder / "model.safetensors")


def pinpoints(side_px: int, most: int) -> list[list[int]]:
    """All grids of up to most x most tiles, as OneVision's: (height, width), low ones first."""
    return [[high * side_px, wide * side_px] for high in range(1, most + 1) for wide in range(1, most + 1)]


def few(side_px: int) -> dict[str, Any]:
    """LLaVA-1.6's five grids, in its order."""
    grids = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
    return {"image_grid_pinpoints": [[high * side_px, wide * side_px] for high, wide in grids]}


RECIPES = {
    "llava_next vicuna": Recipe("LlavaNext", clip(), language("llama"), llama_tokenizer(), few(56)),
    "llava_next mistral": Recipe("LlavaNext", clip(), language("mistral"), llama_tokenizer(spaces="each"), few(56)),
    "llava_next yi": Recipe("LlavaNext", clip(), language("llama"), llama_tokenizer(chatml=True), few(56)),
    "llava_onevision": Recipe(
        "LlavaOnevision",
        siglip(),
        language("qwen2"),
        qwen_tokenizer(),
        {"image_grid_pinpoints": pinpoints(74, 4), "vision_aspect_ratio": "anyres_max_4"},
        crops=False,
    ),
    "llava_onevision tied": Recipe(
        "LlavaOnevision",
        siglip(),
        language("qwen2", tie_word_embeddings=True),
        qwen_tokenizer(),
        {"image_grid_pinpoints": pinpoints(74, 6)},
        crops=False,
    ),
    "llava_next_video": Recipe("LlavaNextVideo", clip(70), language("llama"), llama_tokenizer(), few(70)),
    "llava_next_video max": Recipe(
        "LlavaNextVideo", clip(), language("mistral"), llama_tokenizer(), {**few(56), "spatial_pool_mode": "max"}
    ),
    "video_llava": Recipe("VideoLlava", clip(), language("llama"), llama_tokenizer(spaces="each")),
}
