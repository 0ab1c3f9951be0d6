"""engines.attention against attention written out in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

from longtake.engines.attention import NAME, attend, causal, folding
from longtake.engines.merging import merged, nothing, past

HEADS = [(4, 4), (14, 2), (6, 1)]
"""Query heads and key-value heads: one for one, Qwen2-0.5B's, all in one group."""
LENGTHS = [(1, 1), (1, 300), (32, 32), (2, 3), (32, 300), (200, 1200)]
"""Rows of the chunk and all positions: one token, a whole prompt, a chunk after a past."""


def drawn(rows: int, positions: int, heads: int, groups_of: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(rows * 10_000 + positions)
    shapes = ((1, heads, rows, 16), (1, groups_of, positions, 16), (1, groups_of, positions, 16))
    return tuple((3 * torch.randn(shape, generator=generator)).to(dtype) for shape in shapes)


def written_out(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    """Every product, in double precision; positions that a row does not see are minus infinity."""
    groups = query.shape[1] // key.shape[1]
    key, value = (states.double().repeat_interleave(groups, dim=1) for states in (key, value))
    products = query.double() @ key.transpose(-1, -2) * scaling
    rows, positions = products.shape[-2:]
    sees = torch.ones(rows, positions, dtype=torch.bool).tril(positions - rows)
    return products.masked_fill(~sees, float("-inf")).softmax(-1) @ value


@pytest.mark.parametrize("shape", [(*lengths, *heads) for heads in HEADS for lengths in LENGTHS])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-5), (torch.bfloat16, 3e-2)])
def test_it_is_causal_attention(shape: tuple[int, int, int, int], dtype: torch.dtype, tolerance: float) -> None:
    query, key, value = drawn(*shape, dtype)
    found = causal(query, key, value, scaling=0.3)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), written_out(query, key, value, 0.3), atol=tolerance, rtol=tolerance)


def test_past_and_chunk_are_weighed_right_when_one_of_them_has_all_the_weight() -> None:
    query = torch.full((1, 1, 2, 1), 40.0)
    key = torch.tensor([9.0, 0.0, 0.0, 9.0, -9.0]).view(1, 1, 5, 1)
    value = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).view(1, 1, 5, 1)
    found = causal(query, key, value, scaling=1.0).flatten()
    # Row 0 sees positions 0 to 3, of which 0 (in the past) and 3 (its own) are equal; row 1 sees the last one too.
    torch.testing.assert_close(found, torch.tensor([2.5, 2.5]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_nothing_weighs_nothing_beside_something_and_beside_nothing(dtype: torch.dtype) -> None:
    query, key, value = drawn(3, 5, 4, 2, dtype)
    out, lse = past(query, key, value, None)
    for parts in [
        (nothing(query), (out, lse)),
        ((out, lse), nothing(query)),
        (nothing(query), nothing(query), (out, lse)),
    ]:
        found = merged(parts)
        assert torch.equal(found[0], out.to(lse.dtype))
        assert torch.equal(found[1], lse)
    none = merged([nothing(query), nothing(query)])
    assert none[0].eq(0).all() and none[0].dtype == torch.promote_types(dtype, torch.float32)
    # Of a sum of nothing there still is a difference to the next.
    assert none[1].isfinite().all()
    broken = (out * float("nan"), lse * float("nan"))
    assert merged([nothing(query), broken])[0].isnan().all()


def mistral(window: int | None) -> MistralForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    told = {"vocab_size": 50, "num_key_value_heads": 2, "initializer_range": 0.3, "sliding_window": window}
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(**sizes, **told)).eval()


def test_a_sliding_window_is_left_to_transformers() -> None:
    token_ids = torch.arange(30)[None]
    narrow, whole = mistral(8), mistral(None)
    with torch.inference_mode():
        seen_by_all, seen_by_few = whole(token_ids).logits, narrow(token_ids).logits
        torch.testing.assert_close(folding(whole)(token_ids).logits, seen_by_all, atol=1e-5, rtol=1e-5)
        assert torch.equal(folding(narrow)(token_ids).logits, seen_by_few)
    assert not torch.allclose(seen_by_few[:, -1], seen_by_all[:, -1])
    assert whole.config._attn_implementation == NAME != narrow.config._attn_implementation


def test_the_layers_form_and_a_mask_refused() -> None:
    query, key, value = drawn(3, 7, 4, 2, torch.float32)
    out, weights = attend(nn.Identity(), query, key, value, None, scaling=0.25, dropout=0.0, sliding_window=None)
    assert weights is None and out.is_contiguous()
    torch.testing.assert_close(out.transpose(1, 2), causal(query, key, value))  # a quarter is 1 / sqrt(16)
    with pytest.raises(ValueError, match="mask"):
        attend(nn.Identity(), query, key, value, torch.ones(3, 7))
