"""checkpoint: networks built without memory and filled from files are those that were built and saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from longtake.checkpoint import (
    WEIGHTS,
    Placement,
    fill,
    fitting,
    stored_in,
    stored_tensors,
    without_memory,
    write_tensors,
)
from longtake.errors import ErrorCode, LongtakeError

CPU = torch.device("cpu")
HERE = Path(__file__).parent
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDY = {**SMALL, "vocab_size": 50, "num_key_value_heads": 2, "initializer_range": 0.3}
SEEING = {**SMALL, "image_size": 28, "patch_size": 14}

NETWORKS: dict[str, Callable[[], Any]] = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**WORDY)),
    "qwen2-tied": lambda: Qwen2ForCausalLM(Qwen2Config(**WORDY, tie_word_embeddings=True)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**WORDY)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**WORDY)),
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SEEING)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**SEEING)),
}


def placed(dtype: torch.dtype = torch.float32) -> Placement:
    return Placement(CPU, dtype)


def same(name: str) -> str:
    return name


def under_net(name: str) -> str:
    return f"net.{name}"


def refused(call: Callable[[], object], code: ErrorCode = ErrorCode.MODEL_BAD_CHECKPOINT) -> str:
    with pytest.raises(LongtakeError) as caught:
        call()
    assert caught.value.code is code
    return str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_built_without_memory_and_filled_is_bit_equal(name: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    built = NETWORKS[name]().eval()
    save_file(stored_tensors({"net": built}), tmp_path / WEIGHTS)
    before = torch.get_rng_state()
    with without_memory():
        filled = NETWORKS[name]().eval()
    assert all(parameter.is_meta for parameter in filled.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    fill({"net": filled}, stored_in(tmp_path), placed(), renamed=same, folder=tmp_path)
    for (key, tensor), (own, wanted) in zip(filled.named_buffers(), built.named_buffers(), strict=True):
        assert key == own and tensor.dtype == wanted.dtype and torch.equal(tensor, wanted)
    if name in ("clip", "siglip"):
        pixels = torch.rand(2, 3, 28, 28)
        assert torch.equal(filled(pixels).last_hidden_state, built(pixels).last_hidden_state)
    else:
        ids = torch.arange(12).reshape(1, 12)
        assert torch.equal(filled(ids).logits, built(ids).logits)
        assert (filled.lm_head.weight is filled.model.embed_tokens.weight) == (name == "qwen2-tied")


def test_positions_that_are_stored_may_be_left_out(tmp_path: Path) -> None:
    """Some files of CLIP store `position_ids`, which follow from the configuration."""
    built = NETWORKS["clip"]()
    tensors = {name.removeprefix("net."): tensor for name, tensor in stored_tensors({"net": built}).items()}
    tensors["embeddings.position_ids"] = torch.arange(5)[None]
    save_file(tensors, tmp_path / WEIGHTS)
    with without_memory():
        filled = NETWORKS["clip"]()

    def renamed(name: str) -> str | None:
        return None if name.endswith("position_ids") else under_net(name)

    fill({"net": filled}, stored_in(tmp_path), placed(), renamed=renamed, folder=tmp_path)
    ids = [buffer for name, buffer in filled.named_buffers() if name.endswith("position_ids")]
    assert [torch.equal(each, torch.arange(5)[None]) for each in ids] == [True]


def test_what_is_built_later_has_memory_again() -> None:
    with pytest.raises(ZeroDivisionError), without_memory():
        raise ZeroDivisionError
    assert not nn.Linear(2, 2).weight.is_meta


def test_a_frozen_parameter_stays_frozen(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, tmp_path / WEIGHTS)
    with without_memory():
        layer = nn.Linear(2, 2).requires_grad_(False)
        layer.bias.requires_grad_(True)
    fill({"net": layer}, stored_in(tmp_path), placed(), renamed=under_net, folder=tmp_path)
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (False, True)


@pytest.mark.parametrize("wanted", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kept", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_numbers_are_converted_as_torch_does(tmp_path: Path, kept: torch.dtype, wanted: torch.dtype) -> None:
    """More than one chunk of them, and none left over from the chunk before."""
    weight = torch.linspace(-9, 9, 1500 * 3000).reshape(1500, 3000).to(kept)
    save_file({"weight": weight}, tmp_path / WEIGHTS)
    with without_memory():
        layer = nn.Linear(3000, 1500, bias=False)
    fill({"net": layer}, stored_in(tmp_path), placed(wanted), renamed=under_net, folder=tmp_path)
    assert layer.weight.dtype == wanted
    assert torch.equal(layer.weight, weight.to(wanted))


def pair(folder: Path, **tensors: torch.Tensor) -> tuple[dict[str, nn.Module], Any]:
    """Two layers, one tied to the other, and a checkpoint with `tensors`."""
    save_file(tensors, folder / WEIGHTS)
    with without_memory():
        one, two = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
        two.weight = one.weight
    return {"one": one, "two": two}, stored_in(folder)


def renamed_pair(name: str) -> str:
    return f"{name}.weight"


@pytest.mark.parametrize("names", [("one",), ("two",), ("one", "two")])
def test_of_tied_tensors_any_name_is_enough(tmp_path: Path, names: tuple[str, ...]) -> None:
    numbers = torch.arange(6.0).reshape(3, 2)
    modules, stored = pair(tmp_path, **{name: numbers.clone() for name in names})
    fill(modules, stored, placed(torch.bfloat16), renamed=renamed_pair, folder=tmp_path)
    one, two = modules["one"].get_parameter("weight"), modules["two"].get_parameter("weight")
    assert one is two and torch.equal(one, numbers.bfloat16())


def test_tied_tensors_that_say_different_things(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, one=torch.ones(3, 2), two=torch.zeros(3, 2))
    told = refused(lambda: fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path))
    assert "1 unlike what they are tied to: two" in told


def test_no_tied_tensor_is_one_missing(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, other=torch.ones(1))
    told = refused(lambda: fitting(modules, stored, renamed=renamed_pair, folder=tmp_path))
    assert "1 missing: one.weight; 1 unexpected: other" in told


def test_two_sources_of_one_tensor(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, a=torch.ones(3, 2), b=torch.ones(3, 2))
    told = refused(lambda: fill(modules, stored, placed(), renamed=lambda _: "one.weight", folder=tmp_path))
    assert "1 with several sources: one.weight (a, b)" in told


def test_more_rows_only_where_the_caller_says_so(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, one=torch.arange(10.0).reshape(5, 2))
    told = refused(lambda: fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path))
    assert "one is [5, 2] of numbers with a fraction, not [3, 2]" in told
    fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path, longer=["two.weight"])
    assert torch.equal(modules["one"].get_parameter("weight"), torch.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (10,), (5, 2, 1)])
def test_other_misfits_are_never_cut(tmp_path: Path, shape: tuple[int, ...]) -> None:
    modules, stored = pair(tmp_path, one=torch.ones(shape))
    longer = ["one.weight"]
    refused(lambda: fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path, longer=longer))


def test_faults_are_told_before_anything_is_read(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, one=torch.ones(3, 2), more=torch.ones(1))
    (tmp_path / WEIGHTS).unlink()
    assert "1 unexpected: more" in refused(
        lambda: fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path)
    )


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    modules, stored = pair(tmp_path, one=torch.ones(3, 2))
    path = tmp_path / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    told = refused(lambda: fill(modules, stored, placed(), renamed=renamed_pair, folder=tmp_path))
    assert "could not be read to its end" in told


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e6])
def test_no_number_that_is_none(tmp_path: Path, value: float, place: int) -> None:
    """1e6 is a number, but not in float16; its neighbours hide nothing."""
    numbers = torch.ones(3, 2)
    numbers.view(-1)[place] = value
    modules, stored = pair(tmp_path, one=numbers)
    where = placed(torch.float16)
    told = refused(
        lambda: fill(modules, stored, where, renamed=renamed_pair, folder=tmp_path), ErrorCode.MODEL_NONFINITE
    )
    assert f"1 {'too large for float16' if value == 1e6 else 'not finite'}: one" in told


# What it costs.


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of resident memory")
@pytest.mark.parametrize(("kept", "wanted"), [("float32", "float32"), ("float16", "bfloat16"), ("bfloat16", "int8")])
def test_filling_takes_the_memory_of_the_weights_and_little_more(kept: str, wanted: str) -> None:
    layers = 512 * 2**20 // (4096**2 * {"float32": 4, "bfloat16": 2, "int8": 1}[wanted])
    command = [sys.executable, str(HERE / "loading_memory.py"), str(layers), kept, wanted]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    scales = layers * 4096 * 4 if wanted == "int8" else 0
    assert told["weights"] == 512 * 2**20 + scales
    assert told["weights"] * 0.9 < told["rise"] < told["weights"] * 1.15


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
@pytest.mark.parametrize("rights", [0o755, 0o700, 0o775])
def test_weights_may_be_read_by_whoever_may_read_their_folder(rights: int, tmp_path: Path) -> None:
    tmp_path.chmod(rights)
    for _ in range(2):  # the second one over the first
        write_tensors({"one": torch.ones(1)}, tmp_path / "model.safetensors")
        assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == rights & 0o666
