"""Families in transformers' own layout: prompts, pixels and logits are those of its processors and classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from longtake.answer import Watched
from longtake.engines.local import LocalEngine
from longtake.families import Model
from longtake.loading import load
from longtake.pipeline import watch
from longtake.prompt import VISUAL_PLACE, Prompt, question_ids
from longtake.samplers.uniform import Uniform
from longtake.video.opening import open_video
from released import IMAGE, RECIPES, VIDEO, Recipe

QUESTION = "What is on the picture?"
ANSWER_IDS = [20, 200, 41, 7, 250, 99]
FILM_FRAMES = 5
SIZES = [(70, 110), (120, 50), (60, 60), (56, 56), (300, 310), (33, 400), (400, 37), (225, 225)]
"""Of pictures: (height, width). 56 x 56 fills one tile of CLIP's, 60 x 60 needs more; some are far from square."""

ASKED = {
    "user_assistant": "USER: {}\n" + QUESTION + " ASSISTANT:",
    "mistral_hf": "[INST] {}\n" + QUESTION + " [/INST]",
    "chatml_direct_hf": "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{}\n"
    + QUESTION
    + "<|im_end|><|im_start|>assistant\n",
    "onevision": "<|im_start|>user {}\n" + QUESTION + "<|im_end|><|im_start|>assistant\n",
}
"""What the chat templates of the hub's repositories make of one picture or video and a question."""
CHATS = {
    "llava_next vicuna": "user_assistant",
    "llava_next mistral": "mistral_hf",
    "llava_next yi": "chatml_direct_hf",
    "llava_onevision": "onevision",
    "llava_onevision tied": "onevision",
    "llava_next_video": "user_assistant",
    "llava_next_video max": "mistral_hf",
    "video_llava": "user_assistant",
}
TRAINED_ON_FILMS = [name for name in RECIPES if not name.startswith("llava_next ")]


@dataclass(frozen=True)
class Both:
    """The same checkpoint, loaded here and there."""

    name: str
    recipe: Recipe
    own: Model
    theirs: Any
    folder: Path


@pytest.fixture(scope="module", params=RECIPES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    recipe = RECIPES[request.param]
    folder = recipe.save(tmp_path_factory.mktemp("released"))
    return Both(request.param, recipe, load(str(folder), device="cpu", dtype="float32"), recipe.model(), folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Smooth pictures with some noise, of several sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        rows, columns = np.mgrid[:height, :width]
        waves = 127 + 80 * np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 11)], axis=-1)
        noisy = np.clip(waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{height}x{width}.png")
    return [folder / f"{height}x{width}.png" for height, width in SIZES]


def processed_pictures(recipe: Recipe, *paths: Path) -> dict[str, torch.Tensor]:
    """What transformers' own image processor makes of the pictures of one prompt."""
    processors = {
        "LlavaNext": transformers.LlavaNextImageProcessorPil,
        "LlavaNextVideo": transformers.LlavaNextImageProcessorPil,
        "LlavaOnevision": transformers.LlavaOnevisionImageProcessorPil,
        "VideoLlava": transformers.CLIPImageProcessorPil,
    }
    told = {key: value for key, value in recipe.pixels().items() if value is not None}
    made = processors[recipe.architecture](**told)([[Image.open(path) for path in paths]], return_tensors="pt")
    wanted = ("pixel_values", "image_sizes", "batch_num_images")
    return {key: made[key] for key in wanted if key in made and (key != "batch_num_images" or len(paths) > 1)}


def processed_film(recipe: Recipe, frames_THWC: NDArray[np.uint8]) -> dict[str, torch.Tensor]:
    """What its video processor would: each frame resized, cropped if told so, and normalised, one by one."""
    told = {key: value for key, value in recipe.pixels().items() if key != "image_grid_pinpoints"}
    make = transformers.CLIPImageProcessorPil(**told)
    return {"pixel_values_videos": make(list(frames_THWC), return_tensors="pt")["pixel_values"][None]}


def their_prompt(both: Both, marks: str, *places: int) -> list[int]:
    """The prompt as transformers' processors make it: the whole text through the checkpoint's tokenizer, and the mark
    of each picture as often as it has visual tokens."""
    marked = {both.recipe.tokenizer.token_to_id(mark) for mark in (IMAGE, VIDEO)}
    left, token_ids = list(places), list[int]()
    for token_id in both.recipe.tokenizer.encode(ASKED[CHATS[both.name]].format(marks)).ids:
        token_ids += [token_id] * (left.pop(0) if token_id in marked else 1)
    assert not left
    return token_ids


def held_against(both: Both, watched: Watched, prompt: Prompt, expected: list[int], seen: dict[str, Any]) -> None:
    """Prompt ids and logits of both are the same, these at each token of an answer."""
    own, after = both.own, question_ids(watched.template, both.own.tokenizer, QUESTION)
    token_ids = prompt.token_ids_L.tolist() + after
    marks = {both.recipe.tokenizer.token_to_id(mark) for mark in (IMAGE, VIDEO)}
    assert [token_id if token_id != VISUAL_PLACE else None for token_id in token_ids] == [
        None if token_id in marks else token_id for token_id in expected
    ]
    with torch.inference_mode():
        logits_LV = both.theirs(input_ids=torch.tensor([expected + ANSWER_IDS]), **seen).logits[0]
    begin = len(expected) - 1
    answer = torch.tensor(ANSWER_IDS)
    wanted = logits_LV[begin : begin + len(answer), : own.tokenizer.vocabulary_size]
    forced = own.engine.force(watched.prefix, after, ANSWER_IDS)
    theirs_A = wanted.log_softmax(-1).gather(1, answer[:, None])[:, 0]
    torch.testing.assert_close(forced.logprobs_A, theirs_A, atol=1e-4, rtol=0)
    assert forced.likeliest_A.tolist() == wanted.argmax(-1).tolist()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    """The prompts that are read, in order."""
    prompts: list[Prompt] = []
    prefill = LocalEngine.prefill

    def noted(engine: Any, prompt: Prompt, **options: Any) -> Any:
        prompts.append(prompt)
        return prefill(engine, prompt, **options)

    monkeypatch.setattr(LocalEngine, "prefill", noted)
    return prompts


def test_a_picture(both: Both, pictures: list[Path], read: list[Prompt]) -> None:
    counts = set()
    for path in pictures:
        watched = watch(both.own, open_video(path))
        counts.add(watched.visual_tokens)
        expected = their_prompt(both, IMAGE, watched.visual_tokens)
        held_against(both, watched, read[-1], expected, processed_pictures(both.recipe, path))
    assert counts == {16} if both.name == "video_llava" else len(counts) > 3


@pytest.mark.parametrize("both", ["llava_next mistral", "llava_onevision", "llava_next_video"], indirect=True)
def test_two_pictures(both: Both, pictures: list[Path], read: list[Prompt]) -> None:
    """OneVision shows only the whole of each then, padded to a square; the others go on tiling."""
    watched = watch(both.own, [open_video(path) for path in pictures[:2]])
    joint = "" if both.name == "llava_onevision" else "\n"
    expected = their_prompt(both, f"{IMAGE}{joint}{IMAGE}", *(look.visual_tokens for look in watched.looks))
    if both.name == "llava_onevision":
        assert [look.visual_tokens for look in watched.looks] == [26, 26]
    held_against(both, watched, read[-1], expected, processed_pictures(both.recipe, *pictures[:2]))


@pytest.mark.parametrize("both", TRAINED_ON_FILMS, indirect=True)
def test_a_film(both: Both, bunny: Path, read: list[Prompt]) -> None:
    video = open_video(bunny)
    own = replace(both.own, sampler=Uniform(FILM_FRAMES))
    frames_TCHW = np.concatenate([some.pixels_TCHW for some in video.read(own.sampler.pick(video, ""), chunk=4)])
    watched = watch(own, video)
    expected = their_prompt(both, VIDEO, watched.visual_tokens)
    seen = processed_film(both.recipe, frames_TCHW.transpose(0, 2, 3, 1))
    held_against(replace(both, own=own), watched, read[-1], expected, seen)
