"""choosing: the probability of each choice, by two roads; templates that are swapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import longtake
import tiny
from longtake import demo
from longtake.answer import Watched
from longtake.choosing import Point, weigh, weigh_letters
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.pipeline import ask, choose, logprobs, watch
from longtake.prompt import Prompt, question_ids
from longtake.prompt.choices import choosing, with_choices
from longtake.prompt.templates import find_template
from longtake.video.opening import open_video

WORDS = ("red", "blue", "star")


def test_the_same_choice_twice_is_refused() -> None:
    with pytest.raises(LongtakeError, match="'a star' is given 2 times"):
        with_choices(choosing(find_template("chatml")), "which?", ["a star", "a ring", "A  star"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    loaded = longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("nano"))), device="cpu")
    return replace(loaded, template=replace(loaded.template, choices=None))


def test_shares_are_those_of_the_answers_log_probabilities(model: Model, bunny: Path) -> None:
    watched = watch(model, open_video(bunny))
    template = choosing(model.template)
    asked = with_choices(template, "which?", WORDS)
    answer = choose(model, watched, "which?", WORDS)
    assert answer.choices[0].probability is not None
    # One letter is one byte here: behind a line break it may be written with the space that begins a text, or without.
    scores = [torch.logsumexp(_both_ways(model, watched, asked, letter), 0) for letter in "ABC"]
    expected = torch.stack(scores).double().softmax(0).tolist()
    assert [offered.probability for offered in answer.choices] == pytest.approx(expected, abs=1e-5)
    assert answer.text == WORDS[expected.index(max(expected))]
    assert answer.tokens["new"] == 0


def _both_ways(model: Model, watched: Watched, asked: str, letter: str) -> torch.Tensor:
    with_space = logprobs(model, watched, asked, letter).sum()
    ids = model.tokenizer.encode(f"assistant\n{letter}", inside=True)
    before = model.tokenizer.encode("assistant\n", inside=True)
    assert ids[: len(before)] == before and ids[len(before) :] != model.tokenizer.encode(letter)
    question = question_ids(model.template, model.tokenizer, asked)
    without = model.engine.logprobs(watched.prefix, question, ids[len(before) :]).sum()
    return torch.stack([with_space, without])


def test_model_that_states_first_is_weighed_behind_its_statement() -> None:
    nano = longtake.load("nano", device="cpu")
    watched = watch(nano, open_video(demo.FILM).stretch(1490, 1510))
    choices = ("star", "ring", "circle", "moon")
    answer = choose(nano, watched, "What shape is next to onion?", choices)
    assert answer.text == "moon"
    assert answer.choices[3].probability > 0.9
    # It is the question that nano learned, and what it says to it.
    asked = "What shape is next to onion? (A) star (B) ring (C) circle (D) moon"
    assert with_choices(nano.template, "What shape is next to onion?", choices) == asked
    said = ask(nano, watched, asked)
    assert (said.text, said.tokens["new"]) == ("onion moon (D)", answer.tokens["new"])


def test_weighed_letters_need_no_drawing(model: Model) -> None:
    ids = model.tokenizer.encode("which is it?")
    prefix = model.engine.prefill(Prompt(torch.tensor(ids), torch.zeros(0, 1)))
    point = Point(prefix, (), choosing(model.template))
    drawn = GenerateOptions(temperature=5.0, seed=9)
    assert weigh_letters(model, point, WORDS, drawn) == weigh(model, point, WORDS)


def test_template_is_swapped_with_what_ends_its_answers(model: Model) -> None:
    swapped = model.with_template(find_template("vicuna"), name="vicuna")
    assert swapped.template == swapped.image_template == find_template("vicuna")
    # This tokenizer has no </s>: the model's own end still holds.
    assert swapped.engine.stop_ids == model.engine.stop_ids
    stop = model.tokenizer.control("<|pad|>")
    padded = replace(find_template("vicuna"), stop=("<|pad|>",))
    assert model.with_template(padded, name="x").engine.stop_ids == (*model.engine.stop_ids, stop)
    assert model.engine.stopping_at([stop, stop]).stop_ids == (*model.engine.stop_ids, stop)


def test_template_of_another_kind_is_refused(model: Model) -> None:
    with pytest.raises(LongtakeError) as caught:
        model.with_template(find_template("gemma"), name="gemma")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    assert caught.value.reason.endswith("no <start_of_turn> and no <end_of_turn>")
