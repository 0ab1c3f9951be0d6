"""A language model and a tower become one checkpoint that loads, and that `train align` can begin with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel, Qwen2Config, Qwen2ForCausalLM

from longtake.errors import LongtakeError
from longtake.loading import load
from longtake.train.looking import Looker
from longtake.train.meeting import bring_together
from originals import CHECKPOINTS
from running import Cli

NAME = "LongVA-tiny"


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    told = json.loads((CHECKPOINTS / NAME / "config.json").read_text())
    return Path(shutil.copytree(CHECKPOINTS / told["mm_vision_tower"], tmp_path / "clip"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def qwen2(folder: Path, *, tied: bool = False) -> Path:
    """The shape of the tiny LongVA's language model, other weights, its tokenizer."""
    told = json.loads((CHECKPOINTS / NAME / "config.json").read_text())
    told = {**told, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": tied}
    torch.manual_seed(5)
    Qwen2ForCausalLM(Qwen2Config.from_dict(told)).to(torch.bfloat16).save_pretrained(folder)
    for path in (CHECKPOINTS / NAME).iterdir():
        if path.suffix != ".safetensors" and "config" not in path.name or path.name == "tokenizer_config.json":
            shutil.copyfile(path, folder / path.name)
    return folder


@pytest.mark.parametrize("tied", [False, True])
def test_both_come_through_as_they_were(tmp_path: Path, tower: Path, tied: bool) -> None:  # noqa: FBT001  a case
    language, out = qwen2(tmp_path / "qwen2", tied=tied), tmp_path / "start"
    found = bring_together(str(language), str(tower), out, seed=3)
    # Neither is needed any more.
    expected = Qwen2ForCausalLM.from_pretrained(language, dtype=torch.float32).state_dict()
    seen = load_file(next(tower.glob("*.safetensors")))
    for gone in (language, tower):
        shutil.rmtree(gone)
    parts = Looker(load(str(out), device="cpu", dtype="float32"), tiles=1, most_images=1, half=False).parts
    mine = parts["language"].state_dict()
    assert all(torch.equal(mine[name], tensor) for name, tensor in expected.items())
    held = parts["vision"].state_dict()
    kept = [name for name in held if torch.equal(held[name], seen[f"vision_{name}"].float())]
    assert kept == list(held) and len(kept) > 8
    own = torch.cat([tensor.flatten() for tensor in parts["projector"].state_dict().values()])
    assert own.numel() == found["projector"] and own.isfinite().all() and float(own.std()) > 0.01


def test_a_tower_as_transformers_5_writes_it_is_read(tmp_path: Path, tower: Path) -> None:
    language = str(qwen2(tmp_path / "qwen2"))
    bring_together(language, str(tower), tmp_path / "old", seed=3)
    own, renewed = CLIPVisionModel.from_pretrained(tower), tmp_path / "renewed"
    built = CLIPVisionModel(own.config)  # what was loaded is written as it was stored
    built.load_state_dict(own.state_dict())
    built.save_pretrained(renewed)
    shutil.copyfile(tower / "preprocessor_config.json", renewed / "preprocessor_config.json")
    assert not any(name.startswith("vision_model.") for name in load_file(renewed / "model.safetensors"))
    bring_together(language, str(renewed), tmp_path / "new", seed=3)
    old, new = (
        Looker(load(str(tmp_path / name), device="cpu", dtype="float32"), tiles=1, most_images=1, half=False).parts
        for name in ("old", "new")
    )
    theirs = new["vision"].state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in old["vision"].state_dict().items())


def test_the_projector_follows_from_the_seed(tmp_path: Path, tower: Path) -> None:
    language = str(qwen2(tmp_path / "qwen2"))
    said = []
    for place, seed in enumerate((3, 3, 4)):
        bring_together(language, str(tower), tmp_path / str(place), seed=seed)
        said.append((tmp_path / str(place) / "projector.safetensors").read_bytes())
    assert said[0] == said[1] != said[2]


def test_what_cannot_meet_is_refused(tmp_path: Path, tower: Path, cli: Cli) -> None:
    language = qwen2(tmp_path / "qwen2")
    with pytest.raises(LongtakeError, match=r"error\[usage.bad_option\].*holds something"):
        bring_together(str(language), str(tower), language, seed=0)
    with pytest.raises(LongtakeError, match=r"error\[model.bad_checkpoint\].*has no preprocessor_config.json"):
        bring_together(str(language), str(language), tmp_path / "out", seed=0)
    other = Path(shutil.copytree(tower, tmp_path / "other"))
    (other / "config.json").write_text((language / "config.json").read_text())
    with pytest.raises(LongtakeError, match=r"error\[model.bad_checkpoint\].*want clip_vision_model"):
        bring_together(str(language), str(other), tmp_path / "out", seed=0)
    with pytest.raises(LongtakeError, match=r"error\[model.bad_checkpoint\].*holds a qwen2"):
        bring_together(str(tower), str(tower), tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()
    status, out, _ = cli("train", "meet", language, tower, "--output", tmp_path / "start")
    assert status == 0 and "untrained projector" in out
    weights = load_file(tmp_path / "start" / "projector.safetensors")
    save_file({f"{name}x": tensor for name, tensor in weights.items()}, tmp_path / "start" / "projector.safetensors")
    with pytest.raises(LongtakeError, match="model.bad_checkpoint"):
        load(str(tmp_path / "start"))
