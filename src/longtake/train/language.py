"""train/language: a shape or a model folder in; a language model, its tokenizer and how to write it back out.

Knows three kinds of folder: none yet (a model from scratch), a Hugging Face causal language model, and a nano. Code
that lies in a folder is never run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from longtake.checkpoint import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    Placement,
    StoredTensor,
    bad_checkpoint,
    fill,
    read_config,
    require_files,
    stored_in,
    stored_tensors,
    without_memory,
    write_tensors,
)
from longtake.errors import LongtakeError, writing
from longtake.families.nano import Nano, NanoModules, read_checkpoint, write_checkpoint
from longtake.prompt import HubTokenizer
from longtake.train.corpus import Document

END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")
"""Tokens that may end a document, the first that a tokenizer has; a folder's config.json comes before them."""
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "vocab.json", "merges.txt")
"""Files of a Hugging Face folder that are copied as they are."""

Scaling = Literal["keep", "none", "linear", "dynamic", "yarn"]


@dataclass(frozen=True)
class Shape:
    """The size of a language model from scratch, in Qwen2's architecture (arXiv 2407.10671).

    Attributes:
        width: of the residual stream.
        hidden: of the perceptrons; 0 makes it three times `width`.
        key_heads: groups of heads that share keys and values.
        tie: one matrix for reading and writing tokens.
    """

    width: int = 256
    layers: int = 6
    heads: int = 4
    key_heads: int = 2
    hidden: int = 0
    tie: bool = True

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.key_heads) < 1 or self.hidden < 0:
            raise ValueError("width, layers, heads and key_heads are at least 1, hidden at least 0")
        if self.width % (2 * self.heads) or self.heads % self.key_heads:
            raise ValueError("want width a multiple of 2 x heads, and heads a multiple of key_heads")


@dataclass(frozen=True)
class Turning:
    """How positions turn queries and keys (RoPE, arXiv 2104.09864), and how far they reach.

    Attributes:
        theta: the base; 0 keeps the model's.
        scaling: `keep` the model's; `none`; `linear` (arXiv 2306.15595), `dynamic` NTK or `yarn` (arXiv 2309.00071), as
            transformers computes them.
        factor: of the scaling; 0 makes it `context` over the model's first context.
        context: positions that are read.
    """

    theta: float
    scaling: Scaling
    factor: float
    context: int


@dataclass(frozen=True)
class Start:
    """A language model to be trained.

    Attributes:
        language: in float32 on its device.
        end_id: the token after a document.
        context: positions it was trained to read so far.
        kind: how the folder is called to the user.
        write: writes a folder that holds the trained model: (folder, language, dtype or None for as it came, context).
    """

    language: nn.Module
    tokenizer: HubTokenizer
    end_id: int
    context: int
    kind: str
    write: Callable[[Path, nn.Module, torch.dtype | None, int], None]


def from_scratch(shape: Shape, tokenizer: HubTokenizer, turning: Turning, *, seed: int, device: torch.device) -> Start:
    """A model with random weights that `seed` draws."""
    end_id = _end_id(tokenizer, {}, where="tokenizer.json")
    config = scratch_config(shape, tokenizer.vocabulary_size, turning, end_id=end_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        language = AutoModelForCausalLM.from_config(config, dtype=torch.float32)

    def write(folder: Path, trained: nn.Module, dtype: torch.dtype | None, context: int) -> None:
        _write_hub(folder, trained, tokenizer, dtype=dtype or torch.float32, beside=None)

    return Start(language.to(device), tokenizer, end_id, turning.context, "from scratch", write)


def scratch_config(shape: Shape, vocabulary: int, turning: Turning, *, end_id: int) -> Qwen2Config:
    """What transformers makes a model of that shape from."""
    return Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden or 3 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=turning.context,
        rope_parameters={"rope_type": "default", "rope_theta": turning.theta or 10_000.0},
        tie_word_embeddings=shape.tie,
        bos_token_id=end_id,
        eos_token_id=end_id,
        architectures=["Qwen2ForCausalLM"],
    )


def from_folder(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Start:
    """The language model of a nano's or a Hugging Face folder; in float32 it can be trained.

    Raises:
        LongtakeError: `model.bad_checkpoint`.
    """
    require_files(folder, [CONFIG, TOKENIZER])
    config = read_config(folder)
    where = Placement(device, dtype)
    return _from_nano(folder, where) if Nano().fits(config) else _from_hub(folder, config, where)


def turned(language: nn.Module, turning: Turning, *, first_context: int) -> nn.Module:
    """The same parameters (shared, not copied) in a model that turns positions otherwise.

    Args:
        first_context: what linear, dynamic and yarn scale from.
    """
    config: Any = language.config
    now = dict(config.rope_parameters)
    rope = {"rope_type": "default", **now} if turning.scaling == "keep" else _rope(now, turning, first_context)
    rope["rope_theta"] = turning.theta or now["rope_theta"]
    reach = config.max_position_embeddings
    # Dynamic scaling begins beyond max_position_embeddings, so that has to stay what was trained before it.
    reach = first_context if rope["rope_type"] == "dynamic" else max(reach, turning.context)
    told = {**config.to_dict(), "rope_parameters": rope, "max_position_embeddings": reach}
    told.pop("rope_theta", None)
    with torch.random.fork_rng(devices=[]):
        other: nn.Module = type(language)(type(config).from_dict(told))
    other.load_state_dict(language.state_dict(keep_vars=True), strict=True, assign=True)
    return other.to(next(language.parameters()).device)


def train_tokenizer(documents: Iterator[Document], *, vocabulary: int, characters: int) -> HubTokenizer:
    """A byte-level BPE (as GPT-2's) with an end-of-text token, trained on the first `characters` of `documents`."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT[0]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(_first(documents, characters), trainer)
    return HubTokenizer(inner)


def _first(documents: Iterator[Document], characters: int) -> Iterator[str]:
    left = characters
    for document in documents:
        yield document.text[:left]
        left -= len(document.text)
        if left <= 0:
            return


def _rope(now: dict[str, Any], turning: Turning, first_context: int) -> dict[str, Any]:
    kept = {key: now[key] for key in ("partial_rotary_factor",) if key in now}
    if turning.scaling == "none":
        return {**kept, "rope_type": "default"}
    factor = turning.factor or max(1.0, turning.context / first_context)
    rope = {**kept, "rope_type": turning.scaling, "factor": factor}
    return {**rope, "original_max_position_embeddings": first_context} if turning.scaling == "yarn" else rope


def _from_nano(folder: Path, where: Placement) -> Start:
    config, modules, tokenizer = read_checkpoint(folder, where)
    dtype = _stored_dtype(stored_in(folder))

    def write(out: Path, trained: nn.Module, wanted: torch.dtype | None, context: int) -> None:
        # What is trained here is always a nano's language model, whatever class its checkpoint was read into.
        language = cast(Qwen2ForCausalLM, trained)
        told = {**config, "language": language.config.to_diff_dict(), "trained_context": context}
        told = {key: value for key, value in told.items() if key not in ("architectures", "model_type")}
        whole = NanoModules(modules.vision, modules.projector, language)
        write_checkpoint(out, told, whole, tokenizer=tokenizer, dtype=wanted or dtype)

    end_id = _end_id(tokenizer, {}, where=str(folder / TOKENIZER))
    return Start(modules.language, tokenizer, end_id, int(config["trained_context"]), "nano", write)


def _from_hub(folder: Path, told: dict[str, Any], where: Placement) -> Start:
    advice = "give a folder of a causal language model (Qwen2, Llama, Mistral, ...) or of a nano"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with without_memory():
            language = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except (KeyError, OSError, TypeError, ValueError, StrictDataclassError) as error:
        reason = f"is no language model that transformers knows: {' '.join(str(error).split())[:200]}"
        raise bad_checkpoint(folder / CONFIG, reason, advice) from error
    if not (hasattr(language, "model") and hasattr(language, "lm_head") and getattr(config, "rope_parameters", None)):
        raise bad_checkpoint(folder / CONFIG, "has no decoder with rotary positions and an lm_head", advice)
    tokenizer = HubTokenizer.from_file(folder / TOKENIZER)
    if tokenizer.vocabulary_size > config.vocab_size:
        reason = f"has {tokenizer.vocabulary_size:,} tokens, more than the model's {config.vocab_size:,}"
        raise bad_checkpoint(folder / TOKENIZER, reason, "take the tokenizer that belongs to the weights")
    stored = stored_in(folder)
    fill({"language": language}, stored, where, renamed=_renamed, folder=folder)
    dtype = _stored_dtype(stored)

    def write(out: Path, trained: nn.Module, wanted: torch.dtype | None, context: int) -> None:
        _write_hub(out, trained, tokenizer, dtype=wanted or dtype, beside=folder)

    end_id = _end_id(tokenizer, told, where=str(folder / TOKENIZER))
    return Start(language, tokenizer, end_id, int(config.max_position_embeddings), "Hugging Face", write)


def _renamed(name: str) -> str | None:
    """Old checkpoints store rotary frequencies, which follow from config.json."""
    return None if name.endswith("rotary_emb.inv_freq") else f"language.{name}"


def _stored_dtype(stored: Mapping[str, StoredTensor]) -> torch.dtype:
    return next((tensor.dtype for tensor in stored.values() if tensor.dtype.is_floating_point), torch.float32)


def _end_id(tokenizer: HubTokenizer, config: dict[str, Any], *, where: str) -> int:
    """The token after each document: config.json's, or the first of END_OF_TEXT that the tokenizer has."""
    told = config.get("eos_token_id")
    told = told[0] if isinstance(told, list) and told else told
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < tokenizer.vocabulary_size:
        return told
    for token in END_OF_TEXT:
        try:
            return tokenizer.control(token)
        except LongtakeError:
            continue
    advice = f"add one of {', '.join(END_OF_TEXT)} to its special tokens"
    raise bad_checkpoint(Path(where), "has no token that ends a text", advice)


def _write_hub(
    folder: Path, language: nn.Module, tokenizer: HubTokenizer, *, dtype: torch.dtype, beside: Path | None
) -> None:
    config: Any = language.config
    told = {**config.to_dict(), "dtype": str(dtype).removeprefix("torch.")}
    tensors = {
        name.removeprefix("language."): tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in stored_tensors({"language": language}).items()
    }
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(tensors, folder / WEIGHTS)
        tokenizer.save(folder / TOKENIZER)
        (folder / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        for name in BESIDE:
            if beside is not None and (beside / name).is_file():
                shutil.copyfile(beside / name, folder / name)
