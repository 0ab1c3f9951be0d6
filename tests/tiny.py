"""A tiny random nano: the real parts at toy sizes, for the tests of families and pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from longtake.families.nano import NanoModules, build, write_checkpoint
from longtake.prompt import HubTokenizer

SPECIALS = ("<|pad|>", "<|im_start|>", "<|im_end|>")


def tokenizer() -> HubTokenizer:
    """All bytes, a few words: Unigram with byte fallback, as nano's."""
    words = ("what", "number", "is", "on", "the", "red", "star", "user", "assistant", "blue")
    pieces = [(token, 0.0) for token in SPECIALS] + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [("▁", -12.0), ("?", -2.0), *((f"▁{word}", -1.0) for word in words)]
    inner = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    inner.add_special_tokens(list(SPECIALS))
    return HubTokenizer(inner)


def config(**changes: Any) -> dict[str, Any]:
    """A config.json; weights of the language model are large, so that its answers vary with what it sees."""
    return {
        "vision": {"side_px": 48, "width": 16, "layers": 1, "heads": 2},
        "projector": {"in_width": 16, "hidden_width": 24, "out_width": 32},
        "language": {
            "vocab_size": tokenizer().vocabulary_size,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": 0.3,
            "tie_word_embeddings": True,
            "max_position_embeddings": 512,
        },
        "trained_context": 256,
        "frames": 8,
        **changes,
    }


def modules(seed: int = 0, **changes: Any) -> NanoModules:
    """The three networks with seeded weights; batch statistics are not those of a fresh layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build(config(**changes))
        with torch.no_grad():
            for name, buffer in built.vision.named_buffers():
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
            built.projector.land.weight.mul_(20)
    for module in built.named().values():
        module.eval()
    return built


def checkpoint(folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A checkpoint folder with those networks."""
    write_checkpoint(folder, config(**changes), modules(seed, **changes), tokenizer=tokenizer(), dtype=dtype)
    return folder
