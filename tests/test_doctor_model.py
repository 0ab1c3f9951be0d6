"""doctor MODEL: a checkpoint examined by the real command line, whole and broken in every way that its headers show."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from running import ONE_LINE, Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.checkpoint(tmp_path / "model", dtype=torch.bfloat16)


def findings(cli: Cli, folder: Path, status: int, *more: str) -> dict[str, tuple[bool, str]]:
    got, out, err = cli("doctor", folder, "--json", *more)
    assert (got, err) == (status, "")
    told = json.loads(out)
    assert told["ok"] == (status == 0) == all(finding["well"] for finding in told["findings"])
    assert all(finding["well"] or finding["advice"] for finding in told["findings"])
    return {finding["subject"]: (finding["well"], finding["found"]) for finding in told["findings"]}


def test_a_whole_checkpoint_is_told_in_numbers(cli: Cli, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    counters = sum(tensor.dtype == torch.int64 for tensor in tensors.values())
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    count = sum(p.numel() for module in tiny.modules().named().values() for p in module.parameters())
    found = findings(cli, folder, 0)
    told = (
        f"{len(tensors)} tensors ({len(tensors) - counters} bfloat16, {counters} int64), 1 file, {size_bytes:,} bytes"
    )
    assert found["weights"] == (True, told)
    assert found["family"] == (True, "nano, architectures ['LongtakeNano']")
    assert found["tokenizer"] == (
        True,
        f"{tiny.tokenizer().vocabulary_size:,} tokens, 3 of them control tokens (tokenizer.json)",
    )
    assert found["networks"][1].startswith(f"vision, projector, language: {count:,} parameters, ")
    assert found["context"] == (True, "256 tokens, RoPE scaling: none")
    assert found["tensors"][0]


def test_the_memory_of_the_bundled_model(cli: Cli) -> None:
    """2.1 million parameters: four bytes each in float32, two in bfloat16."""
    found = findings(cli, Path("nano"), 0)["networks"][1]
    count = int(found.partition(": ")[2].partition(" ")[0].replace(",", ""))
    told = {kind: float(size) for size, kind in re.findall(r"([0-9.]+) GiB in (\w+)", found)}
    # Beside parameters there are the statistics of normalised batches.
    assert told["float32"] == pytest.approx(count * 4 / 2**30, rel=0.01)
    assert told["bfloat16"] == told["float16"] == pytest.approx(count * 2 / 2**30, rel=0.01)
    assert count / 2**30 < told["int8"] < told["bfloat16"]
    assert 2.0e6 < count < 2.2e6
    assert cli("doctor", "nano")[1].splitlines()[-1] == "ok"


def reweigh(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("damage", "subjects", "told"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), {"tokenizer"}, "has neither tokenizer.json nor"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), {"tokenizer"}, "is not a tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), {"weights"}, "has no model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), {"family"}, "has no config.json"),
        (lambda folder: reconfigure(folder, architectures=["GPT2"]), {"family"}, "['GPT2']"),
        (lambda folder: reconfigure(folder, projector={}), {"networks"}, "does not describe them"),
        (
            lambda folder: reweigh(folder, lambda weights: weights.pop("vision.place")),
            {"tensors"},
            "1 missing: vision.pl",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 9), {"weights"}, "is cut off, damaged or"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], {"tokenizer", "weights", "family"}, "has no "),
    ],
)
def test_what_is_wrong_is_found_and_the_rest_is_looked_at(
    cli: Cli, folder: Path, damage: Callable[[Path], object], subjects: set[str], told: str
) -> None:
    damage(folder)
    found = findings(cli, folder, 4)
    assert {subject for subject, (well, _) in found.items() if not well} == subjects
    assert any(told in text for well, text in found.values() if not well)
    status, out, err = cli("doctor", folder)
    assert status == 4
    assert ONE_LINE.fullmatch(err) and err.startswith("error[model.bad_checkpoint]: ")
    assert all(subject in err for subject in subjects)


def test_code_and_pickles_are_told_and_left_alone(cli: Cli, folder: Path) -> None:
    (folder / "modeling_x.py").write_text("1 / 0")
    (folder / "pytorch_model.bin").write_bytes(b"")
    well, told = findings(cli, folder, 0)["beside it"]
    assert well and told == "modeling_x.py, pytorch_model.bin: code and pickles are neither run nor opened"


def test_a_model_that_is_not_there(cli: Cli) -> None:
    status, out, err = cli("doctor", "no-such-model")
    assert (status, out) == (4, "")
    assert err.startswith("error[model.not_found]: no-such-model: ")


def test_a_model_of_the_hub_is_not_fetched_for_it(cli: Cli) -> None:
    status, _, err = cli("doctor", "longtake-tests/none")
    assert status == 4
    assert err.startswith(
        "error[model.not_found]: longtake-tests/none: is no folder here, and is not wholly downloaded"
    )


GOLDEN = Path(__file__).parent / "golden" / "checkpoints"


def retokenize(folder: Path, name: str) -> None:
    """Put the older tokenizer of a checkpoint in the place of tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    others = shutil.ignore_patterns("config.json", "generation_config.json", "*.safetensors", "*.index.json")
    shutil.copytree(GOLDEN / name, folder, ignore=others, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("LongVA-tiny", "503 tokens, 3 of them control tokens (vocab.json)"),
        ("llava-v1.6-vicuna-tiny", "600 tokens, 3 of them control tokens (tokenizer.model)"),
    ],
)
def test_older_tokenizers_are_read_too(cli: Cli, folder: Path, name: str, told: str) -> None:
    pytest.importorskip("sentencepiece")
    retokenize(folder, name)
    assert findings(cli, folder, 0)["tokenizer"] == (True, told)


@pytest.mark.parametrize("lacking", [("vocab.json",), ("merges.txt", "tokenizer_config.json")])
def test_all_that_an_older_tokenizer_lacks_is_told_at_once(cli: Cli, folder: Path, lacking: tuple[str, ...]) -> None:
    retokenize(folder, "LongVA-tiny")
    for name in lacking:
        (folder / name).unlink()
    well, told = findings(cli, folder, 4)["tokenizer"]
    assert not well and f"has no {', '.join(lacking)}" in told


def test_a_tower_elsewhere_is_not_fetched(cli: Cli, shared: Path, tmp_path: Path) -> None:
    """An original checkpoint names its tower, which is then not beside it: no hub is asked for it."""
    folder = Path(shutil.copytree(shared / "golden" / "checkpoints" / "LongVA-tiny", tmp_path / "LongVA-tiny"))
    well, told = findings(cli, folder, 4)["networks"]
    assert not well and "is not wholly downloaded" in told


# --run


def test_nano_is_found_to_see_and_to_speak(cli: Cli) -> None:
    found = findings(cli, Path("nano"), 0, "--run")
    assert found["speech"] == (True, "'What colour is the circle?': 'red circle 100'")
    assert found["sight"][1].startswith("the right one of 4 colours is the likeliest in 12 of 12 films; ")


def test_random_weights_are_found_not_to_see(cli: Cli, folder: Path) -> None:
    """Nothing else is wrong with them: they load, and their numbers are finite."""
    found = findings(cli, folder, 4, "--run")
    assert found["numbers"][0] and found["loading"][0] and not found["sight"][0]
    right = int(found["sight"][1].partition("likeliest in ")[2].split()[0])
    assert 0 <= right < 7


def test_one_token_over_and_over_is_no_speech(cli: Cli, folder: Path) -> None:
    """A head that always says the same: its row is the one vector that every position ends in."""
    red = tiny.tokenizer().encode("red")[0]

    def silence(weights: dict[str, torch.Tensor]) -> None:
        weights["language.model.embed_tokens.weight"].fill_(0.5)
        weights["language.model.embed_tokens.weight"][red] = 1.0
        weights["language.model.norm.weight"].fill_(1.0)
        for name, tensor in weights.items():
            if name.endswith(("o_proj.weight", "down_proj.weight", "land.weight")):
                tensor.zero_()
            if name == "projector.land.bias":
                tensor.fill_(1.0)

    reweigh(folder, silence)
    well, told = findings(cli, folder, 4, "--run")["speech"]
    assert not well and told.startswith("says one token over and over: ")


def test_numbers_that_are_none_are_told_with_the_layer(cli: Cli, folder: Path) -> None:
    name = "language.model.layers.1.mlp.up_proj"
    reweigh(folder, lambda weights: weights[f"{name}.weight"].fill_(3e38))
    well, told = findings(cli, folder, 4, "--run")["numbers"]
    assert not well and told.endswith(f"what comes out of {name}")


def test_what_is_broken_is_not_run(cli: Cli, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "loading" not in findings(cli, folder, 4, "--run")


@pytest.mark.parametrize(("option", "value"), [("--device", "toaster"), ("--dtype", "int9")])
def test_what_is_no_device_or_dtype_is_the_users_to_mend_not_the_checkpoints(
    cli: Cli, folder: Path, option: str, value: str
) -> None:
    status, out, err = cli("doctor", folder, "--run", option, value)
    assert (status, out) == (2, "") and f"there is no such {option[2:]}" in err
    for nothing in (["doctor", folder], ["doctor"]):
        status, out, err = cli(*nothing, option, value)
        assert (status, out) == (2, "") and f"{option}: nothing is computed without --run" in err


def test_there_must_be_a_model_to_run(cli: Cli) -> None:
    status, _, err = cli("doctor", "--run")
    assert status == 2 and "--run: there is no model to run" in err


def test_the_folder_that_one_stands_in_has_a_name_too(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert findings(cli, Path("."), 4)["weights"] == (False, ". has no model.safetensors")


def test_sums_are_told_and_not_taken(cli: Cli, folder: Path) -> None:
    assert findings(cli, Path("nano"), 0)["sums"] == (
        True,
        "a SHA-256 is told of 3 files; loading holds them against it",
    )
    assert findings(cli, folder, 0)["sums"] == (True, "nobody tells what the files' SHA-256 should be")
    (folder / "SHA256SUMS").write_text("none")
    well, told = findings(cli, folder, 4)["sums"]
    assert not well and told.startswith("SHA256SUMS line 1 is not")
