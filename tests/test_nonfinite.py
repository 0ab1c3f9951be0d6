"""Numbers that are none: finite weights whose products overflow are told with the layer where it begins, never said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionConfig

import tiny
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import load
from longtake.networks import is_finite
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.video import Frames
from longtake.vision.clip import ClipTower
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import PixelRecipe
from longtake.vision.projector import Projector
from running import ONE_LINE, Cli


def poked(folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    weights = load_file(tiny.checkpoint(folder) / "model.safetensors")
    weights[name] = change(weights[name])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(LongtakeError) as caught:
        call()
    assert caught.value.code is ErrorCode.MODEL_NONFINITE
    return str(caught.value)


def prompt(length: int) -> Prompt:
    ids_L = torch.arange(length) % 200 + 3
    ids_L[2:4] = VISUAL_PLACE
    return Prompt(ids_L, torch.linspace(-1, 1, 64).reshape(2, 32))


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("chunk", [7, 1024])
def test_float16_overflow_names_the_layer_where_it_begins(tmp_path: Path, layer: int, chunk: int) -> None:
    """Weights of 20,000 fit float16; what they are multiplied with and summed up to does not. bfloat16 goes on."""
    name = f"language.model.layers.{layer}.mlp.up_proj"
    folder = poked(tmp_path, f"{name}.weight", lambda tensor: torch.full_like(tensor, 2e4))
    engine: Any = load(str(folder), device="cpu", dtype="float16").engine
    told = refused(lambda: replace(engine, chunk_tokens=chunk).prefill(prompt(20)))
    assert f"in float16, are not finite from here on: what comes out of {name} " in told
    assert "take --dtype bfloat16 or float32" in told
    wide: Any = load(str(folder), device="cpu", dtype="bfloat16").engine
    assert len(list(wide.generate(wide.prefill(prompt(20)), [4], GenerateOptions(max_new_tokens=3)))) <= 3


def test_what_no_layer_made_is_told_by_the_layer_that_got_it(tmp_path: Path) -> None:
    """The product of gate and up overflows float32: nothing computes it but the expression between two layers."""
    folder = tiny.checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    for part in ("gate_proj", "up_proj"):
        weights[f"language.model.layers.1.mlp.{part}.weight"] *= 1e30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    engine: Any = load(str(folder), device="cpu").engine
    told = refused(lambda: engine.prefill(prompt(20)))
    assert "what goes into language.model.layers.1.mlp.down_proj (the checkpoint is damaged" in told


def test_a_head_that_overflows(tmp_path: Path) -> None:
    language = {**tiny.config()["language"], "tie_word_embeddings": False}
    folder = tiny.checkpoint(tmp_path, language=language)
    weights = load_file(folder / "model.safetensors")
    weights["language.lm_head.weight"][9] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    engine: Any = load(str(folder), device="cpu").engine
    kept = engine.prefill(prompt(20))
    assert "what comes out of language.lm_head" in refused(lambda: engine.logprobs(kept, [4], [5]))


def clip(chunk: int = 2) -> Encoder:
    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    tower = ClipTower(config, -2).eval()
    projector = Projector(in_width=16, hidden_width=8, out_width=8).eval()
    return Encoder(PixelRecipe(28), tower, projector, 14, at_once=chunk)


def frames(count: int) -> Frames:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 28, 28), dtype=np.uint8)
    return Frames(pixels, np.arange(count, dtype=np.float64), np.arange(count))


@pytest.mark.parametrize(
    ("poke", "told"),
    [
        (lambda encoder: encoder.tower.model.encoder.layers[1].mlp.fc1, "vision.model.encoder.layers.1.mlp.fc1"),
        (lambda encoder: encoder.projector.land, "projector.land"),
    ],
)
def test_features_that_overflow_name_the_layer(poke: Callable[[Encoder], nn.Linear], told: str) -> None:
    encoder = clip()
    assert is_finite(encoder.encode([frames(5)]).values_THWD)
    with torch.no_grad():
        poke(encoder).weight.fill_(3e38)
    assert f"what comes out of {told} " in refused(lambda: encoder.encode([frames(5)]))


def test_nothing_is_watched_while_all_goes_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = load(str(tiny.checkpoint(tmp_path)), device="cpu").engine
    monkeypatch.setattr(nn.Module, "register_forward_hook", None)
    monkeypatch.setattr(nn.Module, "register_forward_pre_hook", None)
    list(engine.generate(engine.prefill(prompt(20)), [4], GenerateOptions(max_new_tokens=3)))
    clip().encode([frames(3)])


def test_hooks_are_gone_afterwards_and_the_prefix_serves_on(tmp_path: Path) -> None:
    engine: Any = load(str(tiny.checkpoint(tmp_path)), device="cpu").engine
    kept = engine.prefill(prompt(20))
    wanted = engine.logprobs(kept, [4], [5, 6])
    weight = engine.language.model.layers[1].mlp.up_proj.weight
    good = weight.clone()
    weight.fill_(3e38)
    refused(lambda: engine.logprobs(kept, [4], [5, 6]))
    weight.copy_(good)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in engine.language.modules())
    assert torch.equal(engine.logprobs(kept, [4], [5, 6]), wanted)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_by_the_command_line(tmp_path: Path, bunny: Path, capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    """No word of an answer is said before."""
    name = "vision.strokes.0.0.weight"
    folder = poked(
        tmp_path / "model", name, lambda tensor: torch.full_like(tensor, 6e4 if dtype == "float16" else 3e38)
    )
    status, out, err = Cli(capsys)(
        "ask", bunny, "What?", "--model", folder, "--frames", "2", "--dtype", dtype, "--quiet"
    )
    assert (status, out.strip()) == (4, "")
    assert ONE_LINE.fullmatch(err) and err.startswith("error[model.nonfinite]: ")
    assert f"in {dtype}, are not finite from here on: what comes out of vision.strokes.0" in err


def test_finite_or_not() -> None:
    for bad in (float("nan"), float("inf"), float("-inf")):
        for place in (0, 5, -1):
            numbers = torch.ones(3, 4)
            numbers.view(-1)[place] = bad
            assert not is_finite(numbers) and not is_finite(numbers.half()) and not is_finite(numbers.bfloat16())
    assert is_finite(torch.ones(3)) and is_finite(torch.zeros(0)) and is_finite(torch.tensor([1, 2]))
