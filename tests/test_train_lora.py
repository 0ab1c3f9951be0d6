"""LoRA: adapters learn and nothing else does; merged they are plain weights that say the same. And rates of parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tiny
from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import load
from longtake.train.learners import Learners
from longtake.train.lora import Lora
from longtake.train.reading_on import next_losses
from running import ONE_LINE, Cli
from test_train_align import data as pictures  # noqa: F401  a fixture
from test_train_align import recipe as align_recipe
from test_train_align import train as align
from test_train_dpo import data, kill  # noqa: F401  a fixture
from test_train_dpo import recipe as dpo_recipe
from test_train_dpo import train as prefer

IDS_BL = torch.arange(5, 45)[None]


def changed(before: Path, after: Path) -> set[str]:
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert old.keys() == new.keys(), "plain weights"
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_adapters_change_nothing_until_they_learn_and_merged_say_what_they_said() -> None:
    language: Any = tiny.modules().language
    parts = {"vision": torch.nn.Identity(), "projector": torch.nn.Linear(2, 2), "language": language}
    with torch.no_grad():
        first = next_losses(language, IDS_BL, half=False)
        plain = set(language.state_dict())
        learners = Learners.of(parts, Lora(rank=2, alpha=8, modules=("q_proj", "down_proj")), seed=0)
        torch.testing.assert_close(next_losses(language, IDS_BL, half=False), first, atol=0, rtol=0)
    learning = learners.module(["language"])
    assert sum(p.numel() for p in learning.parameters()) == 2 * 2 * ((32 + 32) + (48 + 32)), (
        "layers x rank x both sides"
    )
    with torch.no_grad():
        for parameter in learning.parameters():
            parameter.normal_()
        adapted = next_losses(language, IDS_BL, half=False)
        learners.merge()
        torch.testing.assert_close(next_losses(language, IDS_BL, half=False), adapted, atol=1e-4, rtol=1e-4)
    assert (adapted - first).abs().max() > 0.1
    assert set(language.state_dict()) == plain


def test_a_nano_trained_by_lora_is_merged_and_answers_and_killed_ends_with_the_same_bytes(
    data: Path,  # noqa: F811
    bunny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["lora.rank=4", "lora.alpha=8", 'lora.modules=["q_proj", "up_proj"]', "rates.language=1e-2", "steps=9"]
    settings += ['train=["language"]']
    summary = prefer(dpo_recipe(data, *settings), data / "whole")
    kill(data, data / "killed", "dpo", 6, *settings)
    prefer(dpo_recipe(data, *settings), data / "killed")
    whole, killed = data / "whole" / "model", data / "killed" / "model"
    assert (whole / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes()
    assert summary["held_out"]["after"]["accuracy"] == 1
    ends = {name.removesuffix(".weight").rpartition(".")[2] for name in changed(data / "nano", whole)}
    assert ends == {"q_proj", "up_proj"}
    kept = torch.load(data / "whole" / "dpo.pt", weights_only=True)["module"]
    assert kept and all("lora_" in name for name in kept), "a checkpoint holds adapters and nothing else"
    answer = Cli(capsys).json("ask", bunny, "what is on the star", "--model", whole, "--frames", "4")
    assert answer["tokens"]["visual"] > 0 and answer["answer"] is not None


def test_alignment_by_lora_trains_the_projector_whole(pictures: Path) -> None:  # noqa: F811
    settings = ["lora.rank=2", "stages.0.steps=2", "stages.1.steps=2"]
    summary = align(align_recipe(pictures, *settings), pictures / "run")
    names = changed(pictures / "nano", Path(summary["model"]))
    assert {name.partition(".")[0] for name in names} == {"projector", "language"}
    assert not any("norm" in name or "embed" in name for name in names)
    assert load(summary["model"]).engine.trained_context == 256


@pytest.mark.parametrize(
    "rates", [{"vision": 1e-5, "projector": 1e-3, "language": 1e-4}, {"vision": 3e-3, "projector": 1e-4, "language": 0}]
)
def test_each_part_steps_at_its_own_rate(pictures: Path, rates: dict[str, float]) -> None:  # noqa: F811
    """AdamW's first step moves each number by the rate, whatever its gradient (as far as that is above its epsilon)."""
    tiny.checkpoint(pictures / "nano", dtype=torch.float32)
    told = ", ".join(f"{part} = {rate}" for part, rate in rates.items())
    stage = f'stages=[{{train = ["vision", "projector", "language"], steps = 1, rates = {{{told}}}}}]'
    recipe = align_recipe(pictures, stage, "warm_up_steps=1", "schedule=constant")
    summary = align(recipe, pictures / "run")
    old, new = (load_file(Path(f) / "model.safetensors") for f in (pictures / "nano", summary["model"]))
    for part, rate in rates.items():
        names = [n for n in old if n.startswith(part) and "running" not in n and "num_batches" not in n]
        moved = max(float((new[n] - old[n]).abs().max()) for n in names)
        assert moved == pytest.approx(rate, rel=0.02, abs=1e-9), part


def test_a_matrix_that_there_is_not_is_refused_with_those_that_there_are(data: Path) -> None:  # noqa: F811
    with pytest.raises(LongtakeError, match="lora.modules w_proj: .*name some of .*q_proj") as caught:
        prefer(dpo_recipe(data, 'lora.modules=["w_proj"]'), data / "run")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None
from longtake.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_peft_one_line_says_what_to_install(data: Path) -> None:  # noqa: F811
    given = ["train", "dpo", str(data / "data.jsonl"), "--model", str(data / "nano"), "--set", "lora.rank=2"]
    given += ["--output", str(data / "run"), "--quiet"]
    ran = subprocess.run([sys.executable, "-c", WITHOUT_PEFT, *given], capture_output=True, text=True, timeout=300)
    assert ONE_LINE.fullmatch(ran.stderr) and "pip install 'longtake[lora]'" in ran.stderr
    assert ran.returncode == ErrorCode.ENVIRONMENT_MISSING.value.exit_status
