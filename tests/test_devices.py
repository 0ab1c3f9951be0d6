"""Numbers and devices: what `auto` takes, weights in eight bits and their error, networks spread over devices."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlamaForCausalLM

import tiny
from longtake.checkpoint import (
    WEIGHTS,
    Int8Linear,
    Placement,
    Share,
    fill,
    placement,
    stored_in,
    stored_tensors,
    weights_bytes,
    without_memory,
)
from longtake.checkpoint.eight_bits import in_eight_bits
from longtake.checkpoint.placing import computes_bfloat16
from longtake.checkpoint.spreading import spread
from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import load
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.vision.clip import ClipTower
from longtake.vision.projector import Projector
from running import Cli

CPU = torch.device("cpu")
FULL = torch.float32
LANGUAGE = {
    "vocab_size": 120,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}
SEEING = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}


def networks() -> dict[str, Any]:
    """A tower, a projector and a language model, as the original families have them."""
    return {
        "vision": ClipTower(CLIPVisionConfig(**SEEING), -2),
        "projector": Projector(in_width=48, hidden_width=64, out_width=64),
        "language": LlamaForCausalLM(LlamaConfig(**LANGUAGE)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(3)
    save_file(stored_tensors(networks()), folder / WEIGHTS)
    return folder


def filled(folder: Path, where: Placement) -> dict[str, Any]:
    with without_memory():
        built = networks()
    fill(built, stored_in(folder), where, renamed=lambda name: name, folder=folder)
    return {name: module.eval().requires_grad_(False) for name, module in built.items()}


@torch.inference_mode()
def outputs(built: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of two pictures, and the logits behind them and some words."""
    pixels = torch.linspace(-1, 1, 2 * 3 * 56 * 56).reshape(2, 3, 56, 56)
    features_ND = built["projector"](built["vision"](pixels)).flatten(0, 2)
    ids = torch.arange(5, 30)
    embedded = torch.cat([features_ND, built["language"].get_input_embeddings()(ids)])
    hidden = built["language"].model(inputs_embeds=embedded[None]).last_hidden_state[0]
    return features_ND, built["language"].lm_head(hidden)


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


# Which dtype.


def test_auto_is_bfloat16_exactly_where_the_processor_computes_in_it() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    if flags & {"avx512f", "avx2"}:
        assert computes_bfloat16(CPU) == bool(flags & {"avx512_bf16", "amx_bf16"})
    assert placement("cpu", "auto").dtype == (torch.bfloat16 if computes_bfloat16(CPU) else FULL)


@pytest.mark.parametrize("instructions", [{}, {"avx512_f": True}, {"avx512_bf16": False}])
def test_auto_is_float32_where_it_does_not_and_never_float16(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert placement("cpu", "auto").dtype == placement("cpu", "int8").dtype == FULL
    assert placement("cpu", "bfloat16").dtype == torch.bfloat16
    assert placement("cpu", "float16").dtype == torch.float16


def test_nano_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert placement("cpu", "auto").dtype == torch.bfloat16
    assert load("nano", device="cpu").engine.language.model.embed_tokens.weight.dtype == FULL  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("device", "shares"),
    [
        ("cpu", ()),
        ("cpu=20MiB", (Share(CPU, 20 * 2**20),)),
        ("cpu=1.5K", (Share(CPU, 1536),)),
    ],
)
def test_limits_as_they_are_written(device: str, shares: tuple[Share, ...]) -> None:
    assert placement(device, "float32") == Placement(CPU, FULL, shares=shares)


@pytest.mark.parametrize("device", ["cpu,cpu", "cpu,cpu:0", "cpu=", "cpu=20X", "=3", "", "cpu,", "meta", "cuda:99,cpu"])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        placement(device, "auto")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


def test_eight_bits_and_float16_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="overflow float16"):
        Placement(CPU, torch.float16, int8=True)


# Eight bits.


def in_eight(weight_OI: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    matrix_OI = torch.empty_like(weight_OI, dtype=torch.int8)
    return matrix_OI, in_eight_bits(weight_OI.clone(), matrix_OI)


def test_each_number_is_off_by_half_a_step_at_most() -> None:
    torch.manual_seed(0)
    weight_OI = torch.randn(300, 500) * torch.logspace(-6, 6, 300)[:, None]
    weight_OI[7] = 0.0
    matrix_OI, scale_O = in_eight(weight_OI)
    off_OI = (matrix_OI * scale_O[:, None] - weight_OI).abs()
    assert bool((off_OI <= weight_OI.abs().amax(1, keepdim=True) / 254 * (1 + 1e-5)).all())
    assert matrix_OI.abs().amax(1).tolist() == [0 if row == 7 else 127 for row in range(300)]


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 5), (2500, 1100)])
@pytest.mark.parametrize("dtype", [FULL, torch.bfloat16])
def test_the_layer_is_the_linear_layer_of_its_widened_matrix(outputs: int, inputs: int, dtype: torch.dtype) -> None:
    """2,500 rows of 1,100 numbers are widened in three chunks."""
    torch.manual_seed(1)
    matrix_OI, scale_O = in_eight(torch.randn(outputs, inputs))
    bias_O = nn.Parameter(torch.randn(outputs).to(dtype), requires_grad=False)
    x = torch.randn(2, 7, inputs).to(dtype)
    wanted = nn.functional.linear(x.double(), matrix_OI * scale_O[:, None].double(), bias_O.double())
    made = Int8Linear(matrix_OI, scale_O, bias_O)(x)
    assert made.dtype == dtype and made.shape == wanted.shape
    assert error(made.double(), wanted) < (1e-6 if dtype == FULL else 5e-3)


def test_matrices_of_repeated_layers_and_no_others(folder: Path) -> None:
    built = filled(folder, Placement(CPU, FULL, int8=True))
    shrunk = {
        f"{prefix}.{name}"
        for prefix, module in built.items()
        for name, layer in module.named_modules()
        if isinstance(layer, Int8Linear)
    }
    assert len(shrunk) == 4 * 7 + 3 * 6
    assert all(".layers." in name for name in shrunk)
    assert type(built["language"].lm_head) is type(built["projector"].rise) is nn.Linear


def test_error_of_eight_bits(folder: Path) -> None:
    """Of random networks, the worst case: a hundredth of features and logits. benchmarks/int8.py tells it of shapes."""
    features, logits = outputs(filled(folder, Placement(CPU, FULL)))
    got_features, got_logits = outputs(filled(folder, Placement(CPU, FULL, int8=True)))
    assert 1e-4 < error(got_features, features) < 2e-2
    assert 1e-4 < error(got_logits, logits) < 3e-2


def test_what_is_stored_is_what_is_shrunk_whatever_it_is_computed_in(folder: Path) -> None:
    """Steps are taken from the stored numbers, not from those rounded to bfloat16."""
    full, half = (filled(folder, Placement(CPU, dtype, int8=True)) for dtype in (FULL, torch.bfloat16))
    for one, other in zip(full["language"].modules(), half["language"].modules(), strict=True):
        if isinstance(one, Int8Linear):
            assert torch.equal(one.matrix_OI, other.matrix_OI) and torch.equal(one.scale_O, other.scale_O)


def test_weights_take_the_memory_that_was_announced(folder: Path) -> None:
    for int8 in (False, True):
        for dtype in (FULL, torch.bfloat16):
            with without_memory():
                announced = weights_bytes(networks(), dtype, int8=int8)
            built = filled(folder, Placement(CPU, dtype, int8=int8))
            tensors = [t for module in built.values() for t in module.state_dict().values()]
            assert sum(t.nbytes for t in tensors) == announced


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_matrix_that_is_not_finite_is_not_shrunk(folder: Path, tmp_path: Path, value: float) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = "language.model.layers.2.mlp.up_proj.weight"
    tensors[name][3, 5] = value
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(LongtakeError, match=f"1 not finite: {name}") as caught:
        filled(tmp_path, Placement(CPU, FULL, int8=True))
    assert caught.value.code is ErrorCode.MODEL_NONFINITE


def test_nano_answers_the_demo_in_eight_bits(cli: Cli, tmp_path: Path) -> None:
    """`ask --dtype int8` by the real command line, about the film that ships."""
    from longtake import demo

    question = demo.questions()[0]
    span = ["--start", str(question.start_s - 8), "--end", str(question.end_s + 8), "--frames", "24"]
    told = [cli.json("ask", demo.FILM, question.question, *span, "--dtype", dtype) for dtype in ("float32", "int8")]
    assert demo.words(told[1]["answer"]) == demo.words(told[0]["answer"]) == demo.words(question.expected)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


# Several devices. There is one processor here: blocks are hooked, kept aside and brought as they would be for graphics
# cards, but nothing moves from one memory to another. docs/log.md says what was not tried.


def shared_out(folder: Path, first_bytes: int, second_bytes: int | None = None) -> Placement:
    return Placement(CPU, FULL, shares=(Share(CPU, first_bytes), Share(CPU, second_bytes)))


def kept_bytes(folder: Path, where: Placement) -> dict[bool, int]:
    """How much of the weights is kept aside, and how much is not."""
    with without_memory():
        built = networks()
    plan = spread(built, where)
    found = {True: 0, False: 0}
    for prefix, module in built.items():
        for name, tensor in module.state_dict().items():
            path = f"{prefix}.{name}"
            found[any(path.startswith(f"{block}.") for block in plan.aside)] += tensor.numel() * 4
    return found


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_no_device_is_given_more_than_its_limit(folder: Path, share: float) -> None:
    pytest.importorskip("accelerate")
    with without_memory():
        total = weights_bytes(networks(), FULL)
    limit = int(total * share)
    found = kept_bytes(folder, shared_out(folder, limit))
    assert found[False] <= limit
    assert found[False] + found[True] == total
    assert found[True] > 0


def test_what_fits_the_first_device_goes_there_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No accelerate is needed for that."""
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with without_memory():
        plan = spread(networks(), shared_out(folder, 2**30))
    assert not plan.places
    with without_memory(), pytest.raises(LongtakeError, match=r"pip install 'longtake\[devices\]'") as caught:
        spread(networks(), shared_out(folder, 2**18))
    assert caught.value.code is ErrorCode.ENVIRONMENT_MISSING


def test_less_memory_than_the_weights_take_is_refused_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LongtakeError, match="what may be given to them is cpu") as caught:
        filled(folder, Placement(CPU, FULL, shares=(Share(CPU, 2**17),)))
    assert caught.value.code is ErrorCode.LIMIT_MEMORY
    with pytest.raises(LongtakeError) as caught:
        filled(folder, shared_out(folder, 2**17, 2**17))
    assert caught.value.code is ErrorCode.LIMIT_MEMORY


@pytest.mark.parametrize("share", [0.6, 0.01])
@pytest.mark.parametrize("int8", [False, True])
def test_kept_aside_and_brought_the_outputs_are_the_same(folder: Path, int8: bool, share: float) -> None:
    """Also where the first device has room for nothing, and everything is brought."""
    pytest.importorskip("accelerate")
    whole = replace(shared_out(folder, 2**30), int8=int8)
    with without_memory():
        limit = int(weights_bytes(networks(), FULL, int8=int8) * share)
    built = filled(folder, replace(shared_out(folder, limit), int8=int8))
    layer = built["language"].model.layers[3]
    brought = [*layer.parameters(), *(b for name, b in layer.named_buffers() if "_O" in name)]
    assert brought and all(tensor.is_meta for tensor in brought)
    for got, wanted in zip(outputs(built), outputs(filled(folder, whole)), strict=True):
        assert torch.equal(got, wanted)
    assert all(tensor.is_meta for tensor in brought)


def test_blocks_on_devices_of_their_own_give_the_same(folder: Path) -> None:
    pytest.importorskip("accelerate")
    from longtake.checkpoint.spreading import BlockPlaces

    names = ["embed_tokens", *(f"layers.{number}" for number in range(4)), "norm", "rotary_emb"]
    places = {f"language.model.{name}": CPU for name in names}
    built = filled(folder, Placement(CPU, FULL))
    wanted = outputs(built)
    BlockPlaces(CPU, {"vision": CPU, "projector": CPU, "language.lm_head": CPU, **places}).settle(built)
    hooked = [name for name, module in built["language"].named_modules() if hasattr(module, "_hf_hook")]
    assert {f"model.{name}" for name in names} <= set(hooked)
    assert all(torch.equal(got, one) for got, one in zip(outputs(built), wanted, strict=True))


def test_a_whole_model_answers_with_most_of_it_kept_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded by its family, read by its encoder and engine: embeddings, tied head, tower and newline where they are."""
    pytest.importorskip("accelerate")
    folder = tiny.checkpoint(tmp_path / "model")
    model = load(str(folder), device="cpu")
    where = Placement(CPU, FULL, shares=(Share(CPU, 90 * 1024), Share(CPU)))
    monkeypatch.setattr("longtake.families.nano.placement", lambda *_, **__: where)
    spread_out = load(str(folder))
    assert any(parameter.is_meta for parameter in spread_out.engine.language.parameters())  # type: ignore[attr-defined]
    ids = torch.tensor([VISUAL_PLACE, VISUAL_PLACE, *range(3, 40)])
    prompt = Prompt(ids, torch.linspace(-1, 1, 64).reshape(2, 32))
    forced = [one.engine.force(one.engine.prefill(prompt), [4, 5], [6, 7, 8]) for one in (model, spread_out)]
    torch.testing.assert_close(forced[1].logprobs_A, forced[0].logprobs_A, atol=0, rtol=0)
