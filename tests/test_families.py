"""Checkpoints: what is written is what is read, and whatever is wrong with one is told before it is used."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.families.nano import Nano
from longtake.loading import load

FILES = ("config.json", "tokenizer.json", "model.safetensors")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.checkpoint(tmp_path_factory.mktemp("checkpoint") / "good")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(good, tmp_path / "broken"))


def refused(folder: Path, code: ErrorCode = ErrorCode.MODEL_BAD_CHECKPOINT, **where: str) -> str:
    with pytest.raises(LongtakeError) as caught:
        load(str(folder), **where)
    assert caught.value.code is code
    return str(caught.value)


def reweigh(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def test_what_is_written_is_what_is_read(good: Path) -> None:
    model = load(str(good), device="cpu")
    own = tiny.modules().named()
    for name, module in {
        "vision": model.encoder.tower,
        "projector": model.encoder.projector,
        "language": model.engine.language,
    }.items():
        assert not module.training
        for key, tensor in own[name].state_dict().items():
            assert torch.equal(module.state_dict()[key], tensor), key
    assert model.name == str(good)
    assert model.engine.trained_context == 256
    assert model.sampler.frames == 8
    assert (model.encoder.grid_height, model.encoder.grid_width) == (2, 2)
    assert model.engine.stop_ids == (model.tokenizer.control("<|im_end|>"),)


def test_tied_weights_are_stored_once_and_stay_tied(good: Path) -> None:
    names = load_file(good / "model.safetensors").keys()
    assert "language.model.embed_tokens.weight" in names
    assert "language.lm_head.weight" not in names
    language = load(str(good)).engine.language
    assert language.lm_head.weight is language.model.embed_tokens.weight


def test_untied_weights_are_stored_twice(tmp_path: Path) -> None:
    language = {**tiny.config()["language"], "tie_word_embeddings": False}
    folder = tiny.checkpoint(tmp_path, language=language)
    assert "language.lm_head.weight" in load_file(folder / "model.safetensors")
    loaded = load(str(folder)).engine.language
    assert torch.equal(loaded.lm_head.weight, tiny.modules(language=language).language.lm_head.weight)


def test_half_width_storage_is_computed_in_float32(tmp_path: Path) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        folder = tiny.checkpoint(tmp_path / str(dtype), dtype=dtype)
        assert load_file(folder / "model.safetensors")["language.model.norm.weight"].dtype == dtype
        language = load(str(folder), device="cpu").engine.language
        wanted = tiny.modules().language.model.layers[0].mlp.up_proj.weight.to(dtype).float()
        assert torch.equal(language.model.layers[0].mlp.up_proj.weight, wanted)


def test_rotary_frequencies_are_not_rounded_to_bfloat16(good: Path) -> None:
    narrow = load(str(good), device="cpu", dtype="bfloat16").engine.language
    assert narrow.model.embed_tokens.weight.dtype == torch.bfloat16
    assert torch.equal(narrow.model.rotary_emb.inv_freq, tiny.modules().language.model.rotary_emb.inv_freq)


def test_loading_leaves_the_callers_random_numbers_alone(good: Path) -> None:
    before = torch.get_rng_state()
    load(str(good))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lacking", [FILES[1:], FILES[1:2], FILES[2:]])
def test_all_missing_files_are_named_at_once(folder: Path, lacking: tuple[str, ...]) -> None:
    for name in lacking:
        (folder / name).unlink()
    assert ", ".join(lacking) in refused(folder)


def test_a_folder_without_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has no config.json" in refused(folder)


def test_a_checkpoint_in_shards_is_the_same_model(good: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {"vision": "a.safetensors", "projector": "b.safetensors", "language": "b.safetensors"}
    index = {name: files[name.partition(".")[0]] for name in weights}
    for file in set(index.values()):
        save_file({name: tensor for name, tensor in weights.items() if index[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    sharded, whole = (load(str(path), device="cpu").engine.language.state_dict() for path in (folder, good))
    assert sharded.keys() == whole.keys()
    assert all(torch.equal(sharded[name], whole[name]) for name in whole)
    (folder / "b.safetensors").unlink()
    assert "1 missing shards: b.safetensors" in refused(folder)


@pytest.mark.parametrize("with_config", [True, False])
def test_an_adapter_without_its_base(folder: Path, with_config: bool) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    if not with_config:
        (folder / "config.json").unlink()
    assert "is an adapter (adapter_config.json) without the model that it adapts" in refused(folder)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickles_are_never_opened(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert "pickled weights are never opened" in refused(folder)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    refused(folder)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists(), "the payload does run when it is unpickled"


def test_missing_unexpected_and_misshaped_tensors_are_told_together(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["vision.place"]
        weights["vision.extra"] = torch.zeros(1)
        weights["projector.rise.weight"] = weights["projector.rise.weight"].T.contiguous()
        weights["projector.rise.bias"] = torch.zeros(24, dtype=torch.uint8)

    reweigh(folder, change)
    told = refused(folder)
    assert "1 missing: vision.place" in told
    assert "1 unexpected: vision.extra" in told
    assert "projector.rise.weight is [16, 24] of numbers with a fraction, not [24, 16]" in told
    assert "projector.rise.bias is [24] of uint8" in told


def test_many_faults_are_counted_and_five_named(folder: Path) -> None:
    reweigh(folder, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("vision.")])
    count = len(tiny.modules().vision.state_dict())
    assert f"{count} missing: " in (told := refused(folder))
    assert f"and {count - 5} more" in told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder: Path, value: float) -> None:
    reweigh(folder, lambda weights: weights["language.model.norm.weight"].fill_(value))
    told = refused(folder, ErrorCode.MODEL_NONFINITE, dtype="float16")
    assert "1 not finite: language.model.norm.weight (copy it again)" in told


def test_overflow_of_a_narrower_dtype_is_told(folder: Path) -> None:
    reweigh(folder, lambda weights: weights["language.model.norm.weight"].fill_(1e6))
    told = refused(folder, ErrorCode.MODEL_NONFINITE, dtype="float16")
    assert "1 too large for float16: language.model.norm.weight (take --dtype bfloat16 or float32)" in told
    load(str(folder), dtype="bfloat16")


@pytest.mark.parametrize("damage", ["cut", "appended", "header", "length", "empty"])
def test_damaged_weights(folder: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-1],
            "appended": data + b"\0",
            "header": data[:9] + b"\xff" + data[10:],
            "length": (2**60).to_bytes(8, "little") + data[8:],
            "empty": b"",
        }[damage]
    )
    assert "model.safetensors: is cut off, damaged or not safetensors" in refused(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\0", "[" * 100_000])
def test_a_config_that_is_no_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json: is not a JSON object" in refused(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vision": None}, "vision"),
        ({"vision": {"side_px": 50}}, "multiple of 24"),
        ({"vision": {"side_px": 48, "colour": True}}, "colour"),
        ({"projector": {"in_width": 16, "hidden_width": 24, "out_width": 31}}, "widths"),
        ({"trained_context": 0}, "at least 1"),
        ({"language": {"hidden_size": 32, "num_attention_heads": 0}}, "ZeroDivisionError"),
        ({"language": {"hidden_size": "wide"}}, "expected int, got str"),
        ({"projector": {"in_width": 16, "hidden_width": -1, "out_width": 32}}, "negative dimension"),
        ({"frames": "many"}, "many"),
    ],
)
def test_a_config_that_describes_no_nano(folder: Path, change: dict[str, Any], told: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(change)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    message = refused(folder)
    assert "does not describe a nano" in message
    assert told in message


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] += [[f"▁more{place}", -3.0] for place in range(50)]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "more than the language model" in refused(folder)


def test_a_tokenizer_that_is_none(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json: is not a tokenizer" in refused(folder)


def test_no_such_model(tmp_path: Path) -> None:
    assert "is no folder here, and not written like a model of the hub (take nano, the folder" in refused(
        Path("no-such-model"), ErrorCode.MODEL_NOT_FOUND
    )
    (tmp_path / "config.json").write_text(
        '{"architectures": ["GPT2LMHeadModel"], "auto_map": {"AutoModel": "evil.py"}}'
    )
    assert "known families: " in (told := refused(tmp_path, ErrorCode.MODEL_NOT_FOUND))
    assert "GPT2LMHeadModel" in told


@pytest.mark.parametrize("where", [{"device": "toaster"}, {"device": "cuda:99"}, {"dtype": "float8"}])
def test_devices_and_dtypes_that_do_not_exist(good: Path, where: dict[str, str]) -> None:
    refused(good, ErrorCode.USAGE_BAD_OPTION, **where)


@pytest.mark.parametrize("name", parts.names("families"))
def test_every_family_keeps_its_contract(name: str, tmp_path: Path) -> None:
    """It takes no config that is none of its own, and refuses one that describes nothing by the errors that it may."""
    family = parts.find("families", name)()
    foreign: list[dict[str, object]] = [{}, {"architectures": None}, {"architectures": ["Qwen2ForCausalLM"]}]
    assert not any(family.fits(config) for config in foreign)
    with pytest.raises((KeyError, TypeError, ValueError, LongtakeError)):
        family.networks({}, folder=tmp_path)
    with pytest.raises(LongtakeError) as caught:
        family.load(tmp_path, name=name, device="cpu", dtype="auto")
    assert caught.value.code is ErrorCode.MODEL_BAD_CHECKPOINT and "config.json" in str(caught.value)
    assert family.renamed("no.such.tensor") is None or isinstance(family.renamed("no.such.tensor"), str)


def test_a_family_is_known_by_its_config_alone() -> None:
    assert Nano().fits({"architectures": ["LongtakeNano"]})
    assert not Nano().fits({"architectures": ["Qwen2ForCausalLM"]})
    assert not Nano().fits({})


def test_a_checkpoint_cannot_be_written_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LongtakeError) as caught:
        tiny.checkpoint(tmp_path / "file" / "below")
    assert caught.value.code is ErrorCode.DISK_WRITE
