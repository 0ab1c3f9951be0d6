"""Reading further than trained: every rope against transformers' own whole models and recorded numbers; no leaks."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM

import tiny
from longtake import parts
from longtake.engines import GenerateOptions
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.engines.turning import trained_context_of
from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts.grid import Grid
from longtake.loading import load
from longtake.pipeline import ask, watch
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.ropes import Rope, Trained
from longtake.ropes.dynamic import Dynamic
from longtake.ropes.linear import Linear
from longtake.ropes.theta import Theta
from longtake.ropes.yarn import Yarn
from longtake.samplers.uniform import Uniform
from longtake.video.opening import open_video
from originals import CHECKPOINTS
from running import ONE_LINE, Cli

VOCABULARY, WIDTH, POSITIONS, THETA = 97, 64, 64, 100.0
QUESTION = [5, 9, 13, 2]
GREEDY = GenerateOptions(max_new_tokens=12)
TRAINED = Trained(THETA, 16, POSITIONS)
EVERY_ROPE = parts.names("ropes")

# A rope, and what config.json says of the same.
AS_CONFIGURED: list[tuple[Rope, dict[str, Any]]] = [
    (Linear(2.0), {"rope_type": "linear", "factor": 2.0}),
    (Linear(3.5), {"rope_type": "linear", "factor": 3.5}),
    (Dynamic(2.0), {"rope_type": "dynamic", "factor": 2.0}),
    (Dynamic(8.0), {"rope_type": "dynamic", "factor": 8.0}),
    (Yarn(4.0), {"rope_type": "yarn", "factor": 4.0}),
    (Yarn(2.0, fast=8.0, slow=2.0), {"rope_type": "yarn", "factor": 2.0, "beta_fast": 8.0, "beta_slow": 2.0}),
    (Theta(1e4), {"rope_type": "default", "rope_theta": 1e4}),
]


def language(told: dict[str, Any] | None = None) -> Qwen2ForCausalLM:
    """A tiny random Qwen2, always of the same weights."""
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.15,
        tie_word_embeddings=False,
        max_position_embeddings=POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA, **(told or {})},
    )
    return Qwen2ForCausalLM(config).eval()


def engine_of(told: dict[str, Any] | None = None, chunk_tokens: int = 1024) -> LocalEngine:
    return LocalEngine(folding(language(told)), stop_ids=(), trained_context=POSITIONS, chunk_tokens=chunk_tokens)


def prompt_of(length: int, seed: int = 0) -> Prompt:
    """Text and visual tokens, mixed."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (length,), generator=generator)
    ids[torch.rand(length, generator=generator) < 0.6] = VISUAL_PLACE
    return Prompt(ids, torch.randn(int((ids == VISUAL_PLACE).sum()), WIDTH, generator=generator))


def logits_of(model: Qwen2ForCausalLM, prompt: Prompt, after: list[int]) -> torch.Tensor:
    """transformers' own logits behind prompt and question, in one forward."""
    visual = iter(prompt.visual_ND)
    rows = [
        next(visual) if token_id == VISUAL_PLACE else model.model.embed_tokens.weight[token_id]
        for token_id in [*prompt.token_ids_L.tolist(), *after]
    ]
    with torch.inference_mode():
        return model(inputs_embeds=torch.stack(rows)[None]).logits[0, -1]


def behind(engine: LocalEngine, prompt: Prompt, after: list[int]) -> torch.Tensor:
    """Log-probability of every token behind prompt and question."""
    kept = engine.prefill(prompt)
    return torch.cat([engine.logprobs(kept, after, [token_id]) for token_id in range(0, VOCABULARY, 5)])


def answer(engine: LocalEngine, prompt: Prompt, after: list[int]) -> list[int]:
    return list(engine.generate(engine.prefill(prompt), after, GREEDY))


# ---- the angles


@pytest.mark.parametrize("name", ["qwen2_base", "ext224k", "head128_ext"])
def test_frequencies_and_angles_are_the_originals(golden: Path, name: str) -> None:
    folder = golden / "i_longtext"
    (table,) = [one for one in json.loads((folder / "rope.json").read_text())["tables"] if one["name"] == name]
    recorded = load_file(folder / "rope.safetensors")
    turning = Theta(table["theta"]).turning(Trained(1e4, table["dim"], 32), 1)
    torch.testing.assert_close(turning.frequencies_F, recorded[f"{name}.inv_freq"], atol=0, rtol=1e-6)

    from longtake.engines.turning import Steering

    steering = Steering(Theta(table["theta"]), Trained(1e4, table["dim"], 32))
    positions_L = recorded[f"{name}.position_ids"]
    cosine_LW, sine_LW = steering.angles(positions_L, 0)
    # Far out an angle has few digits left behind the point: float32 holds 200,000 radians to 0.016.
    near_L = positions_L < 4096
    torch.testing.assert_close(cosine_LW[near_L], recorded[f"{name}.cos"][0][near_L], atol=2e-3, rtol=0)
    torch.testing.assert_close(sine_LW[near_L], recorded[f"{name}.sin"][0][near_L], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", EVERY_ROPE)
def test_every_rope_turns_and_never_reads_less(name: str) -> None:
    rope: Rope = parts.build("ropes", name, {}, label="rope")
    assert rope.reads(4096) >= 4096
    for length in (1, POSITIONS, POSITIONS + 1, 10 * POSITIONS):
        turning = rope.turning(TRAINED, length)
        assert turning.frequencies_F.shape == (8,) and turning.frequencies_F.dtype == torch.float32
        assert (turning.frequencies_F[1:] < turning.frequencies_F[:-1]).all()
        assert turning.scale >= 1.0
        if not rope.by_length:
            assert torch.equal(turning.frequencies_F, rope.turning(TRAINED, 1).frequencies_F)


@pytest.mark.parametrize("name", ["linear", "dynamic", "yarn"])
def test_a_factor_of_one_changes_nothing(name: str) -> None:
    rope: Rope = parts.build("ropes", name, {"factor": "1"}, label="rope")
    own = Theta(THETA).turning(TRAINED, 1)
    turning = rope.turning(TRAINED, POSITIONS)
    torch.testing.assert_close(turning.frequencies_F, own.frequencies_F)
    assert (turning.scale, rope.reads(100)) == (1.0, 100)


def test_angles_by_hand() -> None:
    """Theta 100, width 4: frequencies 1 and 1/10. Twice as long, dynamic NTK x 2: theta 100 x 3 ** 2."""
    trained = Trained(100.0, 4, 8)
    assert Linear(2.0).turning(trained, 1).frequencies_F.tolist() == pytest.approx([0.5, 0.05])
    assert Dynamic(2.0).turning(trained, 8).frequencies_F.tolist() == pytest.approx([1, 0.1])
    assert Dynamic(2.0).turning(trained, 16).frequencies_F.tolist() == pytest.approx([1, 1 / 30])
    assert Theta(1e4).turning(trained, 1).frequencies_F.tolist() == pytest.approx([1, 0.01])
    assert Yarn(2.0).turning(trained, 1).scale == pytest.approx(1.0693147)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Linear(0.5), "want 1 to 1,024"),
        (lambda: Dynamic(float("nan")), "want 1 to 1,024"),
        (lambda: Yarn(2.0, fast=1.0, slow=1.0), "0 < slow < fast"),
        (lambda: Theta(1.0), "want more than 1"),
        (lambda: Trained(1e4, 3, 8), "even width"),
    ],
)
def test_what_turns_nothing_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# ---- two roads: a rope that is chosen, and transformers' own model with the same in its config


@pytest.mark.parametrize(("rope", "told"), AS_CONFIGURED, ids=lambda value: repr(value) if "(" in repr(value) else "")
@pytest.mark.parametrize("length", [20, 110])
def test_a_chosen_rope_is_transformers_own(rope: Rope, told: dict[str, Any], length: int) -> None:
    prompt = prompt_of(length)
    own = logits_of(language(told), prompt, QUESTION).log_softmax(-1)[::5]
    torch.testing.assert_close(behind(engine_of().with_rope(rope), prompt, QUESTION), own, atol=1e-4, rtol=0)
    torch.testing.assert_close(behind(engine_of(told), prompt, QUESTION), own, atol=1e-4, rtol=0)
    unscaled = behind(engine_of(), prompt, QUESTION)
    idle = rope.by_length and length + len(QUESTION) <= POSITIONS
    assert torch.allclose(unscaled, own, atol=1e-3) == idle, "a rope that changes nothing would show nothing"


@pytest.mark.parametrize(("rope", "told"), AS_CONFIGURED, ids=lambda value: repr(value) if "(" in repr(value) else "")
def test_generated_tokens_are_transformers_own(rope: Rope, told: dict[str, Any]) -> None:
    """Past the trained length and from below it over it; a fresh model each, for transformers' own remembers."""
    for length in (52, 90):
        prompt, model = prompt_of(length, seed=length), language(told)
        ids = [token_id % VOCABULARY for token_id in prompt.token_ids_L.tolist()] + QUESTION
        with torch.inference_mode():
            made = model.generate(torch.tensor([ids]), max_new_tokens=12, min_new_tokens=12, do_sample=False)
        text = Prompt(torch.tensor(ids[:length]), torch.zeros(0, WIDTH))
        expected = made[0, len(ids) :].tolist()
        assert len(set(expected)) > 3, "the toy model must not repeat one token, or equality shows little"
        assert answer(engine_of().with_rope(rope), text, QUESTION) == expected
        assert answer(engine_of(told), text, QUESTION) == expected


# ---- dynamic: by the length of the whole, whatever was read before and however it is cut


@pytest.fixture
def dynamic() -> LocalEngine:
    return engine_of().with_rope(Dynamic(4.0))


@pytest.mark.parametrize("chunk_tokens", [1, 7, 50])
@pytest.mark.parametrize("length", [40, 58, 62, 130])
def test_chunks_do_not_show(dynamic: LocalEngine, length: int, chunk_tokens: int) -> None:
    prompt = prompt_of(length)
    cut = replace(dynamic, chunk_tokens=chunk_tokens)
    assert answer(cut, prompt, QUESTION) == answer(dynamic, prompt, QUESTION)


@pytest.mark.parametrize("length", [40, 58, 62, 130])
def test_a_kept_prefix_answers_every_question_as_if_it_were_the_first(dynamic: LocalEngine, length: int) -> None:
    """Below, around and past the trained length of 64, for questions of different lengths, in any order."""
    questions = [[5, 9], [1, 2, 3, 4, 5, 6, 7, 8], [88], list(range(30))]
    prompt = prompt_of(length)
    fresh = [list(dynamic.generate(dynamic.prefill(prompt, after_tokens=len(q)), q, GREEDY)) for q in questions]
    kept = dynamic.prefill(prompt)
    for number in (0, 1, 2, 3, 1, 0, 3, 2):
        assert list(dynamic.generate(kept, questions[number], GREEDY)) == fresh[number]
    assert len(set(map(tuple, fresh))) == 4


def test_one_prompt_changes_nothing_for_the_next(dynamic: LocalEngine) -> None:
    """And why this is not left to transformers: there it does."""
    long, short = prompt_of(200, seed=1), prompt_of(70, seed=2)
    alone = answer(engine_of().with_rope(Dynamic(4.0)), short, QUESTION)
    answer(dynamic, long, QUESTION)
    assert answer(dynamic, short, QUESTION) == alone

    configured = {"rope_type": "dynamic", "factor": 4.0}
    own = language(configured)
    before = logits_of(own, short, QUESTION)
    logits_of(own, long, QUESTION)
    assert not torch.allclose(logits_of(own, short, QUESTION), before, atol=1e-3), "transformers' own remembers"
    engine = engine_of(configured)
    before = behind(engine, short, QUESTION)
    behind(engine, long, QUESTION)
    assert torch.equal(behind(engine, short, QUESTION), before)


def test_engines_that_share_a_model_do_not_disturb_each_other(dynamic: LocalEngine) -> None:
    plain = engine_of()
    linear = plain.with_rope(Linear(2.0))
    ntk = plain.with_rope(Dynamic(4.0))
    prompt = prompt_of(100)
    alone = [answer(engine, prompt, QUESTION) for engine in (engine_of(), engine_of().with_rope(Linear(2.0)), dynamic)]
    assert [answer(engine, prompt, QUESTION) for engine in (plain, linear, ntk)] == alone
    assert [answer(engine, prompt, QUESTION) for engine in (ntk, linear, plain)] == alone[::-1]
    assert len(set(map(tuple, alone))) == 3


def test_threads_that_share_a_prefix_do_not_disturb_each_other(dynamic: LocalEngine) -> None:
    kept = dynamic.prefill(prompt_of(90))
    questions = [[5, 9], list(range(20)), [88, 3, 4]]
    alone = [list(dynamic.generate(kept, question, GREEDY)) for question in questions]
    found: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        found[number] = list(dynamic.generate(kept, questions[number % 3], GREEDY))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(6)] == alone * 2


def test_an_open_iterator_goes_on_undisturbed(dynamic: LocalEngine) -> None:
    kept = dynamic.prefill(prompt_of(90))
    alone = list(dynamic.generate(kept, QUESTION, GREEDY))
    slow = dynamic.generate(kept, QUESTION, GREEDY)
    begun = [next(slow), next(slow)]
    other = answer(dynamic, prompt_of(300, seed=4), QUESTION)
    assert [*begun, *slow] == alone
    assert answer(dynamic, prompt_of(300, seed=4), QUESTION) == other


@pytest.mark.parametrize(("length", "keep", "more"), [(90, 60, 50), (90, 20, 30), (30, 30, 60), (40, 10, 10)])
def test_what_is_read_on_is_as_if_read_from_the_start(dynamic: LocalEngine, length: int, keep: int, more: int) -> None:
    first, second = prompt_of(length, seed=1), prompt_of(more, seed=2)
    places = int((first.token_ids_L[:keep] == VISUAL_PLACE).sum())
    whole = Prompt(
        torch.cat([first.token_ids_L[:keep], second.token_ids_L]),
        torch.cat([first.visual_ND[:places], second.visual_ND]),
    )
    extended, fresh = dynamic.extend(dynamic.prefill(first), keep, second), dynamic.prefill(whole)
    torch.testing.assert_close(extended.last_hidden_1D, fresh.last_hidden_1D, atol=1e-4, rtol=1e-4)
    for question in ([], QUESTION):
        assert list(dynamic.generate(extended, question, GREEDY)) == list(dynamic.generate(fresh, question, GREEDY))


@pytest.mark.parametrize("length", [40, 56, 90])
@pytest.mark.parametrize("chunk_tokens", [2, 1024])
def test_teacher_forcing_is_what_generating_would_have_said(length: int, chunk_tokens: int) -> None:
    """Each token of an answer is turned as the last of its text, generated or given."""
    engine = engine_of(chunk_tokens=chunk_tokens).with_rope(Dynamic(4.0))
    kept = engine.prefill(prompt_of(length))
    said = list(engine.generate(kept, QUESTION, GREEDY))
    assert engine.force(kept, QUESTION, said).likeliest_A.tolist() == said


def forwards(engine: LocalEngine) -> list[int]:
    """How many positions each forward of the model reads from now on."""
    counted: list[int] = []

    def count(module: Any, given: Any, named: dict[str, torch.Tensor]) -> None:
        counted.append(named["inputs_embeds"].shape[1])

    engine.language.model.register_forward_pre_hook(count, with_kwargs=True)  # type: ignore[attr-defined]
    return counted


def test_nothing_is_read_twice_without_need(dynamic: LocalEngine) -> None:
    read = forwards(dynamic)
    one = GenerateOptions(max_new_tokens=1)
    short = dynamic.prefill(prompt_of(40))
    list(dynamic.generate(short, QUESTION, one))
    assert read == [40, 4], "what fits into the trained length is never read anew"
    long = dynamic.prefill(prompt_of(100), after_tokens=4)
    read.clear()
    list(dynamic.generate(long, QUESTION, one))
    list(dynamic.generate(long, [1, 2, 3, 4], one))
    assert read == [4, 4], "questions of the length that was told need no second reading"
    list(dynamic.generate(long, [1, 2], one))
    assert read == [4, 4, 100, 2], "one of another length does"


def test_other_ropes_never_read_twice() -> None:
    engine = engine_of().with_rope(Linear(2.0))
    read = forwards(engine)
    kept = engine.prefill(prompt_of(100))
    for question in ([1], [1, 2, 3]):
        list(engine.generate(kept, question, GenerateOptions(max_new_tokens=1)))
    assert read == [100, 1, 3] and kept.prompt is None


# ---- how far is read


@pytest.mark.parametrize(
    ("told", "reads"),
    [
        ({}, 64),
        ({"rope_type": "linear", "factor": 2.0}, 128),
        ({"rope_type": "dynamic", "factor": 4.0}, 256),
        ({"rope_type": "yarn", "factor": 4.0}, 256),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, 64),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "original_max_position_embeddings": 16,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            64,
        ),
    ],
)
def test_the_context_that_a_config_tells(told: dict[str, Any], reads: int) -> None:
    assert trained_context_of(language(told).config) == reads


def test_a_chosen_rope_says_how_far_is_read() -> None:
    engine = engine_of()
    assert [engine.with_rope(rope).trained_context for rope in (Linear(2.0), Dynamic(4.0), Yarn(1.5), Theta(1e6))] == [
        *(128, 256, 96),
        64,
    ]
    assert (engine.trained_context, engine.rope) == (64, None)


def test_one_rope_at_a_time() -> None:
    with pytest.raises(ValueError, match="take the one that it was made from"):
        engine_of().with_rope(Linear(2.0)).with_rope(Linear(2.0))
    for kind in ("linear", "dynamic"):
        with pytest.raises(LongtakeError, match=f"brings its own RoPE scaling, {kind}") as refused:
            engine_of({"rope_type": kind, "factor": 2.0}).with_rope(Yarn(2.0))
        assert refused.value.code is ErrorCode.USAGE_BAD_OPTION


# ---- the command line


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = {**tiny.config()["language"], "max_position_embeddings": 256}
    return tiny.checkpoint(tmp_path_factory.mktemp("ropes") / "nano", language=told)


def test_a_rope_makes_room_for_more_frames(cli: Cli, nano: Path, bunny: Path) -> None:
    asked = ("ask", bunny, "What is it?", "--model", nano, "--frames", "100", "--set", "layout.pool=1")
    status, _, err = cli(*asked)
    assert status == 5 and "this model reads 256" in err
    found = {rope: cli.json(*asked, "--rope", rope, "--set", "rope.factor=4") for rope in ("linear", "dynamic", "yarn")}
    for rope, told in found.items():
        assert told["tokens"]["visual"] == 400 and not told["beyond_trained_context"]
        assert any(note.startswith(f"positions are turned by {rope} (factor 4.0") for note in told["notes"])
    assert len({told["answer"] for told in found.values()}) > 1
    status, _, err = cli(*asked, "--rope", "theta")
    assert status == 5 and "this model reads 256" in err
    assert cli(*asked, "--rope", "theta", "--beyond-trained-context")[0] == 0


def test_a_watched_video_serves_its_first_question_as_it_is_and_others_as_if_they_were_first(
    nano: Path, bunny: Path
) -> None:
    model = load(str(nano), device="cpu", dtype="float32")
    model = replace(model, sampler=Uniform(frames=90), layout=Grid(pool=1), engine=model.engine.with_rope(Dynamic(4.0)))
    video, few = open_video(str(bunny)), GenerateOptions(max_new_tokens=6)
    questions = ["What is it?", "what number is on the red star?"]
    fresh = {one: ask(model, watch(model, video, one), one, few).text for one in questions}
    read = forwards(model.engine)  # type: ignore[arg-type]
    watched = watch(model, video, questions[0])
    assert watched.prefix.length > 256
    read.clear()
    assert ask(model, watched, questions[0], few).text == fresh[questions[0]]
    assert sum(read) < 64, "the question was told beforehand, so nothing is read twice"
    for question in (questions[1], questions[0]):
        assert ask(model, watched, question, few).text == fresh[question]
    assert sum(read) > watched.prefix.length


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rope", "ntk"), "is none of the ropes (take one of dynamic, linear, theta, yarn"),
        (("--rope", "linear", "--set", "rope.factor=0"), "factor is 0; want 1 to 1,024"),
        (("--rope", "linear", "--set", "rope.theta=3"), "there is no such option (there are rope.factor)"),
        (("--set", "rope.factor=2"), "is an option of a rope, and none is named (name one, like --rope linear)"),
    ],
)
def test_ropes_that_are_none_are_refused(
    cli: Cli, nano: Path, bunny: Path, options: tuple[str, ...], said: str
) -> None:
    status, out, err = cli("ask", bunny, "What is it?", "--model", nano, *options)
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err)
    assert said in err


def test_a_run_of_needles_is_another_with_another_rope(cli: Cli, nano: Path, bunny: Path, tmp_path: Path) -> None:
    run = ("niah", bunny, "--frames", "4", "--depths", "0.5", "--trials", "1", "--model", nano, "--every-frame")
    output = ("--output", tmp_path / "run")
    assert cli(*run, *output, "--rope", "linear")[0] == 0
    told = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert told["rope"] == {"part": "longtake.ropes.linear:Linear", "factor": 2.0}
    assert cli(*run, *output, "--rope", "linear")[0] == 0, "the same goes on"
    assert [cli(*run, *output, *other)[0] for other in ((), ("--rope", "yarn"))] == [2, 2]


def test_what_a_config_tells_of_a_whole_checkpoint(cli: Cli, tmp_path: Path) -> None:
    """LLaVA-1.6 with `rope_scaling` in config.json, in the words of transformers before 5; `doctor` sees it too."""
    shutil.copytree(CHECKPOINTS / "llava-v1.6-vicuna-tiny", tmp_path / "scaled")
    (tmp_path / "openai").symlink_to(CHECKPOINTS / "openai")
    config = json.loads((tmp_path / "scaled" / "config.json").read_text())
    found = {}
    for kind, most in itertools.product(("linear", "dynamic"), (4096, 256)):
        told = {**config, "rope_scaling": {"type": kind, "factor": 2.0}, "tokenizer_model_max_length": most}
        (tmp_path / "scaled" / "config.json").write_text(json.dumps(told))
        engine = load(str(tmp_path / "scaled"), device="cpu", dtype="float32").engine
        found[kind, most] = engine.trained_context
        assert engine.rope is None
        context = [
            one["found"] for one in cli.json("doctor", tmp_path / "scaled")["findings"] if one["subject"] == "context"
        ]
        assert context == [f"{engine.trained_context:,} tokens, RoPE scaling: {kind}, factor 2"]
    assert found == {("linear", 4096): 4096, ("dynamic", 4096): 4096, ("linear", 256): 512, ("dynamic", 256): 512}
