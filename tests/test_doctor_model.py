"""doctor MODEL: a checkpoint examined by the real command line, whole and broken in every way that its headers show."""

from __future__ import annotations

import json
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


def findings(cli: Cli, folder: Path, status: int) -> dict[str, tuple[bool, str]]:
    got, out, err = cli("doctor", folder, "--json")
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
    assert found["family"] == (True, "Nano, architectures ['LongtakeNano']")
    assert found["tokenizer"] == (True, f"{tiny.tokenizer().vocabulary_size:,} tokens")
    assert found["networks"][1].startswith(f"vision, projector, language: {count:,} parameters, ")
    assert found["context"] == (True, "256 tokens, RoPE scaling: none")
    assert found["tensors"][0]


def test_the_memory_of_the_bundled_model(cli: Cli) -> None:
    """2.1 million parameters: four bytes each in float32, two in bfloat16."""
    found = findings(cli, Path("nano"), 0)["networks"][1]
    count = int(found.partition(": ")[2].partition(" ")[0].replace(",", ""))
    assert f"{count * 4 / 2**30:.3g} GiB in float32, {count * 2 / 2**30:.3g} GiB in bfloat16" in found
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
        (lambda folder: (folder / "tokenizer.json").unlink(), {"tokenizer"}, "is not a tokenizer"),
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
