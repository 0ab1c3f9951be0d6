"""What attention looked at, and what it is not to see: held against transformers' own weights, and against a cache from
which the hidden keys are really cut.
"""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from longtake.engines import GenerateOptions, Keeping, merging, noticing
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.engines.merging import left_of
from longtake.engines.noticing import Hiding, notice
from longtake.prompt import Prompt

QUESTION, ANSWER = [5, 9, 13, 2], [7, 11, 3]
PAST = 40
HIDINGS = {
    "none": [],
    "one": [(10, 11)],
    "the first": [(0, 7)],
    "the last": [(30, PAST)],
    "several": [(3, 6), (20, 31), (33, 34)],
    "unordered and lapping": [(20, 28), (2, 5), (24, 31)],
    "all": [(0, PAST)],
}


def qwen2(key_value_heads: int, **more: object) -> Qwen2ForCausalLM:
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        initializer_range=0.3,
        max_position_embeddings=512,
        **more,
    )
    return Qwen2ForCausalLM(config).eval()


def prompt() -> Prompt:
    ids = torch.randint(0, 97, (PAST,), generator=torch.Generator().manual_seed(1))
    return Prompt(ids, torch.zeros(0, 32))


@pytest.fixture(scope="module", params=[4, 2, 1], ids=lambda heads: f"{heads}kv")
def model(request: pytest.FixtureRequest) -> Qwen2ForCausalLM:
    return qwen2(request.param)


@pytest.fixture(scope="module", params=[1024, 3], ids=["at once", "in chunks"])
def engine(request: pytest.FixtureRequest, model: Qwen2ForCausalLM) -> LocalEngine:
    return LocalEngine(folding(copy.deepcopy(model)), (), 512, chunk_tokens=request.param)


def test_attended_is_the_mean_of_what_transformers_tells(engine: LocalEngine, model: Qwen2ForCausalLM) -> None:
    told_RP = engine.attended(engine.prefill(prompt()), QUESTION, ANSWER)
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        whole = torch.tensor([[*prompt().token_ids_L.tolist(), *QUESTION, *ANSWER]])
        weights = torch.stack(model(whole, output_attentions=True).attentions)
    assert told_RP.dtype == torch.float32
    assert told_RP.shape == (len(QUESTION) + len(ANSWER) - 1, PAST)
    torch.testing.assert_close(told_RP, weights.mean((0, 1, 2))[PAST:-1, :PAST], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hidden", HIDINGS.values(), ids=HIDINGS.keys())
def test_hidden_is_as_if_the_keys_were_cut_out(
    engine: LocalEngine, model: Qwen2ForCausalLM, hidden: list[tuple[int, int]]
) -> None:
    forced = engine.force(engine.prefill(prompt()), QUESTION, ANSWER, hidden=hidden)
    kept = [place for place in range(PAST) if not any(start <= place < stop for start, stop in hidden)]
    model.set_attn_implementation("eager")
    cache, cut = DynamicCache(), DynamicCache()
    with torch.inference_mode():
        model(prompt().token_ids_L[None], past_key_values=cache)
        for number, layer in enumerate(cache.layers):
            cut.update(layer.keys[:, :, kept], layer.values[:, :, kept], number)
        read = torch.tensor([[*QUESTION, *ANSWER]])
        positions = torch.arange(PAST, PAST + read.shape[1])[None]
        logits_AV = model(read, past_key_values=cut, position_ids=positions).logits[0, len(QUESTION) - 1 : -1]
    wanted_A = logits_AV.log_softmax(-1).gather(1, torch.tensor(ANSWER)[:, None])[:, 0]
    torch.testing.assert_close(forced.logprobs_A, wanted_A, rtol=1e-4, atol=1e-4)
    assert forced.likeliest_A.tolist() == logits_AV.argmax(-1).tolist()


def test_hiding_changes_what_is_said_and_nothing_that_is_kept(engine: LocalEngine) -> None:
    prefix, options = engine.prefill(prompt()), GenerateOptions(max_new_tokens=6)
    before, plain = list(engine.generate(prefix, QUESTION, options)), engine.logprobs(prefix, QUESTION, ANSWER)
    hidden = engine.force(prefix, QUESTION, ANSWER, hidden=[(0, 30)])
    assert (hidden.logprobs_A - plain).abs().max() > 0.01
    engine.attended(prefix, QUESTION, ANSWER)
    assert notice() is None
    assert list(engine.generate(prefix, QUESTION, options)) == before
    assert torch.equal(engine.logprobs(prefix, QUESTION, ANSWER), plain)


def test_what_one_thread_hides_another_sees(engine: LocalEngine) -> None:
    prefix = engine.prefill(prompt())
    plain, seen = engine.logprobs(prefix, QUESTION, ANSWER), []
    with noticing.noticing(Hiding([(0, PAST)])):
        other = threading.Thread(target=lambda: seen.append(engine.logprobs(prefix, QUESTION, ANSWER)))
        other.start()
        other.join()
        here = engine.logprobs(prefix, QUESTION, ANSWER)
    assert torch.equal(seen[0], plain) and not torch.equal(here, plain)


def test_other_devices_are_told_the_same(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What devices compute whose functions keep the sums of exponents to themselves."""
    prefix = engine.prefill(prompt())

    def told() -> tuple[torch.Tensor, torch.Tensor]:
        hidden = engine.force(prefix, QUESTION, ANSWER, hidden=[(3, 6), (20, 31)])
        return engine.attended(prefix, QUESTION, ANSWER), hidden.logprobs_A

    here = told()
    monkeypatch.setattr(merging, "SUMMING", ())
    torch.testing.assert_close(told(), here, rtol=1e-4, atol=1e-5)


def test_eight_bits_and_forks_tell_what_they_look_at(engine: LocalEngine) -> None:
    """In pieces that are widened as they are read, and with more of one's own between prefix and question."""
    whole = engine.prefill(prompt())
    plain, dense = engine.attended(whole, QUESTION, ANSWER), engine.force(whole, QUESTION, ANSWER, hidden=[(3, 31)])
    first = engine.prefill(Prompt(prompt().token_ids_L[:25], torch.zeros(0, 32)))
    forked = engine.fork(first, 25, Prompt(prompt().token_ids_L[25:], torch.zeros(0, 32)))
    torch.testing.assert_close(engine.attended(forked, QUESTION, ANSWER), plain, rtol=1e-4, atol=1e-5)
    cut = engine.force(forked, QUESTION, ANSWER, hidden=[(3, 31)])
    torch.testing.assert_close(cut.logprobs_A, dense.logprobs_A, rtol=1e-4, atol=1e-5)
    eight = engine.with_keeping(Keeping("int8"))
    told = eight.attended(eight.prefill(prompt()), QUESTION, ANSWER)
    assert 0 < (told - plain).abs().max() < 0.02


def test_what_is_left() -> None:
    assert left_of(10, []) == [(0, 10)]
    assert left_of(10, [(0, 10)]) == [] == left_of(0, [])
    assert left_of(10, [(8, 12), (2, 4), (3, 5)]) == [(0, 2), (5, 8)]


def test_layers_that_attend_in_a_window_do_not_tell() -> None:
    engine = LocalEngine(folding(qwen2(2, use_sliding_window=True, sliding_window=16, max_window_layers=0)), (), 512)
    prefix = engine.prefill(prompt())
    assert not engine.tells_attention
    with pytest.raises(ValueError, match="do not tell"):
        engine.attended(prefix, QUESTION, ANSWER)
    with pytest.raises(ValueError, match="do not tell"):
        engine.force(prefix, QUESTION, ANSWER, hidden=[(0, 4)])


def test_a_prefix_that_ends_with_the_question_has_seen_all(engine: LocalEngine) -> None:
    prefix = engine.prefill(prompt())
    with pytest.raises(ValueError, match="give the question"):
        engine.force(prefix, [], ANSWER, hidden=[(0, 4)])
    with pytest.raises(ValueError, match="no answer"):
        engine.attended(prefix, QUESTION, [])
