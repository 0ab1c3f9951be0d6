"""checkpoint: what the headers of safetensors files say is what the library that writes them reads, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from longtake.checkpoint import INDEX, WEIGHTS, StoredTensor, stored_in
from longtake.errors import ErrorCode, LongtakeError


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
