"""P9: a checkpoint whose bytes are not those that were published is refused, where anybody told what they were."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import longtake
import tiny
from longtake import identity
from longtake.checkpoint import CONFIG, SUMS, TOKENIZER, WEIGHTS, write_sums
from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import BUNDLED
from running import Cli


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of files is in the test's own folder."""
    for variable in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint with its sums."""
    made = tiny.checkpoint(tmp_path / "model")
    write_sums(made, [CONFIG, TOKENIZER, WEIGHTS])
    return made


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def refusal(folder: Path) -> LongtakeError:
    with pytest.raises(LongtakeError) as refused:
        longtake.load(str(folder))
    assert refused.value.code == ErrorCode.MODEL_BAD_CHECKPOINT
    return refused.value


def test_what_is_whole_loads_and_one_flipped_bit_of_a_weight_does_not(
    folder: Path, bunny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longtake.load(str(folder))
    flip_last_byte(folder / WEIGHTS)
    status, out, err = Cli(capsys)("ask", bunny, "what is it?", "--model", folder)
    assert (status, out) == (4, "")
    assert err.startswith(f"error[model.bad_checkpoint]: {folder}") and WEIGHTS in err and err.count("\n") == 1
    (folder / SUMS).unlink()
    longtake.load(str(folder))


def test_all_files_that_differ_or_are_missing_are_named_at_once(folder: Path) -> None:
    (folder / CONFIG).write_text((folder / CONFIG).read_text() + "\n")
    flip_last_byte(folder / WEIGHTS)
    with (folder / SUMS).open("a") as file:
        file.write(f"{'0' * 64}  vocabulary.txt\n")
    assert "1 missing: vocabulary.txt; 2 of other bytes: config.json, model.safetensors" in refusal(folder).reason


@pytest.mark.parametrize(
    "line", ["model.safetensors", f"{'0' * 63}  a", f"{'0' * 64}  ../a", f"{'0' * 64}  /etc/passwd"]
)
def test_a_list_of_sums_that_is_none(folder: Path, line: str) -> None:
    with (folder / SUMS).open("a") as file:
        file.write(f"{line}\n")
    refused = refusal(folder)
    assert refused.subject == str(folder / SUMS) and "line 4" in refused.reason


def test_a_file_of_the_hubs_cache_is_held_against_the_sum_that_it_is_named_by(tmp_path: Path) -> None:
    whole = tiny.checkpoint(tmp_path / "whole")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for path in whole.iterdir():
        # As the hub's client does: the SHA-256 of a large file; a small one's name is another hash.
        name = hashlib.sha256(path.read_bytes()).hexdigest() if path.name == WEIGHTS else path.name.ljust(40, "0")
        (blobs / name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blobs / name)
    longtake.load(str(snapshot))
    flip_last_byte((snapshot / WEIGHTS).resolve())
    assert f"1 of other bytes: {WEIGHTS}" in refusal(snapshot).reason


def test_what_is_remembered_of_a_large_file_goes_by_more_than_its_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "WORTH_REMEMBERING_BYTES", 0)
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    longtake.load(str(folder))
    before = (folder / WEIGHTS).stat()
    flip_last_byte(folder / WEIGHTS)
    os.utime(folder / WEIGHTS, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert WEIGHTS in refusal(folder).reason


def test_the_bundled_model_has_its_sums() -> None:
    listed = {line.split()[1] for line in (BUNDLED / "nano" / SUMS).read_text().splitlines()}
    assert listed == {CONFIG, TOKENIZER, WEIGHTS}
