"""The local engine with what it keeps: forks, crops, batches of questions, eight bits, disk, states, cancelling."""

from __future__ import annotations

import gc
import itertools
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from longtake.engines import GenerateOptions
from longtake.engines.attention import folding
from longtake.engines.cancelling import cancelled_by
from longtake.engines.keeping import Keeping
from longtake.engines.local import LocalEngine
from longtake.errors import ErrorCode, LongtakeError
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.ropes.dynamic import Dynamic

VOCABULARY, WIDTH = 97, 32
KINDS: dict[str, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}
QUESTIONS = [[5, 9, 13, 2], [1], [60, 7, 8, 9, 10, 11, 12, 3, 4], [5, 9, 13, 2], [33, 2]]
GREEDY = GenerateOptions(max_new_tokens=12)


def engine_of(kind: str, key_value_heads: int = 2, *, window: int | None = None, **told: Any) -> LocalEngine:
    """A tiny random model; weights ten times the usual, so that its greedy tokens do not repeat from the start."""
    config, model = KINDS[kind]
    torch.manual_seed(3)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": key_value_heads, "initializer_range": 0.2}
    extra = {"sliding_window": window} if kind == "mistral" else {}
    built = model(config(**sizes, **heads, **extra, tie_word_embeddings=False, max_position_embeddings=2048))
    return LocalEngine(folding(built.eval()), stop_ids=(), trained_context=2048, **told)


def prompt_of(length: int, seed: int = 0) -> Prompt:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (length,), generator=generator)
    ids[torch.rand(length, generator=generator) < 0.6] = VISUAL_PLACE
    return Prompt(ids, torch.randn(int((ids == VISUAL_PLACE).sum()), WIDTH, generator=generator))


def followed(head: Prompt, keep: int, tail: Prompt) -> Prompt:
    places = int((head.token_ids_L[:keep] == VISUAL_PLACE).sum())
    ids = torch.cat([head.token_ids_L[:keep], tail.token_ids_L])
    return Prompt(ids, torch.cat([head.visual_ND[:places], tail.visual_ND]))


def tokens(engine: LocalEngine, kept: Any, question: list[int]) -> list[int]:
    return list(engine.generate(kept, question, GREEDY))


@pytest.fixture(params=["qwen2", "llama", "mistral"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    return engine_of(request.param, chunk_tokens=16)


def test_forks_are_as_if_read_from_the_start_and_leave_each_other_alone(engine: LocalEngine) -> None:
    head = prompt_of(40)
    kept = engine.prefill(head)
    before = [states.clone() for layer in kept.layers for states in layer.dense()]
    forks = {(keep, seed): engine.fork(kept, keep, prompt_of(20, seed)) for keep in (40, 17, 0) for seed in (5, 6)}
    deeper = {key: engine.fork(fork, fork.length, prompt_of(9, 7)) for key, fork in forks.items()}
    said = set()
    for (keep, seed), fork in forks.items():
        fresh = engine.prefill(followed(head, keep, prompt_of(20, seed)))
        assert fork.length == keep + 20
        torch.testing.assert_close(fork.last_hidden_1D, fresh.last_hidden_1D, atol=1e-4, rtol=1e-4)
        assert tokens(engine, fork, [5, 9]) == tokens(engine, fresh, [5, 9])
        whole = followed(followed(head, keep, prompt_of(20, seed)), keep + 20, prompt_of(9, 7))
        said.add(tuple(tokens(engine, deeper[keep, seed], [4])))
        assert tuple(tokens(engine, engine.prefill(whole), [4])) in said
    assert len(said) == len(forks)
    after = [states for layer in kept.layers for states in layer.dense()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_fork_and_a_question_copy_nothing_of_the_prefix(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(300))
    fork = engine.fork(kept, 290, prompt_of(4, 1))
    with kept.borrowed() as borrowed:
        for layer, forked, lent in zip(kept.layers, fork.layers, borrowed, strict=True):
            where = layer.dense()[0].data_ptr()
            assert forked.segments[0].dense()[0].data_ptr() == lent.segments[0].dense()[0].data_ptr() == where
            assert [piece.positions for piece in forked.segments] == [290, 4]


def test_a_prefix_that_shares_its_memory_is_not_written_over(engine: LocalEngine) -> None:
    """`extend` would read on in the prefix's own memory, which a fork looks at."""
    kept = engine.prefill(prompt_of(40), room_tokens=100)
    fork = engine.fork(kept, 30, prompt_of(10, 1))
    wanted = tokens(engine, fork, [5, 9])
    extended = engine.extend(kept, 20, prompt_of(30, 2))
    assert tokens(engine, fork, [5, 9]) == wanted
    fresh = engine.prefill(followed(prompt_of(40), 20, prompt_of(30, 2)))
    assert tokens(engine, extended, [5, 9]) == tokens(engine, fresh, [5, 9])
    with pytest.raises(ValueError, match="is spent"):
        engine.fork(kept, 10, prompt_of(3))


def test_a_crop_is_the_beginning(engine: LocalEngine) -> None:
    head = prompt_of(40)
    kept = engine.prefill(head)
    crop = kept.cropped(13)
    shorter = engine.prefill(followed(head, 13, Prompt(torch.zeros(0, dtype=torch.int64), torch.zeros(0, WIDTH))))
    assert crop.length == 13
    assert tokens(engine, crop, [5, 9]) == tokens(engine, shorter, [5, 9])
    assert engine.generate_many(crop, QUESTIONS, GREEDY) == [tokens(engine, shorter, each) for each in QUESTIONS]
    assert crop.layers[0].dense()[0].data_ptr() == kept.layers[0].dense()[0].data_ptr()
    for nothing in (lambda: tokens(engine, crop, []), lambda: engine.generate_many(crop, [[]], GREEDY)):
        with pytest.raises(ValueError, match="cropped"):
            nothing()
    with pytest.raises(ValueError, match="want 0 to 40"):
        kept.cropped(41)
    assert tokens(engine, kept.cropped(40), []) == tokens(engine, kept, [])


def test_threads_fork_ask_and_crop_one_prefix_at_once(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(60))

    def forked(seed: int) -> list[int]:
        return tokens(engine, engine.fork(kept, 50 - seed, prompt_of(20, seed)), [seed])

    def asked(seed: int) -> list[int]:
        return tokens(engine, kept, QUESTIONS[seed % 5])

    def many(seed: int) -> list[list[int]]:
        return engine.generate_many(kept.cropped(60 - seed), QUESTIONS, GREEDY)

    works: list[Callable[[], object]] = [
        lambda do=do, seed=seed: do(seed) for seed in range(3) for do in (forked, asked, many)
    ]
    wanted = [work() for work in works]
    got: list[object] = [None] * len(works)
    at_once = threading.Barrier(len(works))

    def run(place: int) -> None:
        at_once.wait()
        got[place] = works[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == wanted


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
@pytest.mark.parametrize("chunk_tokens", [3, 1024])
@pytest.mark.parametrize("kind", KINDS)
def test_many_questions_at_once_are_answered_as_one_by_one(kind: str, chunk_tokens: int, key_value_heads: int) -> None:
    engine = engine_of(kind, key_value_heads, chunk_tokens=chunk_tokens)
    kept = engine.prefill(prompt_of(40))
    questions = [*QUESTIONS, []]
    alone = [tokens(engine, kept, question) for question in questions]
    assert engine.generate_many(kept, questions, GREEDY) == alone
    assert len(set(map(tuple, alone))) == 5, "two of the six are the same question"
    assert engine.generate_many(kept, [], GREEDY) == []
    assert engine.generate_many(kept, [[7]], GenerateOptions(max_new_tokens=1)) == [tokens(engine, kept, [7])[:1]]


def test_answers_that_end_leave_the_batch(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(40))
    alone = [tokens(engine, kept, question) for question in QUESTIONS]
    stops = (alone[0][2], alone[1][5], alone[2][0])
    ending = replace(engine, stop_ids=stops, chunk_tokens=1024)
    wanted = [list(itertools.takewhile(lambda token_id: token_id not in stops, answer)) for answer in alone]
    widths: list[int] = []
    layer = engine.language.model.layers[0]
    hook = layer.register_forward_hook(lambda _, inputs, output: widths.append(inputs[0].shape[0]))
    assert ending.generate_many(kept, QUESTIONS, GREEDY) == wanted
    hook.remove()
    assert len({len(answer) for answer in wanted}) >= 3
    steps = [sum(len(answer) > step for answer in wanted) for step in range(11)]
    assert widths == [5, *(left for left in steps if left)]


def test_many_logits_are_those_of_one_by_one(engine: LocalEngine) -> None:
    seen: list[torch.Tensor] = []
    hook = engine.language.lm_head.register_forward_hook(lambda head, inputs, output: seen.append(output.clone()))
    kept = engine.prefill(prompt_of(40))
    for question in QUESTIONS:
        tokens(engine, kept, question)
    alone = torch.stack([torch.cat(seen[12 * place : 12 * place + 12]) for place in range(5)], dim=1)
    seen.clear()
    engine.generate_many(kept, QUESTIONS, GREEDY)
    hook.remove()
    order = sorted(range(5), key=lambda place: len(QUESTIONS[place]))
    torch.testing.assert_close(torch.stack(seen), alone[:, order], atol=1e-4, rtol=1e-4)


def test_many_draw_as_each_would_alone(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(40))
    options = GenerateOptions(max_new_tokens=10, temperature=1.0, seed=5)
    alone = [list(engine.generate(kept, question, options)) for question in QUESTIONS]
    assert engine.generate_many(kept, QUESTIONS, options) == alone


def test_many_more_than_go_into_one_batch(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(20))
    questions = [[number % VOCABULARY, number // 3] for number in range(70)]
    options = GenerateOptions(max_new_tokens=2)
    alone = [list(engine.generate(kept, question, options)) for question in questions]
    assert engine.generate_many(kept, questions, options) == alone


@pytest.mark.parametrize("length", [10, 44, 60])
def test_many_where_positions_are_turned_by_length(length: int) -> None:
    """The model reads 48 positions; around and behind them questions of different lengths are turned differently."""
    engine = replace(engine_of("qwen2", chunk_tokens=16), trained_context=48)
    engine.language.config.max_position_embeddings = 48
    engine = replace(engine, rope=Dynamic(4.0))
    kept = engine.prefill(prompt_of(length))
    alone = [tokens(engine, kept, question) for question in QUESTIONS]
    assert engine.generate_many(kept, QUESTIONS, GREEDY) == alone


def test_a_sliding_window_keeps_transformers_own_attention() -> None:
    engine = engine_of("mistral", window=8, chunk_tokens=16)
    kept = engine.prefill(prompt_of(40))
    alone = [tokens(engine, kept, question) for question in QUESTIONS]
    assert engine.generate_many(kept, QUESTIONS, GREEDY) == alone
    fork = engine.fork(kept, 33, prompt_of(9, 1))
    fresh = engine.prefill(followed(prompt_of(40), 33, prompt_of(9, 1)))
    assert tokens(engine, fork, [5]) == tokens(engine, fresh, [5])
    with pytest.raises(LongtakeError) as caught:
        engine.with_keeping(Keeping("int8"))
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


@pytest.mark.parametrize("keeping", [Keeping(where="memory"), Keeping(where="disk")], ids=str)
def test_elsewhere_is_the_same_bit_by_bit(engine: LocalEngine, keeping: Keeping) -> None:
    head = prompt_of(50)
    there, here = engine.with_keeping(keeping), engine
    kept, plain = there.prefill(head), here.prefill(head)
    for one, other in zip(kept.layers, plain.layers, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one.dense(), other.dense(), strict=True))
    for question in QUESTIONS:
        one, other = (each.force(prefix, question, [1, 2, 3]).logprobs_A for each, prefix in
                      ((there, kept), (here, plain)))  # fmt: skip
        assert torch.equal(one, other)
    extended = there.extend(there.prefill(head), 20, prompt_of(30, 2))
    wanted = tokens(here, here.extend(here.prefill(head), 20, prompt_of(30, 2)), [4])
    assert tokens(there, extended, [4]) == wanted


@pytest.mark.parametrize("where", ["device", "memory", "disk"])
def test_eight_bits(engine: LocalEngine, where: Any) -> None:
    """A byte a number and little besides; what is said of it is near, and the chunk itself was exact."""
    eight = engine.with_keeping(Keeping("int8", where))
    prompt = prompt_of(50)
    kept, plain = eight.prefill(prompt), engine.prefill(prompt)
    exact = [states for layer in plain.layers for states in layer.dense()]
    near = [states for layer in kept.layers for states in layer.dense()]
    for one, other in zip(exact, near, strict=True):
        assert 0 < (one - other).norm() / one.norm() < 0.02
    first = [states[:, :, :16] for states in exact[:2]], [states[:, :, :16] for states in near[:2]]
    for one, other in zip(*first, strict=True):
        # Layer 0 reads embeddings, so it is off by half a step and no more: no chunk read another's rounding there.
        assert (one - other).abs().max() <= one.abs().max() / 254 * 1.001
    assert (kept.last_hidden_1D - plain.last_hidden_1D).norm() / plain.last_hidden_1D.norm() < 0.05
    short = prompt_of(16)
    assert torch.equal(eight.prefill(short).last_hidden_1D, engine.prefill(short).last_hidden_1D), "one chunk is exact"
    alone = [tokens(eight, kept, question) for question in QUESTIONS]
    assert eight.generate_many(kept, QUESTIONS, GREEDY) == alone
    tensors = kept.state()
    counted = sum(tensor.nbytes for name, tensor in tensors.items() if name.startswith("layers."))
    numbers = 2 * 50 * 2 * 8 * 3
    assert {tensors[f"layers.{number}.{name}"].dtype for number in range(3) for name in ("keys", "values")} == {
        torch.int8
    }
    assert numbers < counted < 2.5 * numbers  # eight channels only: a step for each position weighs much here


def test_a_fork_in_eight_bits_goes_on_in_eight_bits(engine: LocalEngine) -> None:
    eight = engine.with_keeping(Keeping("int8"))
    fork = eight.fork(eight.prefill(prompt_of(50)), 41, prompt_of(20, 1))
    assert fork.state()["layers.0.keys"].dtype == torch.int8
    near = eight.prefill(followed(prompt_of(50), 41, prompt_of(20, 1)))
    difference = (fork.last_hidden_1D - near.last_hidden_1D).norm() / near.last_hidden_1D.norm()
    assert difference < 0.05, "other chunks have other steps, so it is near and not the same"


@pytest.mark.parametrize("keeping", [Keeping(), Keeping("int8"), Keeping(where="disk")], ids=str)
def test_a_state_comes_back_mapped_from_a_file(engine: LocalEngine, keeping: Keeping, tmp_path: Path) -> None:
    engine = engine.with_keeping(keeping)
    kept = engine.prefill(prompt_of(50), room_tokens=9)
    state = kept.state()
    assert all(tensor.is_contiguous() for tensor in state.values())
    assert state["layers.2.values"].shape == (1, 2, 50, 8)
    save_file(state, tmp_path / "prefix.safetensors")
    read = load_file(tmp_path / "prefix.safetensors")
    again = engine.restored(read)
    assert again.length == 50
    for question in QUESTIONS:
        one, other = (engine.force(prefix, question, [1, 2, 3]).logprobs_A for prefix in (kept, again))
        assert torch.equal(one, other)
    assert tokens(engine, again, []) == tokens(engine, kept, [])
    assert (
        again.layers[1].segments[0].dense()[0].data_ptr() == read["layers.1.keys"].data_ptr() or keeping.dtype == "int8"
    )
    before = {name: tensor.clone() for name, tensor in read.items()}
    extended = engine.extend(again, 20, prompt_of(30, 2))
    fresh = engine.prefill(followed(prompt_of(50), 20, prompt_of(30, 2)))
    if keeping.dtype == "auto":
        assert tokens(engine, extended, [4]) == tokens(engine, fresh, [4])
    assert all(torch.equal(read[name], tensor) for name, tensor in before.items()), "what is restored is never written"
    short = engine.prefill(prompt_of(20)).state()
    assert engine.restored(short).layers[0].get_seq_length() == 20


def test_a_state_without_room_behind_is_not_copied(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(50))
    assert kept.state()["layers.1.keys"].data_ptr() == kept.layers[1].dense()[0].data_ptr()


def test_a_state_turned_by_length_brings_its_prompt() -> None:
    engine = engine_of("qwen2", chunk_tokens=16)
    engine.language.config.max_position_embeddings = 48
    engine = replace(engine, trained_context=48, rope=Dynamic(4.0))
    kept = engine.prefill(prompt_of(45))
    again = engine.restored(kept.state())
    assert again.whole_tokens == 45
    for question in QUESTIONS:
        assert tokens(engine, again, question) == tokens(engine, kept, question)


def test_a_state_of_another_model_is_refused(engine: LocalEngine) -> None:
    state = engine.prefill(prompt_of(20)).state()
    lacking = {name: tensor for name, tensor in state.items() if name != "layers.2.keys"}
    wider = {**state, "last_hidden": torch.zeros(1, 64)}
    longer = {**state, "layers.1.keys": torch.zeros(1, 2, 21, 8), "layers.1.values": torch.zeros(1, 2, 21, 8)}
    torn = {**state, "layers.1.keys": torch.zeros(1, 2, 21, 8)}
    heads = {
        **state,
        **{f"layers.{n}.{name}": torch.zeros(1, 4, 20, 8) for n in range(3) for name in ("keys", "values")},
    }
    more = {**state, "layers.3.keys": state["layers.2.keys"]}
    for wrong in ({}, lacking, wider, longer, torn, heads, more):
        with pytest.raises(ValueError):
            engine.restored(wrong)


class Patience:
    """Lets so many checks pass, then says stop."""

    def __init__(self, checks: int) -> None:
        self.left = checks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("checks", [0, 1, 5, 9])
def test_cancelled_work_stops_within_a_layer_and_the_prefix_goes_on(engine: LocalEngine, checks: int) -> None:
    kept = engine.prefill(prompt_of(40))
    wanted = tokens(engine, kept, QUESTIONS[0])
    before = [states.clone() for layer in kept.layers for states in layer.dense()]
    works: list[Callable[[], object]] = [
        lambda: engine.prefill(prompt_of(60)),
        lambda: engine.fork(kept, 10, prompt_of(60)),
        lambda: tokens(engine, kept, QUESTIONS[0]),
        lambda: engine.generate_many(kept, QUESTIONS, GREEDY),
        lambda: engine.force(kept, QUESTIONS[0], list(range(40))),
    ]
    ran: list[int] = []
    hooks = [layer.register_forward_hook(lambda *_: ran.append(1)) for layer in engine.language.model.layers]
    for work in works:
        ran.clear()
        patience = Patience(checks)
        with pytest.raises(LongtakeError) as caught, cancelled_by(patience):
            work()
        assert caught.value.code is ErrorCode.INTERRUPTED
        assert patience.left == -1, "it is not asked again once it said stop"
        assert len(ran) <= checks
    for hook in hooks:
        hook.remove()
    assert tokens(engine, kept, QUESTIONS[0]) == wanted
    after = [states for layer in kept.layers for states in layer.dense()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    engine.extend(kept, 5, prompt_of(3))  # nobody is thought to be reading on


def test_of_a_prefill_that_is_cancelled_nothing_is_left(engine: LocalEngine, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made: list[weakref.ref[torch.Tensor]] = []
    plain = Keeping.empty

    def noted(self: Keeping, *arguments: Any) -> torch.Tensor:
        made.append(weakref.ref(room := plain(self, *arguments)))
        return room

    monkeypatch.setattr(Keeping, "empty", noted)
    for where in ("device", "disk"):
        with pytest.raises(LongtakeError), cancelled_by(Patience(6)):
            engine.with_keeping(Keeping(where=where)).prefill(prompt_of(60))
    gc.collect()
    assert len(made) == 12 and all(room() is None for room in made)
    assert list(tmp_path.iterdir()) == []


def test_another_thread_cancels_and_only_what_it_means(engine: LocalEngine) -> None:
    """One thread answers at length, one as usual; the first is stopped from outside, at once."""
    kept = engine.prefill(prompt_of(40))
    wanted = tokens(engine, kept, QUESTIONS[0])
    stop, begun = threading.Event(), threading.Event()
    ended: dict[str, object] = {}

    def long() -> None:
        with cancelled_by(stop.is_set):
            try:
                for _ in engine.generate(kept, QUESTIONS[1], GenerateOptions(max_new_tokens=60_000)):
                    begun.set()
            except LongtakeError as error:
                ended["long"] = error.code

    def usual() -> None:
        ended["usual"] = tokens(engine, kept, QUESTIONS[0])

    talker = threading.Thread(target=long)
    talker.start()
    assert begun.wait(60)
    stop.set()
    other = threading.Thread(target=usual)
    other.start()
    talker.join(60)
    other.join(60)
    assert ended == {"long": ErrorCode.INTERRUPTED, "usual": wanted}
    assert tokens(engine, kept, QUESTIONS[0]) == wanted


def test_ctrl_c_between_two_layers_does_no_harm(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(40))
    wanted = tokens(engine, kept, QUESTIONS[0])
    calls = itertools.count()

    def pressed(*_: object) -> None:
        if next(calls) == 7:
            raise KeyboardInterrupt

    hook = engine.language.model.layers[1].register_forward_hook(pressed)
    for work in (lambda: tokens(engine, kept, QUESTIONS[0]), lambda: engine.generate_many(kept, QUESTIONS, GREEDY)):
        calls = itertools.count()
        with pytest.raises(KeyboardInterrupt):
            work()
    hook.remove()
    assert tokens(engine, kept, QUESTIONS[0]) == wanted
    engine.extend(kept, 5, prompt_of(3))


def test_an_iterator_that_is_closed_runs_no_more(engine: LocalEngine) -> None:
    kept = engine.prefill(prompt_of(40))
    ran: list[float] = []
    answer = engine.generate(kept, QUESTIONS[0], GREEDY)
    next(answer)
    hook = engine.language.model.layers[0].register_forward_hook(lambda *_: ran.append(time.perf_counter()))
    answer.close()
    hook.remove()
    assert ran == [] and list(answer) == []
    engine.extend(kept, 5, prompt_of(3))
