"""The local engine: two roads to one answer, kept prefixes, sampling, and what is never computed."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from longtake.engines import GenerateOptions
from longtake.engines.attention import folding
from longtake.engines.drawing import chooser
from longtake.engines.kept import RoomyLayer
from longtake.engines.local import LocalEngine
from longtake.engines.shelves import ROOM_TOKENS
from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import VISUAL_PLACE, Prompt

VOCABULARY = 97
WIDTH = 32
QUESTION = [5, 9, 13, 2]


def qwen2(seed: int, key_value_heads: int = 2) -> Qwen2ForCausalLM:
    """A tiny random Qwen2; weights ten times the usual, so that its greedy tokens do not repeat from the start."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        initializer_range=0.2,
        tie_word_embeddings=False,
        max_position_embeddings=2048,
    )
    return Qwen2ForCausalLM(config).eval()


def prompt_of(length: int, seed: int = 0) -> Prompt:
    """Text and visual tokens, mixed."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (length,), generator=generator)
    ids[torch.rand(length, generator=generator) < 0.6] = VISUAL_PLACE
    visual = torch.randn(int((ids == VISUAL_PLACE).sum()), WIDTH, generator=generator)
    return Prompt(ids, visual)


def embedded(model: Qwen2ForCausalLM, prompt: Prompt, more: list[int]) -> torch.Tensor:
    """The whole prompt and `more` as embeddings (1, L, D), put together token by token."""
    rows = []
    visual = iter(prompt.visual_ND)
    for token_id in [*prompt.token_ids_L.tolist(), *more]:
        rows.append(next(visual) if token_id == VISUAL_PLACE else model.model.embed_tokens.weight[token_id])
    return torch.stack(rows)[None]


@pytest.fixture(scope="module", params=[4, 2, 1], ids=lambda heads: f"{heads}kv")
def model(request: pytest.FixtureRequest) -> Qwen2ForCausalLM:
    return qwen2(seed=1, key_value_heads=request.param)


@pytest.fixture
def engine(model: Qwen2ForCausalLM) -> LocalEngine:
    """As families make it; `model` keeps transformers' own attention, to be held against."""
    return LocalEngine(folding(copy.deepcopy(model)), stop_ids=(), trained_context=2048)


def tokens(engine: LocalEngine, prompt: Prompt, new: int = 20) -> list[int]:
    return list(engine.generate(engine.prefill(prompt), QUESTION, GenerateOptions(max_new_tokens=new)))


@pytest.mark.parametrize("length", [1, 7, 50])
def test_chunked_whole_and_transformers_own_generate_agree(
    model: Qwen2ForCausalLM, engine: LocalEngine, length: int
) -> None:
    prompt = prompt_of(length)
    with torch.inference_mode():
        own = model.generate(
            inputs_embeds=embedded(model, prompt, QUESTION), max_new_tokens=20, min_new_tokens=20, do_sample=False
        )[0].tolist()
    assert len(set(own)) > 5, "the toy model must not repeat one token, or equality shows little"
    for chunk_tokens in (1, 3, 16, 50, 1024):
        assert tokens(replace(engine, chunk_tokens=chunk_tokens), prompt) == own


def test_a_kept_prefix_serves_again_and_gives_the_tokens_of_a_fresh_run(engine: LocalEngine) -> None:
    prompt = prompt_of(40)
    fresh = {question: tokens_after(engine, prompt, question) for question in ((1, 2, 3), (60,), (7, 8, 9, 10, 11))}
    kept = engine.prefill(prompt)
    for question in [*fresh, *reversed(fresh)]:
        assert list(engine.generate(kept, question, GenerateOptions(max_new_tokens=16))) == fresh[question]
    assert kept.length == 40
    assert len(set(map(tuple, fresh.values()))) == 3


def tokens_after(engine: LocalEngine, prompt: Prompt, question: tuple[int, ...]) -> list[int]:
    return list(engine.generate(engine.prefill(prompt), question, GenerateOptions(max_new_tokens=16)))


def test_kept_states_are_bit_for_bit_what_they_were(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(30))
    before = [[states.clone() for states in layer.dense()] for layer in kept.layers]
    list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=ROOM_TOKENS + 40)))
    engine.logprobs(kept, QUESTION, [1, 2, 3])
    for layer, (keys, values) in zip(kept.layers, before, strict=True):
        assert torch.equal(layer.dense()[0], keys)
        assert torch.equal(layer.dense()[1], values)


def test_an_iterator_left_half_way_does_no_harm(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(30))
    wanted = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=12)))
    abandoned = engine.generate(kept, [88, 3], GenerateOptions(max_new_tokens=12))
    next(abandoned)
    next(abandoned)
    assert list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=12))) == wanted
    abandoned.close()
    assert list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=12))) == wanted


def test_two_iterators_at_once_do_not_mix(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(30))
    questions = ([1, 2, 3], [60], [7, 8])
    wanted = [list(engine.generate(kept, question, GenerateOptions(max_new_tokens=10))) for question in questions]
    open_at_once = [engine.generate(kept, question, GenerateOptions(max_new_tokens=10)) for question in questions]
    woven = list(zip(*open_at_once, strict=True))
    assert [list(column) for column in zip(*woven, strict=True)] == wanted


def test_threads_share_a_prefix(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(30))
    wanted = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=10)))
    got: list[list[int]] = []
    threads = [
        threading.Thread(
            target=lambda: got.append(list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=10))))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 4


def test_an_answer_longer_than_the_buffers_room(model: Qwen2ForCausalLM, engine: LocalEngine) -> None:
    """The buffers grow while tokens are generated; transformers' concatenating cache gives the same tokens."""
    prompt = prompt_of(10)
    new = ROOM_TOKENS + 20
    got = tokens(engine, prompt, new)
    cache = DynamicCache(config=model.config)
    wanted = []
    with torch.inference_mode():
        rows = embedded(model, prompt, QUESTION)
        for _ in range(new):
            logits = model(inputs_embeds=rows, past_key_values=cache, use_cache=True).logits[0, -1]
            wanted.append(int(logits.argmax()))
            rows = model.model.embed_tokens.weight[wanted[-1]][None, None]
    assert got == wanted


def test_no_question_reads_on_from_the_prefix_itself(model: Qwen2ForCausalLM, engine: LocalEngine) -> None:
    prompt = prompt_of(12)
    with torch.inference_mode():
        wanted = int(model(inputs_embeds=embedded(model, prompt, [])).logits[0, -1].argmax())
    kept = engine.prefill(prompt)
    assert list(engine.generate(kept, [], GenerateOptions(max_new_tokens=1))) == [wanted]


def test_only_the_last_position_becomes_logits(model: Qwen2ForCausalLM, engine: LocalEngine) -> None:
    seen: list[int] = []
    hook = engine.language.lm_head.register_forward_hook(lambda head, inputs, output: seen.append(output.shape[0]))
    kept = engine.prefill(prompt_of(50))
    assert seen == []
    list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=3)))
    hook.remove()
    assert seen == [1, 1, 1]


def test_reading_is_in_chunks(model: Qwen2ForCausalLM, engine: LocalEngine) -> None:
    widths: list[int] = []
    hook = engine.language.model.layers[0].register_forward_hook(
        lambda layer, inputs, output: widths.append(inputs[0].shape[1])
    )
    told: list[tuple[int, int]] = []
    replace(engine, chunk_tokens=20).prefill(prompt_of(50), progress=lambda done, total: told.append((done, total)))
    hook.remove()
    assert widths == [20, 20, 10]
    assert told == [(20, 50), (40, 50), (50, 50)]


def test_stop_tokens_end_the_answer_and_are_left_out(engine: LocalEngine) -> None:
    prompt = prompt_of(40)
    whole = tokens(engine, prompt)
    stop = whole[4]
    assert tokens(replace(engine, stop_ids=(stop,)), prompt) == whole[: whole.index(stop)]


@pytest.mark.parametrize("chunk_tokens", [2, 1024])
def test_logprobs_are_the_log_softmax_of_a_full_forward(
    model: Qwen2ForCausalLM, engine: LocalEngine, chunk_tokens: int
) -> None:
    prompt, answer = prompt_of(20), [3, 1, 4, 1, 5]
    with torch.inference_mode():
        logits = model(inputs_embeds=embedded(model, prompt, QUESTION + answer)).logits[0].log_softmax(-1)
    first = 20 + len(QUESTION) - 1
    wanted = torch.stack([logits[first + place, token_id] for place, token_id in enumerate(answer)])
    engine = replace(engine, chunk_tokens=chunk_tokens)
    got = engine.logprobs(engine.prefill(prompt), QUESTION, answer)
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)
    assert engine.logprobs(engine.prefill(prompt), QUESTION, []).shape == (0,)


def test_logprobs_of_greedy_tokens_are_the_largest(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(20))
    greedy = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=6)))
    other = [(token_id + 1) % VOCABULARY for token_id in greedy]
    for place in range(6):
        best = engine.logprobs(kept, QUESTION + greedy[:place], [greedy[place]])
        assert best > engine.logprobs(kept, QUESTION + greedy[:place], [other[place]])


def test_the_same_seed_draws_the_same_tokens(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(20))

    def drawn(seed: int) -> list[int]:
        return list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=20, temperature=1.0, seed=seed)))

    assert drawn(3) == drawn(3)
    assert len({tuple(drawn(seed)) for seed in range(5)}) == 5


def test_drawing_leaves_the_callers_random_numbers_alone(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(20))
    before = torch.get_rng_state()
    list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=5, temperature=1.0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_drawn_tokens_have_the_frequencies_of_the_softmax() -> None:
    """Logits 0 and ln 3: at temperature 1 the odds are 1 to 3, at temperature 1/2 their squares, 1 to 9."""
    logits = torch.tensor([0.0, float(torch.tensor(3.0).log())])
    for temperature, chance in ((1.0, 0.75), (0.5, 0.9)):
        draw = chooser(GenerateOptions(temperature=temperature, seed=11))
        share = sum(draw(logits) for _ in range(4000)) / 4000
        assert share == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 4000) ** 0.5)


def test_a_tiny_temperature_takes_the_likeliest() -> None:
    draw = chooser(GenerateOptions(temperature=1e-30))
    assert {draw(torch.tensor([80.0, 100.0, 99.9])) for _ in range(20)} == {1}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_told_and_the_prefix_survives(bad: float) -> None:
    model = qwen2(seed=2)
    engine = LocalEngine(model, stop_ids=(), trained_context=2048)
    kept = engine.prefill(prompt_of(10))
    wanted = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=4)))
    good = float(model.lm_head.weight[7, 0].detach())
    with torch.no_grad():
        model.lm_head.weight[7, 0] = bad
    for refused in (
        lambda: list(engine.generate(kept, QUESTION, GenerateOptions())),
        lambda: engine.logprobs(kept, QUESTION, [1]),
    ):
        with pytest.raises(LongtakeError) as caught:
            refused()
        assert caught.value.code is ErrorCode.MODEL_NONFINITE
    with torch.no_grad():
        model.lm_head.weight[7, 0] = good
    assert list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=4))) == wanted


def test_bfloat16(model: Qwen2ForCausalLM) -> None:
    """In bfloat16 a kept prefix gives the tokens of a fresh run too, and log probabilities near float32's."""
    narrow = qwen2(seed=1, key_value_heads=model.config.num_key_value_heads)
    narrow.load_state_dict(model.state_dict())
    engine = LocalEngine(folding(narrow.to(torch.bfloat16)), stop_ids=(), trained_context=2048, chunk_tokens=16)
    prompt = prompt_of(40)
    kept = engine.prefill(prompt)
    first = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=12)))
    assert (
        list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=12))) == first == tokens(engine, prompt, 12)
    )
    assert kept.layers[0].dense()[0].dtype == torch.bfloat16
    wide = LocalEngine(model, stop_ids=(), trained_context=2048)
    difference = engine.logprobs(kept, QUESTION, [1, 2]) - wide.logprobs(wide.prefill(prompt), QUESTION, [1, 2])
    assert difference.abs().max() < 1.0


def test_a_layer_rewound_and_forked_by_hand() -> None:
    layer = RoomyLayer(expected=2)
    rows = torch.arange(6.0).reshape(1, 1, 6, 1)
    layer.update(rows[:, :, :3], -rows[:, :, :3])
    fork, fork_of_fork = layer.fork(2), layer.fork(2).fork(1)
    fork.update(rows[:, :, 4:], rows[:, :, 4:])
    layer.rewind(2)
    layer.update(rows[:, :, 5:], -rows[:, :, 5:])
    for read, keys in ((layer, [0, 1, 5]), (fork, [0, 1, 4, 5]), (fork_of_fork, [0])):
        assert read.dense()[0].flatten().tolist() == keys
        assert read.get_seq_length() == len(keys)
    assert layer.dense()[1].flatten().tolist() == [0, -1, -5]
    fork.rewind(1)
    assert fork.dense()[0].flatten().tolist() == [0]
    assert layer.get_seq_length() == 3, "to rewind a fork forgets nothing of what it shares"


def test_an_empty_prompt_and_strange_prefixes_are_misuse(engine: LocalEngine) -> None:
    with pytest.raises(ValueError, match="empty"):
        engine.prefill(Prompt(torch.zeros(0, dtype=torch.int64), torch.zeros(0, WIDTH)))
    with pytest.raises(ValueError, match="not from a Prompt"):
        list(engine.generate(prompt_of(3), [1], GenerateOptions()))
    with pytest.raises(ValueError, match="want 1 or more"):
        replace(engine, chunk_tokens=0)


def joined(head: Prompt, keep: int, tail: Prompt) -> Prompt:
    places = int((head.token_ids_L[:keep] == VISUAL_PLACE).sum())
    return Prompt(
        torch.cat([head.token_ids_L[:keep], tail.token_ids_L]), torch.cat([head.visual_ND[:places], tail.visual_ND])
    )


@pytest.mark.parametrize("keep", [0, 1, 17, 40])
def test_what_was_read_on_is_as_if_read_from_the_start(engine: LocalEngine, keep: int) -> None:
    engine = replace(engine, chunk_tokens=16)
    head, tail = prompt_of(40, seed=1), prompt_of(25, seed=2)
    whole = joined(head, keep, tail)
    extended = engine.extend(engine.prefill(head), keep, tail)
    fresh = engine.prefill(whole)
    assert extended.length == fresh.length == keep + 25
    torch.testing.assert_close(extended.last_hidden_1D, fresh.last_hidden_1D, rtol=1e-4, atol=1e-4)
    options = GenerateOptions(max_new_tokens=12)
    assert list(engine.generate(extended, QUESTION, options)) == list(engine.generate(fresh, QUESTION, options))


def test_reading_on_again_and_again_takes_no_new_memory(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(30), room_tokens=400)
    where = [layer.dense()[0].data_ptr() for layer in kept.layers]
    for number, keep in enumerate((30, 100, 12, 200, 0)):
        kept = engine.extend(kept, min(keep, kept.length), prompt_of(120, seed=number))
        assert [layer.dense()[0].data_ptr() for layer in kept.layers] == where


def test_a_spent_prefix_is_refused_and_one_in_use_is_not_spent(engine: LocalEngine) -> None:
    options = GenerateOptions(max_new_tokens=4)
    kept = engine.prefill(prompt_of(30))
    answer = engine.generate(kept, QUESTION, options)
    first = next(answer)
    with pytest.raises(ValueError, match="somebody is reading on"):
        engine.extend(kept, 10, prompt_of(5))
    rest = [first, *answer]
    with pytest.raises(ValueError, match="want 0 to 30"):
        engine.extend(kept, 31, prompt_of(5))
    with pytest.raises(ValueError, match="empty"):
        engine.extend(kept, 10, Prompt(torch.zeros(0, dtype=torch.int64), torch.zeros(0, WIDTH)))
    assert list(engine.generate(kept, QUESTION, options)) == rest, "what was refused has spent nothing"
    engine.extend(kept, 10, prompt_of(5))
    with pytest.raises(ValueError, match="is spent"):
        list(engine.generate(kept, QUESTION, options))
    with pytest.raises(ValueError, match="is spent"):
        engine.extend(kept, 10, prompt_of(5))


@pytest.mark.parametrize("chunk_tokens", [2, 1024])
def test_teacher_forcing_is_one_pass_over_prompt_and_answer(
    model: Qwen2ForCausalLM, engine: LocalEngine, chunk_tokens: int
) -> None:
    engine, prompt, answer = replace(engine, chunk_tokens=chunk_tokens), prompt_of(40), [7, 3, 7, 90, 11]
    forced = engine.force(engine.prefill(prompt), QUESTION, answer)
    with torch.inference_mode():
        logits_LV = model(inputs_embeds=embedded(model, prompt, [*QUESTION, *answer])).logits[0]
    logits_AV = logits_LV[-len(answer) - 1 : -1]
    assert forced.likeliest_A.tolist() == logits_AV.argmax(-1).tolist()
    own = logits_AV.log_softmax(-1)[range(len(answer)), answer]
    torch.testing.assert_close(forced.logprobs_A, own, rtol=1e-4, atol=1e-4)


def test_teacher_forcing_tells_whether_the_answer_ends_there(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(40))
    said = list(engine.generate(kept, QUESTION, GenerateOptions(max_new_tokens=6)))
    last = next(place for place in range(1, 6) if said[place] not in said[:place])
    ending = replace(engine, stop_ids=(said[last],))
    assert list(ending.generate(kept, QUESTION, GenerateOptions(max_new_tokens=6))) == said[:last]
    forced = ending.force(kept, QUESTION, said[:last])
    assert forced.likeliest_A.tolist() == said[:last] and forced.ends
    assert not ending.force(kept, QUESTION, said[: last - 1]).ends
