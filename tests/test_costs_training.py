"""The formulas of a training's cost against what is counted: parameters, saved tensors, bytes alive, multiplications.

Counted on torch's own terms: numbers of a network's parameters, what autograd's hooks say is saved, what is alive while
torch's operations are watched, what torch's own counter says is multiplied. Where 7B is meant, tensors have no numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from longtake.checkpoint import without_memory
from longtake.costs.holding import (
    aside_bytes,
    kept_bytes,
    layer_saved_bytes,
    memory,
    peak,
    perceptron_back_bytes,
    states_bytes,
    working_bytes,
)
from longtake.costs.learning import decoder_of, networks_of, saved_bytes
from longtake.costs.moving import flops, seconds, sent_bytes
from longtake.costs.training import (
    AUTOCAST,
    BFLOAT16,
    FLOAT32,
    Arrangement,
    Attention,
    Decoder,
    Load,
    Networks,
    Numbers,
    passes_of_rank,
    share_tokens,
)
from longtake.costs.work import Watching
from longtake.loading import load as load_model
from longtake.parallel import Ranks
from longtake.parallel.order import zigzag

TINY = {
    "hidden_size": 64,
    "intermediate_size": 320,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
MOMENTS = ["start", "loss", "perceptron", "attention", "step"]
TEXT = Load("text-1", steps=1000, passes=4, rows=1, length=224_000)
"""LongVA's text stage (arXiv 2406.16852, section 3.1)."""


def qwen2(**more: Any) -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**{**TINY, "num_hidden_layers": 2, **more})).train()


def llama(**more: Any) -> Any:
    return LlamaForCausalLM(LlamaConfig(**{**TINY, "num_hidden_layers": 2, **more})).train()


def hidden_of(model: Any, tokens: int) -> torch.Tensor:
    ids = torch.zeros(1, tokens, dtype=torch.int64, device=model.lm_head.weight.device)
    hidden: torch.Tensor = model.model(input_ids=ids, use_cache=False).last_hidden_state
    return hidden


def of_a_layer_and_token(make: Callable[..., Any], counted: Callable[[Any, int], int]) -> float:
    """What a third layer adds to two, and each of 64 tokens to 64 others: nothing else is left."""
    found = [[counted(make(num_hidden_layers=n), tokens) for tokens in (64, 128)] for n in (2, 3)]
    (two_64, two_128), (three_64, three_128) = found
    return ((three_128 - two_128) - (three_64 - two_64)) / 64


def computing(numbers: Numbers) -> Any:
    """As `numbers` are computed with."""
    return torch.autocast("cpu", torch.bfloat16) if numbers == AUTOCAST else contextlib.nullcontext()


def cast(model: Any, numbers: Numbers) -> Any:
    return model.to(torch.bfloat16) if numbers == BFLOAT16 else model


@pytest.mark.parametrize("numbers", [BFLOAT16, FLOAT32, AUTOCAST])
@pytest.mark.parametrize("make", [qwen2, llama])
def test_a_layer_keeps_what_the_formula_says(make: Callable[..., Any], numbers: Numbers) -> None:
    """Exactly: what autograd's own hooks see of a real layer on the processor."""

    def counted(model: Any, tokens: int) -> int:
        model = cast(model, numbers)
        with computing(numbers):
            return saved_bytes(model, lambda: hidden_of(model, tokens))

    assert of_a_layer_and_token(make, counted) == layer_saved_bytes(decoder_of(make()), numbers)


def test_a_layer_of_seven_billion_keeps_what_the_formula_says() -> None:
    """The same at LongVA's own shape and 28,000 tokens, an eighth of its row, on tensors without numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    shape = networks_of("lmms-lab/LongVA-7B").decoder
    config = Qwen2Config(
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        num_hidden_layers=1,
        vocab_size=1000,
        attn_implementation="sdpa",
    )
    with FakeTensorMode():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).train()
        turns = tuple(torch.empty(1, 28_000, shape.head_width, dtype=torch.bfloat16) for _ in range(2))
        hidden = torch.empty(1, 28_000, shape.width, dtype=torch.bfloat16, requires_grad=True)
        # The layer itself: without numbers transformers cannot tell that a causal mask is not needed, and makes one.
        kept = saved_bytes(model, lambda: model.model.layers[0](hidden, position_embeddings=turns, use_cache=False))
    shared = sum(turn.nbytes for turn in turns)
    assert kept - shared == 28_000 * layer_saved_bytes(shape, BFLOAT16)
    assert layer_saved_bytes(shape, BFLOAT16) == 225_400  # by hand: 57,352 + 16,384 + 151,552 + 112


@pytest.mark.parametrize("numbers", [BFLOAT16, FLOAT32, AUTOCAST])
def test_recomputation_keeps_a_layer_s_input(numbers: Numbers) -> None:
    def counted(model: Any, tokens: int) -> int:
        model.activation_checkpointing_enable()
        with computing(numbers), Watching() as watching:
            made = hidden_of(cast(model, numbers), tokens)
        del made
        return watching.peak_bytes

    assert of_a_layer_and_token(qwen2, counted) == numbers.stream * decoder_of(qwen2()).width


@pytest.mark.parametrize("numbers", [BFLOAT16, FLOAT32, AUTOCAST])
@pytest.mark.parametrize(("width", "hidden"), [(64, 320), (64, 640), (128, 640)])
def test_the_way_back_is_as_wide_as_the_formula_says(width: int, hidden: int, numbers: Numbers) -> None:
    """All that torch holds at once, token by token, in a whole way there and back under recomputation: within 5 %.

    Left over are the last norm and the tables of positions, which do not grow with the layers.
    """

    def counted(tokens: int) -> int:
        model = cast(qwen2(hidden_size=width, intermediate_size=hidden), numbers)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        model.activation_checkpointing_enable()
        with Watching() as watching:
            with computing(numbers):
                made = hidden_of(model, tokens)
            made.sum().backward()
        return watching.peak_bytes

    decoder = decoder_of(qwen2(hidden_size=width, intermediate_size=hidden))
    told = 2 * numbers.stream * width + layer_saved_bytes(decoder, numbers) + perceptron_back_bytes(decoder, numbers)
    measured = (counted(1024) - counted(512)) / 512
    assert told == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("make", [qwen2, llama])
@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_counted(make: Callable[..., Any], tied: bool) -> None:
    with without_memory():
        model = make(tie_word_embeddings=tied)
    decoder = decoder_of(model)
    assert decoder.parameters == sum({id(p): p.numel() for p in model.parameters()}.values())
    assert decoder.layer_matrices == 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 320


def test_longva_is_known_without_its_weights() -> None:
    """Qwen2-7B's card tells 7.61 billion, 6.53 of them not embeddings; CLIP-L at 336 px has 304 million."""
    found = networks_of("lmms-lab/LongVA-7B")
    assert round(found.parameters["language"] / 1e9, 2) == 7.62
    assert round(found.decoder.layers * found.decoder.layer_parameters / 1e9, 2) == 6.53
    assert round(found.parameters["vision"] / 1e6) == 304
    assert found.parameters["projector"] == 1024 * 3584 + 3584 + 3584 * 3584 + 3584
    assert found.view_tokens == 144


def test_nano_s_parts_are_as_they_are() -> None:
    """What is rehearsed without weights is what the real networks save and multiply."""
    found, real = networks_of("nano", half=False), load_model("nano", device="cpu")
    tower: Any = real.encoder.tower  # type: ignore[attr-defined]
    tower.train().requires_grad_(True)
    one, two = (
        saved_bytes(tower, lambda n=n: tower(torch.zeros(n, 3, 96, 96)))  # type: ignore[misc]
        for n in (1, 2)
    )
    assert found.parts["vision"].saved_bytes == two - one
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tower(torch.zeros(1, 3, 96, 96))
    assert found.parts["vision"].flops == counter.get_total_flops()
    for name in ("vision", "projector"):
        network = real.encoder.tower if name == "vision" else real.encoder.projector  # type: ignore[attr-defined]
        assert found.parameters[name] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("make", [qwen2, llama])
def test_multiplications_are_counted(make: Callable[..., Any]) -> None:
    """Torch's counter sees attention whole, ours the causal half; and on the way back five products of it for two."""
    model, tokens = make(), 128
    with FlopCounterMode(display=False) as counter:
        hidden = hidden_of(model, tokens)
        loss = model.lm_head(hidden).sum()
        loss.backward()
    by_kind = {str(kind): count for kind, count in counter.get_flop_counts()["Global"].items()}
    attended = {kind: count for kind, count in by_kind.items() if "attention" in kind}
    told = flops(Networks(decoder_of(model), {}), replace(TEXT, passes=1, length=tokens), Arrangement())
    decoder = decoder_of(model)
    pairs = tokens * (tokens + 1) / 2
    attention = 4 * pairs * decoder.layers * decoder.heads * decoder.head_width
    matrices = sum(by_kind.values()) - sum(attended.values())
    # What comes in of the first layer's input learns nothing but the embeddings: all else is there.
    assert told.useful - 3 * attention == pytest.approx(matrices, rel=1e-9)
    if attended:
        whole = 4 * tokens * tokens * decoder.layers * decoder.heads * decoder.head_width
        assert sorted(attended.values()) == pytest.approx(sorted([whole, 2.5 * whole]), rel=1e-9)
    again = 2 * tokens * decoder.vocabulary * decoder.width
    assert told.computed == pytest.approx(matrices + 3.5 * attention + again, rel=1e-9)


def test_longva_s_two_days_are_what_utilisation_was_taken_from() -> None:
    """1,000 steps of four rows on eight A100s took two days: about half of the peak with what is computed twice."""
    networks, arranged = networks_of("lmms-lab/LongVA-7B"), Arrangement(8, 8, recompute=True)
    spent = seconds(networks, TEXT, arranged, device_flops=312e12, utilisation=0.5) / 3600
    assert 40 < spent < 56


def test_states_by_hand() -> None:
    """A decoder of 1,000 numbers, which learns, and a tower of 200, on four ranks: 250, 250 and 500 of 4 bytes, and all
    of the tower.
    """
    decoder = Decoder(4, 8, 2, Attention(2, 1), 2, 10, layer_parameters=450, layer_matrices=400, outer_parameters=100)
    networks = replace(networks_of("nano"), decoder=decoder)
    networks = Networks(decoder, {"vision": replace(networks.parts["vision"], parameters=200)})
    load, arranged = Load("a", 1, 1, 1, 16), Arrangement(4, 2)
    assert states_bytes(networks, load, arranged) == {"weights": 1800, "gradients": 1000, "optimiser": 2000}
    whole = {"weights": 4800, "gradients": 4000, "optimiser": 8000}
    assert states_bytes(networks, load, replace(arranged, hold="whole")) == whole
    away = replace(arranged, hold="aside")
    assert aside_bytes(networks, load, away) == 4000 and aside_bytes(networks, load, arranged) == 0
    assert all(moment.bytes.get("optimiser", 0) == 0 for moment in memory(networks, load, away))
    assert states_bytes(networks, replace(load, adapters=40), arranged)["optimiser"] == 80
    both = replace(load, adapters=40, learning=frozenset({"language", "vision"}))
    assert states_bytes(networks, both, arranged)["optimiser"] == 80 + 8 * 200
    seeing = replace(load, learning=frozenset({"language", "vision"}))
    assert aside_bytes(networks, seeing, away) == 4000, "the tower does not lie aside"
    assert [moment.bytes["optimiser"] for moment in memory(networks, seeing, away)[1:]] == [8 * 200] * 4
    sent = sent_bytes(networks, seeing, Arrangement(4, 1))
    assert sent["reduces"] == 4000 * 3 / 4 and sent["averages"] == 2 * 800 * 3 / 4
    assert sent["gathers"] == 2 * (2 * 900 + 100) * 3 / 4


def test_knobs_do_what_they_are_for() -> None:
    networks = networks_of("lmms-lab/LongVA-7B")
    plain, again = Arrangement(8, 8), Arrangement(8, 8, recompute=True)
    assert kept_bytes(networks, TEXT, plain) > 20 * kept_bytes(networks, TEXT, again)
    assert flops(networks, TEXT, again).useful == flops(networks, TEXT, plain).useful
    assert flops(networks, TEXT, again).computed > flops(networks, TEXT, plain).computed
    more = Arrangement(16, 16, recompute=True)
    assert share_tokens(TEXT, more) * 2 == share_tokens(TEXT, again)
    assert peak(networks, TEXT, more).total_bytes < peak(networks, TEXT, again).total_bytes
    half_ring = Arrangement(16, 8, recompute=True)
    assert passes_of_rank(TEXT, half_ring) == 2 and passes_of_rank(TEXT, again) == 4
    assert set(sent_bytes(networks, TEXT, Arrangement(hold="whole"))) == set()
    assert set(sent_bytes(networks, TEXT, Arrangement(8, 1))) == {"gathers", "reduces"}
    assert set(sent_bytes(networks, TEXT, Arrangement(8, 1, hold="whole"))) == {"averages"}
    assert set(sent_bytes(networks, TEXT, Arrangement(8, 8, "ulysses"))) == {"all_to_all", "gathers", "reduces"}
    assert working_bytes(networks, replace(TEXT, half=False), Arrangement(hold="whole"))["layer"] == 0
    assert [stage.name for stage in memory(networks, TEXT, again)] == MOMENTS


def test_padding_of_a_row_is_counted() -> None:
    """A row of 10 over 4 ranks is padded to 16; on one it is not."""
    assert share_tokens(replace(TEXT, length=10), Arrangement(4, 4)) == 4
    assert share_tokens(replace(TEXT, length=10), Arrangement(4, 1)) == 10


@pytest.mark.parametrize("ring", [2, 3, 7, 8])
def test_a_share_is_as_long_as_ranks_make_it(ring: int) -> None:
    """`costs` knows no ranks at work, so it has the rule of `parallel.order` in numbers of its own."""
    for length in range(1, 100):
        held = {len(zigzag(length, Ranks(rank, ring, torch.device("cpu")))) for rank in range(ring)}
        assert held == {share_tokens(replace(TEXT, length=length), Arrangement(ring, ring))}


@pytest.mark.parametrize(("ranks", "ring"), [(0, 1), (8, 3), (4, 0)])
def test_ranks_must_divide(ranks: int, ring: int) -> None:
    with pytest.raises(ValueError, match="multiple of ring"):
        Arrangement(ranks, ring)


def test_ring_sends_by_hand() -> None:
    """Two ranks, eight tokens, one layer of one key head of two numbers: each sends its four tokens' keys and values
    once on the way there and once on the way back, and their gradients twice in float32.
    """
    decoder = Decoder(4, 8, 1, Attention(2, 1), 2, 10, layer_parameters=0, layer_matrices=0, outer_parameters=0)
    load = Load("a", 1, 1, 1, 8, half=False)
    sent = sent_bytes(Networks(decoder, {}), load, Arrangement(2, 2))["ring"]
    keys = 4 * 2 * 2
    assert sent == keys * 4 * 2 + keys * 4 * 2
    assert math.isclose(sent, 256)
