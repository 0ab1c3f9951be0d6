"""Conversations about one watched video: each answer is what a fresh reading of the whole prompt would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import longtake
import tiny
from longtake.conversation import Conversation
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import Exchange, HubTokenizer, Prompt, conversation_ids, later_ids, question_ids
from longtake.prompt.templates import TEMPLATES
from longtake.ropes.dynamic import Dynamic
from longtake.video.opening import open_video
from media import numbered
from released import qwen_tokenizer

FEW = GenerateOptions(max_new_tokens=6)
QUESTIONS = ("what number is on the red star?", "what is blue?", "is the star on the red?")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("nano"))), device="cpu")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered.write(tmp_path_factory.mktemp("film") / "film.mp4")


def refused(code: ErrorCode, call: Any) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        call()
    assert caught.value.code is code
    return caught.value


class Noting:
    """An engine that keeps every prompt that is read, with how much of one before it was kept."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.read = inner, list[tuple[str, int, Prompt]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def prefill(self, prompt: Prompt, **options: Any) -> Any:
        self.read.append(("prefill", 0, prompt))
        return self.inner.prefill(prompt, **options)

    def fork(self, prefix: Any, keep: int, prompt: Prompt, **options: Any) -> Any:
        self.read.append(("fork", keep, prompt))
        return self.inner.fork(prefix, keep, prompt, **options)


def fresh(model: Model, video: Prompt, before: Sequence[int]) -> list[int]:
    """What is said when the video and `before` are read anew, in one go."""
    whole = Prompt(torch.cat([video.token_ids_L, torch.tensor(before)]), video.visual_ND)
    return list(model.engine.generate(model.engine.prefill(whole), [], FEW))


@pytest.mark.parametrize("rope", [None, Dynamic(factor=2.0)], ids=["plain", "dynamic"])
def test_each_turn_equals_a_fresh_reading(model: Model, film: Path, rope: Any) -> None:
    """And nothing is read twice but each answer's own tokens, behind its question."""
    if rope:
        # So short a context that positions are turned by the length of the whole.
        engine = replace(model.engine, trained_context=20).with_rope(rope)
        model = replace(model, engine=engine, beyond_trained_context=True)
    noting = Noting(model.engine)
    model = replace(model, engine=noting)
    talk = Conversation(model, longtake.watch(model, open_video(film)))
    ((_, _, video),) = noting.read
    before, tokenizer, kept = list[int](), model.tokenizer, len(video.token_ids_L)
    for turn, question in enumerate(QUESTIONS):
        before += (later_ids if turn else question_ids)(model.template, tokenizer, question)
        read = len(noting.read)
        answer = talk.ask(question, FEW)
        ((how, keep, more),) = [each for each in noting.read[read:] if each[0] == "fork"]
        assert [*video.token_ids_L.tolist(), *before][keep:-1] == more.token_ids_L.tolist()
        assert keep == kept
        assert answer.asked is not None and answer.asked.turn == turn
        assert answer.asked.prompt_ids_L.tolist() == [*video.token_ids_L.tolist(), *before]
        assert list(answer.asked.answer_ids) == fresh(model, video, before)
        assert answer.tokens == {"visual": 8, "text": len(before) + 3, "new": 6}
        kept = len(video.token_ids_L) + len(before) - 1
        before += answer.asked.answer_ids
        assert talk.tokens == len(video.token_ids_L) + len(before)
    assert talk.turns == 3


def test_what_was_said_before_matters_until_it_is_forgotten(model: Model, film: Path) -> None:
    drawn = GenerateOptions(max_new_tokens=6, temperature=2.0)
    watched = longtake.watch(model, open_video(film))
    alone = [longtake.ask(model, watched, question, drawn).text for question in QUESTIONS]
    talk = Conversation(model, watched)
    said = [talk.ask(question, drawn).text for question in QUESTIONS]
    assert said[0] == alone[0] and said[1] != alone[1] and said[2] != alone[2]
    for question, text in zip(QUESTIONS, alone, strict=True):
        talk.new()
        assert (talk.turns, talk.ask(question, drawn).text) == (0, text)
    assert [longtake.ask(model, watched, question, drawn).text for question in QUESTIONS] == alone
    other = Conversation(model, watched)
    assert [other.ask(question, drawn).text for question in QUESTIONS] == said


def test_a_stopped_answer_leaves_no_trace(model: Model, film: Path) -> None:
    def talks(*, stops: bool) -> list[str]:
        talk = Conversation(model, longtake.watch(model, open_video(film)))
        said = [talk.ask(QUESTIONS[0], FEW).text]
        if stops:
            heard: list[str] = []

            def stop(text: str) -> None:
                heard.append(text)
                if len(heard) > 1:
                    raise RuntimeError("enough")

            with pytest.raises(RuntimeError, match="enough"):
                talk.ask("what is on the blue star?", GenerateOptions(max_new_tokens=30), on_text=stop)
            refused(ErrorCode.USAGE_BLANK_QUESTION, lambda: talk.ask(" "))
            assert talk.turns == 1
        return [*said, talk.ask(QUESTIONS[1], FEW).text, talk.ask(QUESTIONS[2], FEW).text]

    assert talks(stops=True) == talks(stops=False)


def test_a_full_conversation_says_what_to_do(model: Model, film: Path) -> None:
    talk = Conversation(model, longtake.watch(model, open_video(film)))
    with pytest.raises(LongtakeError, match="conversation is full") as caught:
        for _ in range(20):
            talk.ask(QUESTIONS[0], FEW)
    assert caught.value.code is ErrorCode.LIMIT_CONTEXT and talk.turns > 1
    said = talk.tokens - 11
    assert f"the video took 11 tokens and what was said {said};" in caught.value.reason
    assert caught.value.reason.endswith("this model reads 256") and "/new" in caught.value.advice
    assert talk.tokens + FEW.max_new_tokens + len(later_ids(model.template, model.tokenizer, QUESTIONS[0])) > 256
    talk.new()
    talk.ask(QUESTIONS[0], FEW)
    talk.new()
    error = refused(ErrorCode.LIMIT_CONTEXT, lambda: talk.ask("red " * 300))
    assert error.reason.startswith("the question is too long")


def test_a_template_that_takes_one_question(model: Model, film: Path) -> None:
    once = replace(model, template=replace(model.template, later=()))
    talk = Conversation(once, longtake.watch(once, open_video(film)))
    talk.ask(QUESTIONS[0], FEW)
    assert "takes one question" in str(refused(ErrorCode.USAGE_BAD_OPTION, lambda: talk.ask(QUESTIONS[1])))
    talk.new()
    talk.ask(QUESTIONS[1], FEW)


def test_only_the_model_that_watched(model: Model, film: Path) -> None:
    watched = longtake.watch(model, open_video(film))
    with pytest.raises(ValueError, match="another engine"):
        Conversation(replace(model, engine=replace(model.engine)), watched)


def test_of_a_later_answer_there_is_no_manifest(model: Model, film: Path) -> None:
    video = open_video(film)
    talk = Conversation(model, longtake.watch(model, video))
    talk.ask(QUESTIONS[0], FEW)
    later = talk.ask(QUESTIONS[1], FEW)
    assert "what was said before" in str(
        refused(ErrorCode.USAGE_BAD_OPTION, lambda: longtake.manifest_of(model, video, later))
    )


def test_chatml_of_several_turns_is_qwens(tmp_path: Path) -> None:
    """Qwen2's own chat template, as transformers 5 applies it, with the picture's place in the first question."""
    inner = qwen_tokenizer()
    template = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template)
    turns = [("user", "<image>\nWhat is it?"), ("assistant", "A red star."), ("user", "Where?"), ("assistant", "Left.")]
    messages = [{"role": role, "content": text} for role, text in [*turns, ("user", "And when?")]]
    told = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    inner.save(str(tmp_path / "tokenizer.json"))
    own = HubTokenizer.from_file(tmp_path / "tokenizer.json")
    history = [Exchange("What is it?", "A red star."), Exchange("Where?", "Left.")]
    ids = conversation_ids(TEMPLATES["chatml"], own, history, "And when?")
    place = list(told).index(inner.token_to_id("<image>"))
    assert ids == list(told)[place + 1 :]
    stepped = question_ids(TEMPLATES["chatml"], own, "What is it?") + own.encode("A red star.")
    stepped += later_ids(TEMPLATES["chatml"], own, "Where?") + own.encode("Left.")
    assert stepped + later_ids(TEMPLATES["chatml"], own, "And when?") == ids
