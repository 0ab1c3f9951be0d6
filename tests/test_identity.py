"""J7: what something is named by changes when its bytes do, and nothing large is hashed twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import longtake
import tiny
from longtake import identity
from longtake.checkpoint import CONFIG, TOKENIZER, WEIGHTS, write_sums
from longtake.errors import ErrorCode, LongtakeError
from longtake.identity import file_sha256, told_sha256
from longtake.vision.projector import Projector


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is remembered of files is in the test's own folder; the file that it lies in."""
    for variable in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "WORTH_REMEMBERING_BYTES", 1)
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    return identity._memory_path()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(256)) * 20_000)
    return path


def is_read(path: Path) -> bool:
    """Whether the file was read when its sum was asked for."""
    heard: list[int] = []
    file_sha256(path, heard=lambda done, total: heard.append(done))
    return bool(heard)


def test_the_sum_is_that_of_all_bytes_and_is_reckoned_once(film: Path) -> None:
    wanted = hashlib.sha256(film.read_bytes()).hexdigest()
    heard: list[tuple[int, int]] = []
    assert file_sha256(film, heard=lambda done, total: heard.append((done, total))) == wanted
    assert heard[-1] == (film.stat().st_size, film.stat().st_size) and len(heard) > 1
    assert file_sha256(film) == wanted and not is_read(film)


def test_another_process_remembers_it(film: Path) -> None:
    code = (
        "import sys; from longtake import identity; identity.SETTLED_NS = 0; identity.WORTH_REMEMBERING_BYTES = 1; "
        "heard = []; print(identity.file_sha256(sys.argv[1], heard=lambda *told: heard.append(told)), len(heard) > 0)"
    )
    said = [
        subprocess.run([sys.executable, "-c", code, film], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert [read for _, read in said] == ["True", "False"] and said[0][0] == said[1][0]
    assert not is_read(film)


@pytest.mark.parametrize("change", ["bytes in place", "another file in its place"])
def test_other_bytes_of_the_same_size_and_time_are_other_bytes(film: Path, change: str) -> None:
    before, sum_ = film.stat(), file_sha256(film)
    data = bytearray(film.read_bytes())
    data[70_000] ^= 1
    if change == "bytes in place":
        film.write_bytes(data)
    else:
        other = film.with_name("other")
        other.write_bytes(data)
        other.replace(film)
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (film.stat().st_size, film.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert file_sha256(film) == hashlib.sha256(data).hexdigest() != sum_


def test_a_file_that_has_just_changed_is_not_remembered(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "SETTLED_NS", 3600 * 10**9)
    assert is_read(film) and is_read(film)


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(film: Path) -> None:
    def touch(done: int, total: int) -> None:
        os.utime(film, ns=(1, done))

    file_sha256(film, heard=touch)
    assert is_read(film) and not is_read(film)


def test_small_files_are_not_looked_up(film: Path, own_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "WORTH_REMEMBERING_BYTES", film.stat().st_size + 1)
    assert is_read(film) and is_read(film) and not own_memory.exists()


@pytest.mark.parametrize("kept", [b"", b"\xff\n", b"1 2 3\n", b"a half-written li"])
def test_a_memory_that_cannot_be_read_costs_time_only(film: Path, own_memory: Path, kept: bytes) -> None:
    own_memory.parent.mkdir(parents=True)
    own_memory.write_bytes(kept)
    wanted = hashlib.sha256(film.read_bytes()).hexdigest()
    assert [file_sha256(film) for _ in range(3)] == [wanted] * 3


def test_a_sum_that_was_cut_off_is_reckoned_again(film: Path, own_memory: Path) -> None:
    file_sha256(film)
    own_memory.write_bytes(own_memory.read_bytes()[:-10])
    assert is_read(film)


def test_a_memory_that_may_not_be_written_costs_time_only(film: Path, own_memory: Path) -> None:
    own_memory.parent.parent.mkdir(parents=True)
    own_memory.parent.write_text("no folder")
    assert is_read(film) and is_read(film)


def test_the_memory_is_bounded_and_forgets_the_oldest(
    tmp_path: Path, own_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "MOST_BYTES", 1000)
    films = [tmp_path / f"{number}.mp4" for number in range(30)]
    for path in films:
        path.write_bytes(b"film")
        file_sha256(path)
    assert own_memory.stat().st_size < 1300
    assert not is_read(films[-1]) and is_read(films[0])


def test_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "none")


def test_what_is_told_has_one_sum_whatever_its_order() -> None:
    assert told_sha256({"a": 1, "b": [2.5, "c"]}) == told_sha256({"b": [2.5, "c"], "a": 1})
    assert told_sha256({"a": 1}) != told_sha256({"a": "1"})
    with pytest.raises(TypeError):
        told_sha256(object())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.checkpoint(tmp_path / "model")


def sha256_of(folder: Path) -> str:
    origin = longtake.load(str(folder)).origin
    assert origin is not None
    return origin.sha256


def test_a_model_is_named_by_its_files_and_not_by_their_place(folder: Path, tmp_path: Path) -> None:
    named = sha256_of(folder)
    assert sha256_of(tiny.checkpoint(tmp_path / "elsewhere")) == named
    for name, change in ((CONFIG, b" "), (TOKENIZER, b" ")):
        changed = tiny.checkpoint(tmp_path / f"other {name}")
        (changed / name).write_bytes((changed / name).read_bytes() + change)
        assert sha256_of(changed) != named
    assert sha256_of(tiny.checkpoint(tmp_path / "others", seed=1)) != named
    (folder / "README.md").write_text("says nothing of the model")
    assert sha256_of(folder) == named


def test_a_model_says_in_what_numbers_it_computes(folder: Path) -> None:
    told = {dtype: longtake.load(str(folder), dtype=dtype).origin for dtype in ("auto", "float32", "bfloat16", "int8")}
    assert [origin.dtype for origin in told.values() if origin] == ["float32", "float32", "bfloat16", "int8 in float32"]
    assert told["auto"] == told["float32"] != told["bfloat16"]
    assert {origin.device for origin in told.values() if origin} <= {"cpu", "cuda", "mps"}


def test_sums_that_loading_has_checked_are_not_reckoned_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sums(folder, [CONFIG, TOKENIZER, WEIGHTS])
    origin = longtake.load(str(folder)).origin
    monkeypatch.setattr("longtake.checkpoint.origin.sum_of", lambda path: pytest.fail(f"{path} is hashed twice"))
    assert origin is not None
    assert origin.sums == {f"0/{path.name}": file_sha256(path) for path in folder.iterdir() if path.suffix != ""}


def test_files_that_change_after_loading_name_nothing(folder: Path) -> None:
    origin = longtake.load(str(folder)).origin
    tiny.checkpoint(folder, seed=1)
    assert origin is not None
    with pytest.raises(LongtakeError) as refused:
        _ = origin.sha256
    assert refused.value.code is ErrorCode.MODEL_BAD_CHECKPOINT and WEIGHTS in refused.value.reason


def test_only_networks_that_were_loaded_are_vouched_for(folder: Path) -> None:
    model = longtake.load(str(folder))
    assert model.origin is not None
    assert model.origin.made(model.encoder) and model.origin.made(model.engine)
    assert model.origin.made(replace(model.encoder, at_once=2))  # type: ignore[type-var]
    projector = Projector(in_width=16, hidden_width=24, out_width=32)
    assert not model.origin.made(replace(model.encoder, projector=projector))  # type: ignore[type-var]
    assert not model.origin.made(model.layout)


def test_a_tower_that_lies_elsewhere_is_a_part_of_the_name(golden: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(golden / "checkpoints", tmp_path / "checkpoints")
    model = tmp_path / "checkpoints" / "LongVA-tiny"
    before = longtake.load(str(model), dtype="float32").origin
    assert before is not None
    assert len(before.folders) == 2 and {name[0] for name in before.sums} == {"0", "1"}
    pixels = before.folders[1] / "preprocessor_config.json"
    named = before.sha256
    pixels.write_text(pixels.read_text() + "\n")
    after = longtake.load(str(model), dtype="float32").origin
    assert after is not None and after.sha256 != named


def test_a_tower_computed_otherwise_is_another_origin(folder: Path) -> None:
    pytest.importorskip("openvino")
    one, other = longtake.load(str(folder)), longtake.load(str(folder), tower="openvino")
    assert one.origin and other.origin
    assert (one.origin.tower, other.origin.tower) == ("torch", "openvino")
    assert other.origin.made(other.encoder) and not one.origin.made(other.encoder)
    assert torch.is_tensor(next(iter(other.origin.networks[0].parameters())))
