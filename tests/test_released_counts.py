"""How many tokens a picture makes and what is written around it, by transformers' own processors, at true sizes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import nn

from longtake.layouts.anyres import Anyres
from longtake.loading import load
from longtake.pipeline import watch
from longtake.prompt import VISUAL_PLACE, Prompt, question_ids
from longtake.video.opening import open_video
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import PixelRecipe
from released import IMAGE, RECIPES, few, pinpoints

SIZES = 4000


def processor_of(name: str, side_px: int, grids: list[list[int]]) -> Any:
    """A processor that only counts. (Made whole, OneVision's wants torchvision for its videos.)"""
    made: Any = object.__new__(getattr(transformers, f"{name}Processor"))
    made.image_processor = SimpleNamespace(image_grid_pinpoints=grids)
    made.patch_size, made.num_additional_image_tokens = 14, 1
    made.num_image_tokens, made.vision_aspect_ratio = (side_px // 14) ** 2, "anyres_max_9"
    return made


@pytest.mark.parametrize(
    ("name", "side_px", "grids", "layout"),
    [
        ("LlavaNext", 336, few(336)["image_grid_pinpoints"], Anyres()),
        ("LlavaNextVideo", 336, few(336)["image_grid_pinpoints"], Anyres()),
        ("LlavaOnevision", 384, pinpoints(384, 6), Anyres(most_tiles=9)),
    ],
)
def test_pictures_of_any_size_make_as_many_tokens(
    name: str, side_px: int, grids: list[list[int]], layout: Anyres
) -> None:
    """LLaVA-NeXT's processors count the class token first and take it off later; OneVision's tower has none."""
    counting = processor_of(name, side_px, grids)
    tiles = tuple((wide // side_px, high // side_px) for high, wide in grids)
    recipe, newline_D = PixelRecipe(side_px), torch.zeros(1)
    encoder = Encoder(recipe, nn.Identity(), nn.Identity(), 14, tiles=tiles, newline_D=newline_D)
    extra = 0 if name == "LlavaOnevision" else 1
    rng = np.random.default_rng(0)
    found = set()
    for height, width in (2 ** rng.uniform(3, 12, (SIZES, 2))).astype(int).tolist():
        wanted = counting._get_number_of_features(height, width, side_px, side_px) - extra
        assert layout.count(encoder.shape_of(1, (height, width), tiled=True)) == wanted, (height, width)
        found.add(wanted)
    assert len(found) > 100


@pytest.mark.parametrize("name", ["llava_next vicuna", "llava_next mistral"])
def test_a_prompt_is_what_llava_nexts_processor_makes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one processor of the four that can be made whole without torchvision."""
    recipe = RECIPES[name]
    own = load(str(recipe.save(tmp_path / "model")), device="cpu", dtype="float32")
    Image.fromarray(np.zeros((70, 110, 3), np.uint8)).save(tmp_path / "black.png")
    prompts: list[Prompt] = []
    prefill = type(own.engine).prefill
    monkeypatch.setattr(
        type(own.engine),
        "prefill",
        lambda engine, prompt, **told: prompts.append(prompt) or prefill(engine, prompt, **told),
    )
    watched = watch(own, open_video(tmp_path / "black.png"))
    token_ids = prompts[0].token_ids_L.tolist() + question_ids(watched.template, own.tokenizer, "What is it?")

    pixels = {key: value for key, value in recipe.pixels().items() if value is not None}
    processor = transformers.LlavaNextProcessor(
        image_processor=transformers.LlavaNextImageProcessorPil(**pixels),
        tokenizer=transformers.PreTrainedTokenizerFast(tokenizer_object=recipe.tokenizer),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    asked = {
        "user_assistant": f"USER: {IMAGE}\nWhat is it? ASSISTANT:",
        "mistral_hf": f"[INST] {IMAGE}\nWhat is it? [/INST]",
    }
    text = asked["mistral_hf" if "mistral" in name else "user_assistant"]
    made = processor(images=Image.open(tmp_path / "black.png"), text=text, return_tensors="pt")["input_ids"][0].tolist()
    mark = recipe.tokenizer.token_to_id(IMAGE)
    assert [mark if token_id == VISUAL_PLACE else token_id for token_id in token_ids] == made
