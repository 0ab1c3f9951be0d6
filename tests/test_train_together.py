"""train/together: what ranks cannot do together is refused in one line, before they do anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from longtake.costs.learning import attention_of
from longtake.costs.training import Attention
from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel import ALONE, Ranks
from longtake.parallel.attending import RING, attending_together
from longtake.parallel.row import row_of
from longtake.parallel.ulysses import ulysses
from longtake.train.text_recipe import TextRecipe, TextStage
from longtake.train.together import refuse_attention, refuse_hold, refuse_rows
from test_train_ranks import corpus, start

__all__ = ["corpus"]

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 31,
}
WINDOW: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 4}


@pytest.mark.parametrize(
    ("config", "besides"),
    [
        (Qwen2Config(**SIZES), ()),
        (Qwen2Config(**SIZES, use_sliding_window=False, sliding_window=4), ()),
        (Qwen2Config(**SIZES, **WINDOW, max_window_layers=1), ("a sliding window of 4",)),
        (Qwen2Config(**SIZES, **WINDOW, max_window_layers=2), ()),
        (Qwen2Config(**SIZES, attention_dropout=0.1), ("dropout",)),
        (LlamaConfig(**SIZES), ()),
        (MistralConfig(**SIZES), ("a sliding window of 4,096",)),
        (MistralConfig(**SIZES, sliding_window=None), ()),
        (
            Gemma2Config(**SIZES, head_dim=8, attn_logit_softcapping=50.0),
            ("a sliding window of 4,096", "capped products"),
        ),
    ],
)
def test_what_a_config_wants_of_attention_is_what_ranks_refuse_of_its_model(
    config: PretrainedConfig, besides: tuple[str, ...]
) -> None:
    """Two roads: the config alone, and the model itself as ranks run it."""
    found = attention_of(config)
    assert (found.heads, found.key_heads, found.besides) == (4, 2, besides)
    language = attending_together(AutoModelForCausalLM.from_config(config), RING).train()
    ids = torch.tensor([[1, 2, 3]])
    if besides:
        with pytest.raises(ValueError, match="this layer asks for"):
            language(ids, use_cache=False)
    else:
        assert language(ids, use_cache=False).logits.isfinite().all()


@pytest.mark.parametrize("ring", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 2), (6, 2), (12, 4), (1, 1)])
def test_heads_are_refused_where_they_cannot_be_dealt_out(heads: int, key_heads: int, ring: int) -> None:
    """As Ulysses itself would, later and in the words of a programmer."""
    attention = Attention(heads, key_heads)
    refuse_attention(attention, ring=ring, together="ring")
    row = row_of(Ranks(0, ring, ALONE.device), 2 * ring)
    query, key = torch.zeros(1, heads, row.held, 2), torch.zeros(1, key_heads, row.held, 2)
    try:
        refuse_attention(attention, ring=ring, together="ulysses")
    except LongtakeError as error:
        assert error.code is ErrorCode.USAGE_BAD_OPTION and f"{heads} heads on {key_heads}" in str(error)
        with pytest.raises(ValueError, match=f"cannot be dealt out to {ring} ranks"):
            ulysses(query, key, key, row)
    else:
        assert heads % ring == 0


def test_each_alone_attends_as_it_likes() -> None:
    refuse_attention(Attention(1, 1, ("dropout",)), ring=1, together="ulysses")
    with pytest.raises(LongtakeError, match="wants dropout, which ranks do not do together .*--ring 1"):
        refuse_attention(Attention(8, 8, ("dropout",)), ring=2, together="ring")


def test_muon_has_whole_matrices_on_each_rank() -> None:
    recipe = TextRecipe(optimiser="muon")
    refuse_hold(recipe, "whole")
    for hold in ("sharded", "aside"):
        with pytest.raises(LongtakeError, match="Muon turns whole matrices"):
            refuse_hold(recipe, hold)


def test_every_stage_has_to_be_shared() -> None:
    recipe = TextRecipe(
        step_tokens=4000, tokens_at_once=1000, stages=(TextStage(1000, steps=1), TextStage(4000, steps=1))
    )
    refuse_rows(recipe, ranks=2, ring=2, together="ring")
    with pytest.raises(LongtakeError, match="1 rows of 4,000 tokens a step .* --ring 2, or .*step_tokens=8000"):
        refuse_rows(recipe, ranks=2, ring=1, together="ring")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--set", "attending=ulysses", "--set", "model.heads=1", "--set", "model.key_heads=1"), "1 heads on 1"),
        (("--from", "windowed"), "a sliding window of 4"),
        (("--from", "dropping"), "dropout"),
    ],
    ids=["heads", "window", "dropout"],
)
def test_a_training_by_torchrun_refuses_it_in_one_line_and_writes_nothing(
    corpus: Path, more: tuple[str, ...], told: str
) -> None:
    for name, besides in (("windowed", {**WINDOW, "max_window_layers": 0}), ("dropping", {"attention_dropout": 0.1})):
        if name in more:
            _write(corpus / name, Qwen2Config(**{**SIZES, "vocab_size": 300}, **besides))
    running = start(corpus, "run", "--ring", "2", *more)
    _, err = running.communicate(timeout=300)
    assert running.returncode != 0
    lines = [line for line in err.splitlines() if "error[" in line]
    assert len(lines) == 1 and "error[usage.bad_option]" in lines[0] and told in lines[0]
    assert not (corpus / "run").exists()


def _write(folder: Path, config: Qwen2Config) -> None:
    """A language model's folder, with a tokenizer of bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    Qwen2ForCausalLM(config).save_pretrained(folder)
    alphabet = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == 300
