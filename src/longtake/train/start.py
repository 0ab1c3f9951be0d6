"""train/start: an untrained language model in, one whose first three layers already copy out.

A small transformer takes most of its training to find out how to look back, match and copy (an induction head, Olsson
and others 2022, arXiv 2209.11895). Here these heads are written into the weights and training begins from there:

    layer 0  heads look one and two tokens back and note what stood there
    layer 1  matches "what stood before" with the newest tokens, and copies what followed
    layer 2  matches a token with its earlier self, and copies what stood one or two before it
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

HEAD_WIDTH = 32
WORD_SCALE = 0.12
"""Standard deviation of a word vector's numbers: width 128 then gives a right word a logit of about 15."""
LOOK_BACK = 8.0
"""Size of the constant keys that only position tells apart: neighbours then differ by 6 in the attention's logit."""
MATCH = 1.8
"""Size of matching projections: a match then stands about 10 above others in the attention's logit."""
SLOW_PAIRS = range(6, HEAD_WIDTH // 2)
"""Rotary pairs that turn slowly, by which content can be matched whatever the distance."""


def language_config(vocabulary: int, *, width: int, layers: int, theta: float, context: int) -> Qwen2Config:
    """nano's language model: Qwen2's architecture (arXiv 2407.10671) with grouped-query heads HEAD_WIDTH wide."""
    return Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH,
        num_key_value_heads=width // HEAD_WIDTH // 2,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
        tie_word_embeddings=True,
    )


def word_vectors(vocabulary: int, width: int, *, seed: int) -> torch.Tensor:
    """(vocabulary, width) random vectors that words begin with: the same for the text stage and the picture stage."""
    return WORD_SCALE * torch.randn(vocabulary, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def write_copying_heads(language: Qwen2ForCausalLM, *, seed: int) -> None:
    """Write word vectors and the heads described above into an untrained model with two groups of two heads."""
    config = language.config
    if config.num_attention_heads != 4 or config.num_key_value_heads != 2:
        raise ValueError(f"{config.num_attention_heads} / {config.num_key_value_heads} heads; copying heads want 4 / 2")
    width = config.hidden_size
    vectors = word_vectors(config.vocab_size, width, seed=seed)
    language.model.embed_tokens.weight.copy_(vectors)
    for layer in language.model.layers:
        layer.self_attn.o_proj.weight.mul_(0.3)
        layer.mlp.down_proj.weight.mul_(0.3)
    generator = torch.Generator().manual_seed(seed + 1)
    word, before, two_before, copied, copied_pair = (_directions(width, generator) for _ in range(5))
    _write_look_back(language, word, before, two_before)
    slow = len(SLOW_PAIRS) * 2
    half = slow // 2
    newest_two = torch.cat([word[:half], before[half:slow]])
    stood_before = torch.cat([before[:half], two_before[half:slow]])
    _write_match(language, 1, 0, (word[:slow], before[:slow], copied, copied))
    _write_match(language, 1, 1, (newest_two, stood_before, copied_pair, copied_pair))
    _write_match(language, 2, 0, (word[:slow], word[:slow], before, word))
    _write_match(language, 2, 1, (word[:slow], word[:slow], two_before, word))


def _directions(width: int, generator: torch.Generator) -> torch.Tensor:
    """(HEAD_WIDTH, width) random directions at right angles: a private place in the residual stream."""
    basis: torch.Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    return basis[:HEAD_WIDTH]


def _write_look_back(
    language: Qwen2ForCausalLM, word: torch.Tensor, before: torch.Tensor, two_before: torch.Tensor
) -> None:
    """Heads 0 and 1 of layer 0: constant keys and queries, turned so that the rotary embedding favours 1 or 2 back."""
    attention = language.model.layers[0].self_attn
    half = HEAD_WIDTH // 2
    turn_per_token = _theta(language) ** (-torch.arange(half) / half)
    attention.q_proj.weight[: 2 * HEAD_WIDTH].mul_(0.02)
    attention.k_proj.weight[:HEAD_WIDTH].mul_(0.02)
    attention.k_proj.bias[:half] = LOOK_BACK
    attention.k_proj.bias[half:HEAD_WIDTH] = 0.0
    attention.v_proj.weight[:HEAD_WIDTH] = word
    for head, (back, noted) in enumerate(((1, before), (2, two_before))):
        rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        turned = LOOK_BACK * torch.cat([torch.cos(-back * turn_per_token), torch.sin(-back * turn_per_token)])
        attention.q_proj.bias[rows] = turned
        attention.o_proj.weight[:, rows] = WORD_SCALE * noted.T


def _theta(language: Qwen2ForCausalLM) -> float:
    parameters: dict[str, Any] = dict(language.config.rope_parameters or {})
    return float(parameters["rope_theta"])


def _write_match(
    language: Qwen2ForCausalLM,
    layer: int,
    group: int,
    parts: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    """Both heads of one group: queries and keys that match, values that are read, and where they are written."""
    queries, keys, read, written = parts
    attention = language.model.layers[layer].self_attn
    slow = torch.tensor([*SLOW_PAIRS, *(pair + HEAD_WIDTH // 2 for pair in SLOW_PAIRS)])
    rows = slice(group * HEAD_WIDTH, (group + 1) * HEAD_WIDTH)
    attention.k_proj.weight[rows].mul_(0.05)
    attention.k_proj.weight[group * HEAD_WIDTH + slow] += MATCH * keys
    attention.v_proj.weight[rows] = read
    for head in (2 * group, 2 * group + 1):
        columns = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        attention.q_proj.weight[columns].mul_(0.05)
        attention.q_proj.weight[head * HEAD_WIDTH + slow] += MATCH * queries
        attention.o_proj.weight[:, columns] = WORD_SCALE * written.T
