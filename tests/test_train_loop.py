"""train/loop: batches add up to a step, what is not to learn stays, and a stage that was stopped goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from longtake.errors import LongtakeError
from longtake.train.loop import Manner, Rates, logged, run


@dataclass(frozen=True)
class Slope:
    """A line through noisy points, in batches of a given size, drawn by each batch or from one stream of points."""

    module: nn.Linear
    steps: int = 40
    points: int = 32
    name: str = "slope"
    rates: Rates = Rates(matrices=0.02, others=0.02, warm_up_steps=5)
    losses: list[float] = field(default_factory=list)
    stream: np.random.Generator | None = None

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        x = torch.from_numpy((self.stream or rng).normal(size=(self.points, 4)).astype(np.float32))
        loss: torch.Tensor = (self.module(x) - 3 * x - 1).square().mean()
        self.losses.append(loss.item())
        return loss

    def figures(self) -> dict[str, float]:
        return {"bias": float(self.module.bias.detach().mean())}


def line() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(4, 4)


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(text) for text in (folder / "slope.jsonl").read_text().splitlines()]


def test_a_parameter_that_is_not_to_learn_stays_as_it_is(tmp_path: Path) -> None:
    stage = Slope(line())
    stage.module.bias.requires_grad_(False)
    before = {name: parameter.clone() for name, parameter in stage.module.named_parameters()}
    run(stage, tmp_path, seed=0)
    assert torch.equal(before["bias"], stage.module.bias)
    assert not torch.equal(before["weight"], stage.module.weight)


@dataclass(frozen=True)
class Breaking(Slope):
    """Its loss stays finite; from its fourth batch on its gradient is not."""

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        loss = super().loss(rng)
        if len(self.losses) > 3:
            loss.register_hook(lambda gradient: gradient * torch.nan)
        return loss


def test_a_gradient_that_is_no_number_is_never_stepped_on(tmp_path: Path) -> None:
    stage = Breaking(line())
    with pytest.raises(FloatingPointError, match="gradient of stage slope is not finite at step 3"):
        run(stage, tmp_path, seed=0, manner=Manner(log_every=1, save_every=1))
    assert all(parameter.isfinite().all() for parameter in stage.module.parameters())
    assert rows(tmp_path)[-1]["step"] == 3


def test_what_has_no_rate_takes_no_part_in_clipping(tmp_path: Path) -> None:
    """Its gradient neither piles up nor makes those of the others smaller."""
    weights = []
    for place, learns in enumerate((True, False)):
        stage = Slope(line(), rates=Rates(matrices=0.02, others=0.0, warm_up_steps=5))
        stage.module.bias.requires_grad_(learns)
        folder = tmp_path / str(place)
        folder.mkdir()
        run(stage, folder, seed=0)
        weights.append(stage.module.weight.detach().clone())
    assert torch.equal(*weights)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_told_by_its_code(tmp_path: Path) -> None:
    (tmp_path / "slope.partial").symlink_to("/dev/full")
    with pytest.raises(LongtakeError, match=r"error\[disk.write\]"):
        run(Slope(line()), tmp_path, seed=0)


def test_four_batches_of_eight_are_one_of_thirty_two(tmp_path: Path) -> None:
    points = [np.random.default_rng(0) for _ in range(2)]
    whole, parted = Slope(line(), stream=points[0]), Slope(line(), points=8, stream=points[1])
    for name, stage, batches in (("whole", whole, 1), ("parted", parted, 4)):
        (tmp_path / name).mkdir()
        run(stage, tmp_path / name, seed=0, manner=Manner(batches=batches))
    assert len(parted.losses) == 4 * len(whole.losses)
    torch.testing.assert_close(parted.module.weight, whole.module.weight, atol=1e-4, rtol=1e-4)
    assert rows(tmp_path / "parted")[-1]["loss"] == pytest.approx(rows(tmp_path / "whole")[-1]["loss"], rel=1e-2)


def test_a_stage_that_is_asked_to_stop_keeps_that_very_step_and_goes_on_from_it(tmp_path: Path) -> None:
    asked: list[int] = []
    stopping = Manner(before_step=asked.append, after_step=lambda done, loss: done == 13, log_every=5, save_every=10)
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = Slope(line())
    run(whole, tmp_path / "whole", seed=7)
    with pytest.raises(KeyboardInterrupt):
        run(Slope(line()), tmp_path / "stopped", seed=7, manner=stopping)
    resumed = Slope(line())
    again = Manner(before_step=asked.append, log_every=5, save_every=10, told=lambda: {"tokens": 5})
    run(resumed, tmp_path / "stopped", seed=7, manner=again)
    assert asked == list(range(40))
    assert torch.equal(whole.module.weight, resumed.module.weight)
    written = rows(tmp_path / "stopped")
    assert [row["step"] for row in written] == [5, 10, 13, 15, 20, 25, 30, 35, 40]
    assert [row["step"] for row in written if "bias" in row] == [10, 20, 30, 40]
    assert ["tokens" in row for row in written] == [False] * 3 + [True] * 6
    assert written[3]["loss"] == pytest.approx(np.mean(resumed.losses[:2]), abs=1e-4), "of steps 14 and 15 alone"


def test_the_newest_row_of_a_log_is_a_whole_one(tmp_path: Path) -> None:
    assert logged(tmp_path, "slope") == {}
    (tmp_path / "slope.jsonl").write_text('{"step": 5}\n{"step": 10}\n{"st')
    assert logged(tmp_path, "slope") == {"step": 10}


def test_checkpoints_fall_on_rows_of_the_log() -> None:
    with pytest.raises(ValueError, match="multiple"):
        Manner(log_every=20, save_every=30)


def test_each_batch_of_a_step_draws_anew_and_the_first_as_a_step_of_one(tmp_path: Path) -> None:
    one, two, again = (Slope(line(), steps=1, points=3) for _ in range(3))
    for name, stage, batches in (("one", one, 1), ("two", two, 2), ("again", again, 2)):
        (tmp_path / name).mkdir()
        run(stage, tmp_path / name, seed=4, manner=Manner(batches=batches))
    assert two.losses == again.losses
    assert two.losses[0] == one.losses[0] != two.losses[1]


def test_losses_of_targets_and_their_mean_are_the_same_to_the_bit(tmp_path: Path) -> None:
    class Each(Slope):
        def loss(self, rng: np.random.Generator) -> torch.Tensor:
            x = torch.from_numpy(rng.normal(size=(self.points, 4)).astype(np.float32))
            return (self.module(x) - 3 * x - 1).square()

    mean, each = Slope(line()), Each(line())
    for name, stage in (("mean", mean), ("each", each)):
        (tmp_path / name).mkdir()
        run(stage, tmp_path / name, seed=1, manner=Manner(batches=2))
    assert torch.equal(mean.module.weight, each.module.weight) and torch.equal(mean.module.bias, each.module.bias)
    assert not torch.equal(mean.module.weight, line().weight)
