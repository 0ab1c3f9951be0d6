"""checkpoint: what lies in safetensors files is what the library that writes them says, and goes where it belongs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
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
    INDEX,
    WEIGHTS,
    Placement,
    StoredTensor,
    fill,
    fitting,
    stored_in,
    stored_tensors,
    without_memory,
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


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(LongtakeError) as caught:
        call()
    assert caught.value.code is ErrorCode.MODEL_BAD_CHECKPOINT
    return str(caught.value)


def shards(folder: Path, *parts: dict[str, torch.Tensor]) -> Path:
    """A folder with an index and one shard for each of `parts`."""
    folder.mkdir(exist_ok=True)
    index = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(part, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": index}))
    return folder


def reindex(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    told = json.loads((folder / INDEX).read_text())
    change(told["weight_map"])
    (folder / INDEX).write_text(json.dumps(told))
    return folder


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return shards(
        tmp_path / "three", {"a": torch.ones(2, 3)}, {"b": torch.zeros(4), "c": torch.ones(1)}, {"d": torch.ones(())}
    )


def first(folder: Path) -> Path:
    return folder / "model-00001-of-00003.safetensors"


# What lies where.


def numbers_of(stored: StoredTensor) -> torch.Tensor:
    data = bytearray(stored.path.read_bytes()[stored.first_byte : stored.first_byte + stored.size_bytes])
    return torch.frombuffer(data, dtype=stored.dtype).reshape(stored.shape) if data else torch.empty(stored.shape)


def test_headers_say_what_the_library_reads(tmp_path: Path) -> None:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
    dtypes += (torch.int16, torch.int8, torch.uint8, torch.bool)
    tensors = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in dtypes}
    tensors |= {"scalar": torch.tensor(7.0), "empty": torch.empty(0, 3)}
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    stored = stored_in(tmp_path)
    assert stored.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (stored[name].shape, stored[name].dtype) == (tuple(tensor.shape), tensor.dtype)
        assert torch.equal(numbers_of(stored[name]), tensor)


def test_shards_are_one_checkpoint(three: Path) -> None:
    stored = stored_in(three)
    assert {name: stored[name].shape for name in stored} == {"a": (2, 3), "b": (4,), "c": (1,), "d": ()}
    assert stored["a"].path == first(three)


def test_one_file_wins_over_an_index(three: Path) -> None:
    save_file({"whole": torch.ones(1)}, three / WEIGHTS)
    assert stored_in(three).keys() == {"whole"}


def test_shards_may_be_links_as_in_the_hubs_cache(three: Path, tmp_path: Path) -> None:
    first(three).rename(tmp_path / "blob")
    first(three).symlink_to(tmp_path / "blob")
    assert "a" in stored_in(three)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_accepted_is_what_the_library_accepts(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes of a good file are changed; whatever passes here, the library reads as the same tensors."""
    path = tmp_path / WEIGHTS
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.int16)}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        stored = stored_in(tmp_path)
    except LongtakeError:
        return
    with safe_open(path, framework="pt") as told:
        assert set(told.keys()) == set(stored)
        assert all(torch.equal(told.get_tensor(name).isnan(), numbers_of(stored[name]).isnan()) for name in stored)
        assert all(told.get_slice(name).get_shape() == list(stored[name].shape) for name in stored)


def with_header(path: Path, header: object, data: bytes = b"") -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    ("header", "data", "told"),
    [
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(3), "ends 1 bytes too early"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(6), "goes on for 2 bytes after"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4), "has 4 bytes for a, which takes 8"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8), "a gap or an overlap before a"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, bytes(4), "does not say where a lies"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4), "does not say where a lies"),
        ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4), "does not say where a lies"),
        (
            {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}},
            bytes(4),
            "as F8_E4M3, which longtake does",
        ),
        ({"a": []}, b"", "does not say where a lies"),
        ("[]", b"", "no JSON object"),
        ("[" * 100_000, b"", "no JSON"),
        ('{"__metadata__": {}, "a": 1, "a": 1}', b"", "names something twice"),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: object, data: bytes, told: str) -> None:
    with_header(tmp_path / WEIGHTS, header, data)
    assert told in refused(lambda: stored_in(tmp_path))
    if "F8_E4M3" not in told:
        with pytest.raises(SafetensorError), safe_open(tmp_path / WEIGHTS, framework="pt"):
            pytest.fail("the library reads it")


def test_everything_wrong_with_shards_is_told_at_once(three: Path) -> None:
    shard = first(three)
    shard.write_bytes(shard.read_bytes()[:-1])
    (three / "model-00003-of-00003.safetensors").unlink()
    reindex(three, lambda index: [index.pop("c"), index.update(e=index["b"])])
    told = refused(lambda: stored_in(three))
    assert "1 missing shards: model-00003-of-00003.safetensors" in told
    assert "1 damaged shards: model-00001-of-00003.safetensors ends 1 bytes too early" in told
    assert "1 named by the index but not stored: e" in told
    assert "1 stored but not named by the index: c" in told


def test_shards_that_the_index_mixes_up(three: Path) -> None:
    reindex(three, lambda index: index.update(a=index["b"], b=index["a"]))
    assert "2 in another shard than the index says: a, b" in refused(lambda: stored_in(three))


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    folder = shards(tmp_path / "twice", {"a": torch.ones(1)}, {"a": torch.zeros(1), "b": torch.ones(1)})
    reindex(
        folder, lambda index: index.update(b="model-00002-of-00002.safetensors", a="model-00001-of-00002.safetensors")
    )
    assert "1 stored in several shards: a" in refused(lambda: stored_in(folder))


@pytest.mark.parametrize(
    "file", ["../x.safetensors", "/x.safetensors", "sub/x.safetensors", "a\\x.safetensors", "x.bin", "..", "", 3, None]
)
def test_an_index_points_at_nothing_but_safetensors_beside_it(three: Path, file: object) -> None:
    save_file({"a": torch.ones(2, 3)}, three.parent / "x.safetensors")
    reindex(three, lambda index: index.update(a=file))
    told = refused(lambda: stored_in(three))
    assert "1 shards that are no safetensors files beside it: " in told
    assert "x.bin" not in told or repr(file) in told


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": 3}', "[" * 100_000])
def test_an_index_that_is_none(three: Path, text: str) -> None:
    (three / INDEX).write_text(text)
    assert "is no index of weights" in refused(lambda: stored_in(three))


def test_shards_without_their_index(three: Path) -> None:
    (three / INDEX).unlink()
    assert f"weights in several files want their {INDEX}" in refused(lambda: stored_in(three))


def test_pickled_shards_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"")
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {}}')
    assert "pickled weights are never opened" in refused(lambda: stored_in(tmp_path))


# What is built without memory, and filled.


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
    told = refused(lambda: fill(modules, stored, placed(torch.float16), renamed=renamed_pair, folder=tmp_path))
    assert "1 not finite in float16: one" in told


# What it costs.


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of resident memory")
@pytest.mark.parametrize(("kept", "wanted"), [("float32", "float32"), ("float16", "bfloat16")])
def test_filling_takes_the_memory_of_the_weights_and_little_more(kept: str, wanted: str) -> None:
    layers = 512 * 2**20 // (4096**2 * (4 if wanted == "float32" else 2))
    command = [sys.executable, str(HERE / "loading_memory.py"), str(layers), kept, wanted]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told["weights"] == 512 * 2**20
    assert told["weights"] * 0.9 < told["rise"] < told["weights"] * 1.15
