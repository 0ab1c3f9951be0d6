"""train align and train dpo on two ranks: the losses, references, skips and models of one process.

Real processes that talk by gloo; one start of them for all, each training joins and leaves as under torchrun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import tiny
from longtake.errors import ErrorCode, LongtakeError
from longtake.train.align_recipe import AlignRecipe, AlignStage
from longtake.train.alignment import train_align
from longtake.train.dpo import train_dpo
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.lora import Lora
from longtake.train.showing import Heard, Teller
from ports import free_port
from ranks import run_ranks
from released import RECIPES

STEPS, STOP = 5, 3
SAMPLES = 23
WAYS: dict[str, dict[str, Any]] = {
    "whole": {"weights": "whole"},
    "sharded": {},
    "aside": {"weights": "aside"},
    "whole, recompute": {"weights": "whole", "recompute": True},
    "sharded, recompute": {"weights": "sharded", "recompute": True},
}
KINDS = ("align", "dpo")
LORA = {"lora": Lora(rank=2), "train": ("language",)}


class Hearing(Teller):
    """Keeps the losses of each stage's steps, and stops after step STOP of the stage `until`."""

    def __init__(self, until: str = "") -> None:
        super().__init__(quiet=True)
        self.losses: dict[str, list[float]] = {}
        self._until = until

    @contextmanager
    def stage(self, name: str, steps: int, stop: Any) -> Iterator[Heard]:
        def hear(done: int, loss: float | None) -> bool:
            if loss is not None:
                self.losses.setdefault(name, []).append(loss)
            return name == self._until and done == STOP

        yield hear


def train(kind: str, data: Path, folder: Path, *, stop: bool = False, **more: Any) -> dict[str, Any]:
    """A training of ten steps: its losses, and its summary unless it was stopped in its last stage."""
    common: dict[str, Any] = {"model": str(data / "nano"), "precision": "float32", "held_out": 0.2, "on_bad": "skip"}
    common |= {"warm_up_steps": 2, "log_every": 1, "save_every": STEPS, **more}
    hearing = Hearing(("align-2" if kind == "align" else "dpo") if stop else "")
    how: dict[str, Any] = {"device": "cpu", "plan_only": False, "teller": hearing}
    rates = {"vision": 1e-4, "projector": 1e-3, "language": 1e-3}
    try:
        if kind == "align":
            stages = (AlignStage(("projector",), steps=STEPS), AlignStage(tuple(rates), steps=STEPS))
            sizes: dict[str, Any] = {"data": (str(data / "samples.json"),), "tiles": 1, "step_samples": 4}
            given = AlignRecipe(**sizes, samples_at_once=2, rates=rates, stages=stages, **common)
            summary = train_align(given, folder, **how)
        else:
            sizes = {"data": (str(data / "pairs.jsonl"),), "step_pairs": 4, "pairs_at_once": 2, "rates": rates}
            dpo: dict[str, Any] = {"train": tuple(rates), "steps": 2 * STEPS, **sizes, **common}
            summary = train_dpo(DpoRecipe(**dpo), folder, **how)
    except LongtakeError as error:
        if error.code is not ErrorCode.INTERRUPTED:
            raise
        summary = {}
    return {"losses": hearing.losses, "summary": summary}


def on_two(data: Path, ports: list[int]) -> dict[str, Any]:
    """All that two ranks are to show."""
    told: dict[str, Any] = {}
    spare = iter(ports)

    def trained(name: str, kind: str, *, folder: str = "", **more: Any) -> None:
        os.environ["MASTER_PORT"] = str(next(spare))
        told[f"{kind}, {name}"] = train(kind, data, data / "runs" / (folder or f"{kind}, {name}"), **more)

    for kind in KINDS:
        for name, way in WAYS.items():
            trained(name, kind, **way)
        for weights in ("whole", "sharded"):
            trained(f"{weights}, stopped", kind, weights=weights, stop=True)
        trained("from one", kind, folder=f"{kind}, one stopped")
    trained("lora", "dpo", **LORA)
    trained("clip stopped", "align", model=str(data / "llava"), recompute=True, stop=True)
    trained("clip", "align", folder="align, clip stopped", model=str(data / "llava"), recompute=True)
    with pytest.raises(LongtakeError, match="step_pairs = 3: 3 are not to be shared by 2 ranks"):
        trained("uneven", "dpo", step_pairs=3, pairs_at_once=1)
    return told


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of one to three pictures and of words alone, pairs about a picture or two; some cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    samples, pairs = [], []
    for number in range(SAMPLES):
        shown = [f"{place}.png" for place in range(number % 4)] if number % 9 else ["broken.png"]
        asked = {"from": "human", "value": "<image>\n" * len(shown) + "what is on the star"}
        said = [asked, {"from": "gpt", "value": f"number {number}"}]
        samples.append({"id": f"s{number}", **({"images": shown} if shown else {}), "conversations": said})
        words = {"prompt": f"what number is {number}", "chosen": "red star", "rejected": "the blue"}
        pairs.append(words | ({"image": shown[-1]} if shown else {}))
    (folder / "samples.json").write_text(json.dumps(samples))
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in pairs))
    tiny.checkpoint(folder / "nano")
    RECIPES["llava_next vicuna"].save(folder / "llava")
    return folder


@pytest.fixture(scope="module")
def one(data: Path) -> dict[str, Any]:
    """What one process told; it also stops two trainings that ranks go on with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    told: dict[str, Any] = {"lora": train("dpo", data, data / "runs" / "lora", **LORA)}
    told["clip"] = train("align", data, data / "runs" / "clip", model=str(data / "llava"))
    for kind in KINDS:
        told[kind] = train(kind, data, data / "runs" / kind)
        told[f"{kind}, recompute"] = train(kind, data, data / "runs" / f"{kind}, again", recompute=True)
        told[f"{kind}, stopped"] = train(kind, data, data / "runs" / f"{kind}, one stopped", stop=True)
    torch.set_num_threads(threads)
    return told


@pytest.fixture(scope="module")
def two(data: Path, one: dict[str, Any]) -> dict[str, Any]:
    """What the leading one of two ranks told."""
    told: dict[str, Any] = run_ranks(on_two, 2, data, [free_port() for _ in range(40)], joins=False)[0]
    return told


def assert_as_near(found: dict[str, list[float]], expected: dict[str, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for stage, losses in expected.items():
        assert found[stage] == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_learns_and_recomputing_changes_nothing(kind: str, one: dict[str, Any]) -> None:
    losses = [loss for stage in one[kind]["losses"].values() for loss in stage]
    assert len(losses) == 2 * STEPS and losses[-1] < losses[0] - 0.05
    assert_as_near(one[f"{kind}, recompute"]["losses"], one[kind]["losses"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_ten_steps_lose_the_same_however_ranks_hold_the_weights(
    kind: str, way: str, one: dict[str, Any], two: dict[str, Any], data: Path
) -> None:
    found, expected = two[f"{kind}, {way}"], one[kind]
    assert_as_near(found["losses"], expected["losses"])
    mine, others = found["summary"]["held_out"], expected["summary"]["held_out"]
    assert mine["before"] == pytest.approx(others["before"], abs=1e-3)
    if kind == "align":
        # Running statistics of nano's tower are the mean of both ranks', not one batch after the other.
        others = two["align, whole"]["summary"]["held_out"]
    assert mine["after"] == pytest.approx(others["after"], abs=1e-2)
    assert found["summary"]["tokens"] == expected["summary"]["tokens"]
    tensors, whole = (load_file(Path(some["summary"]["model"]) / "model.safetensors") for some in (found, expected))
    assert tensors.keys() == whole.keys()
    for name in tensors:
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(tensors[name], whole[name], atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_counted_once_whoever_met_it(
    kind: str, one: dict[str, Any], two: dict[str, Any], data: Path
) -> None:
    files = [data / "runs" / name / "skipped.jsonl" for name in (kind, f"{kind}, whole", f"{kind}, sharded")]
    alone, *others = ([json.loads(line)["sample"] for line in file.read_text().splitlines()] for file in files)
    assert one[kind]["summary"]["skipped"] == len(set(alone)) == 3
    for skipped in others:
        assert sorted(skipped) == sorted(alone)
    assert two[f"{kind}, sharded"]["summary"]["skipped"] == 3


def test_references_are_shared_out_and_kept_once(one: dict[str, Any], two: dict[str, Any], data: Path) -> None:
    def kept(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (data / "runs" / name / "reference.jsonl").read_text().splitlines()]

    alone = kept("dpo")
    assert len(alone) == SAMPLES - 3
    for way in WAYS:
        mine = kept(f"dpo, {way}")
        assert [row["pair"] for row in mine] == [row["pair"] for row in alone]
        for side in ("chosen", "rejected"):
            assert [row[side] for row in mine] == pytest.approx([row[side] for row in alone], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", ["whole", "sharded"])
def test_one_process_goes_on_from_two_ranks(
    kind: str, weights: str, one: dict[str, Any], two: dict[str, Any], data: Path
) -> None:
    (last,) = [name for name in one[kind]["losses"] if name in ("align-2", "dpo")]
    assert two[f"{kind}, {weights}, stopped"]["losses"][last] == pytest.approx(
        one[kind]["losses"][last][:STOP], abs=1e-4
    )
    gone_on = train(kind, data, data / "runs" / f"{kind}, {weights}, stopped")
    assert gone_on["losses"] == {last: pytest.approx(one[kind]["losses"][last][STOP:], abs=1e-4)}


@pytest.mark.parametrize("kind", KINDS)
def test_two_sharded_ranks_go_on_from_one_process(kind: str, one: dict[str, Any], two: dict[str, Any]) -> None:
    last = list(one[kind]["losses"])[-1]
    assert two[f"{kind}, from one"]["losses"] == {last: pytest.approx(one[kind]["losses"][last][STOP:], abs=1e-4)}


def test_adapters_learn_on_ranks_with_whole_weights(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert_as_near(two["dpo, lora"]["losses"], one["lora"]["losses"])
    with pytest.raises(ValueError, match="adapters lie beside whole matrices"):
        DpoRecipe(lora=Lora(), weights="sharded")
    with pytest.raises(ValueError, match="adapters lie beside whole matrices"):
        AlignRecipe(lora=Lora(), weights="aside")


def test_a_tower_learns_of_which_some_layers_are_not_computed(one: dict[str, Any], two: dict[str, Any]) -> None:
    """CLIP is read off before its last layer, which gets no gradient; stopped on two ranks, and gone on there."""
    first, then = two["align, clip stopped"]["losses"], two["align, clip"]["losses"]
    assert_as_near({name: first[name] + then.get(name, []) for name in first}, one["clip"]["losses"])
