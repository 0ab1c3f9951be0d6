"""train/loop on several ranks: the losses of one process, however rows, positions and parameters are spread.

Real processes that talk by gloo; few of them, for each takes seconds to start.
"""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake.errors import ErrorCode, LongtakeError
from longtake.families.nano import TEMPLATE
from longtake.parallel import ALONE, Ranks
from longtake.parallel.attending import RING, ULYSSES
from longtake.train import nano
from longtake.train.conversations import Writer
from longtake.train.loop import Manner, Rates, gradients, run
from longtake.train.nano_recipe import Recipe
from longtake.train.packing import Rows
from longtake.train.read import Reading
from longtake.train.reading_on import ReadingOn, examined
from longtake.train.saving import kept
from longtake.train.schedule import Schedule, adam
from longtake.train.sharding import clip, sharded, whole_language
from longtake.train.spread import ONE, Hold, Spread, heard, spread_over
from longtake.train.text_recipe import TextRecipe, TextStage
from longtake.train.together import refuse_rows
from longtake.train.vocabulary import build_tokenizer, word_ids
from ranks import kill_one, run_ranks, torchrun

STEPS, STOP = 10, 6
RATE = 5e-3
"""Four times as fast, rounding grows to 1e-4 of the loss in ten steps."""
ROWS, LENGTH = 4, 37
"""A ring of two pads 37 positions to 40."""
END = 21
"""A token of every row, some earlier and some later: documents may end with it."""


def model() -> Qwen2ForCausalLM:
    """A tiny Qwen2 with grouped-query heads; its last matrix is its first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 101}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
        return Qwen2ForCausalLM(Qwen2Config(**sizes, **heads, initializer_range=0.3, tie_word_embeddings=True))


def stream() -> Iterator[list[int]]:
    """Rows in which each token has to do with the one before it."""
    rng = np.random.default_rng(5)
    while True:
        yield [int(number) for number in (rng.integers(10) + np.arange(LENGTH)) % 10 * 7]


def reading(
    spread: Spread, *, span: int = 0, end_id: int | None = None, rows_at_once: int = 1
) -> tuple[ReadingOn, Manner]:
    """A stage and how it is run: ROWS rows a step, whoever reads them."""
    language = model()
    spread = sharded([language], spread, half=False)
    exam_NL = torch.tensor(list(islice(stream(), 2)))
    stage = ReadingOn(
        name="read",
        steps=STEPS,
        rates=Schedule(0.0, RATE, warm_up_steps=2, shape="linear"),
        module=language,
        rows=Rows(stream),
        rows_at_once=rows_at_once,
        span=span,
        pieces=3,
        half=False,
        exam_NL=exam_NL,
        end_id=end_id,
        rows_a_step=ROWS,
        spread=spread,
    )
    batches = ROWS // rows_at_once
    first = spread.own(batches).start

    def seek(step: int) -> None:
        stage.rows.seek((step * batches + first) * rows_at_once)

    def optimisers(_: Any) -> Any:
        return adam({"all": language}, {"all": RATE}, decay=0.1)

    manner = Manner(optimisers, batches, log_every=2, save_every=STEPS, before_step=seek, spread=spread)
    return stage, manner


def trained(spread: Spread, folder: Path, *, stop: int = 0, **how: int) -> list[float]:
    """The losses of the steps that were still to take, of `stop` where that is asked for; every rank's are the same."""
    stage, manner = reading(spread, **how)
    losses: list[float] = []

    def hear(done: int, loss: float) -> bool:
        losses.append(loss)
        # Only one rank hears that it is to stop.
        return done == stop and spread.ranks.rank == spread.ranks.size - 1

    if spread.leads:
        folder.mkdir(exist_ok=True)
    spread.wait()
    if stop:
        with pytest.raises(KeyboardInterrupt):
            run(stage, folder, seed=0, manner=replace(manner, after_step=hear))
    else:
        run(stage, folder, seed=0, manner=replace(manner, after_step=hear))
    return losses


def weights_of(spread: Spread, folder: Path) -> dict[str, torch.Tensor] | None:
    """What the checkpoint in `folder` holds, whole, on the leading rank."""
    stage, manner = reading(spread)
    run(stage, folder, seed=0, manner=manner)
    whole = whole_language(stage.module, stage.spread)
    return None if whole is None else {name: tensor.clone() for name, tensor in whole.state_dict().items()}


@dataclass(frozen=True)
class Uneven:
    """A stage whose batches have different numbers of targets: the first as many as 1, the second 9, and so on."""

    module: nn.Linear
    steps: int = 1
    name: str = "uneven"
    rates: Rates = Rates(matrices=0.0, others=0.1)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        points = int(rng.integers(1, 40))
        losses: torch.Tensor = self.module(torch.from_numpy(rng.normal(size=(points, 3)).astype(np.float32)))
        return losses.square().sum(1)

    def figures(self) -> dict[str, float]:
        return {}


def uneven(spread: Spread) -> tuple[float, torch.Tensor]:
    """The loss of a step of two uneven batches, and the gradient."""
    torch.manual_seed(1)
    stage = Uneven(nn.Linear(3, 2))
    loss = gradients(stage, Manner(batches=2, spread=spread), seed=3, step=0)
    assert stage.module.weight.grad is not None
    return loss, stage.module.weight.grad


@dataclass
class Late:
    """Of three numbers, one learns from the first step on, one from step STOP on, and one never."""

    module: nn.ParameterDict
    steps: int = STEPS
    name: str = "late"
    rates: Rates = Rates(matrices=0.0, others=0.1)
    step: int = 0

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        learning = [self.module["first"], *([self.module["late"]] if self.step >= STOP else [])]
        return torch.stack([float(rng.normal()) * one for one in learning]).square().sum()[None]

    def figures(self) -> dict[str, float]:
        return {}

    def seek(self, step: int) -> None:
        self.step = step


def late(spread: Spread, folder: Path, *, stop: bool) -> dict[str, float]:
    """What the three numbers come to; with `stop` in two goes, the first of which ends before the second one learns."""
    if spread.leads:
        folder.mkdir()
    spread.wait()
    for last in (STOP, STEPS) if stop else (STEPS,):
        stage = Late(nn.ParameterDict({name: nn.Parameter(torch.ones(())) for name in ("first", "late", "never")}))
        hear = partial(_stops, last if last < STEPS else 0)
        manner = Manner(batches=2, before_step=stage.seek, after_step=hear, spread=spread)
        with pytest.raises(KeyboardInterrupt) if last < STEPS else nullcontext():
            run(stage, folder, seed=0, manner=manner)
    return {name: float(number.detach()) for name, number in stage.module.items()}


def _stops(last: int, done: int, loss: float) -> bool:
    return done == last


def clipped(spread: Spread) -> tuple[float, float]:
    """The norm of all gradients of the first step, and of what clipping to 0.1 leaves of them.

    One number more than the model's is whole on each rank, beside parameters that may be held in parts.
    """
    stage, manner = reading(spread)
    manner.before_step(0)
    gradients(stage, manner, seed=0, step=0)
    beside = nn.Parameter(torch.zeros(()))
    beside.grad = torch.full((), 2.0)
    learning = [*stage.module.parameters(), beside]
    before = clip(learning, 0.1)
    return before, clip(learning, 1.0)


def nano_base(spread: Spread, folder: Path) -> list[float]:
    """The losses of three steps of nano's first stage (Muon, bfloat16, noise), each of two small batches."""
    _, modules, tokenizer = nano.first_modules(Recipe())
    writer = Writer(TEMPLATE, tokenizer, word_ids(build_tokenizer()))
    stage = Reading(modules.language, writer, steps=3, tokens=256, exam_frames=(), name="base")
    losses: list[float] = []
    hear = partial(_keep_loss, losses)
    if spread.leads:
        folder.mkdir()
    spread.wait()
    run(stage, folder, seed=0, manner=Manner(batches=2, spread=spread, after_step=hear))
    return losses


def _keep_loss(losses: list[float], done: int, loss: float) -> bool:
    losses.append(loss)
    return False


def averaged(spread: Spread) -> dict[str, torch.Tensor]:
    """Running statistics and gradients of a layer that saw something else on each rank."""
    layer = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    layer[1].bias.requires_grad_(False)
    seen = torch.full((4, 2), float(spread.ranks.rank)) + torch.arange(4)[:, None]
    hidden = layer[0](seen)
    if spread.leads:
        layer[1](hidden).square().sum().backward()
    else:
        hidden.sum().backward()
    mine = torch.zeros_like(layer[1].weight) if layer[1].weight.grad is None else layer[1].weight.grad.clone()
    spread.average(layer)
    assert layer[1].bias.grad is None
    return {"mean": layer[0].running_mean, "mine": mine, "gradient": layer[1].weight.grad}


@dataclass(frozen=True)
class Way:
    """How two ranks train."""

    ring: int
    hold: Hold
    attending: str = RING


WAYS = {
    "ring": Way(2, "whole"),
    "data": Way(1, "whole"),
    "sharded": Way(1, "sharded"),
    "aside": Way(1, "aside"),
    "ring aside": Way(2, "aside"),
    "heads": Way(2, "sharded", ULYSSES),
}


def on_two(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """All that two ranks are to show; one start of them."""
    spreads = {
        name: replace(spread_over(ranks, ring=way.ring, hold=way.hold), attending=way.attending)
        for name, way in WAYS.items()
    }
    told: dict[str, Any] = {}
    for name, spread in spreads.items():
        told[name] = trained(spread, folder / name)
        told[f"{name}, stretched"] = trained(spread, folder / f"{name} stretched", span=200)
        told[f"{name}, apart"] = trained(spread, folder / f"{name} apart", end_id=END)
        told[f"{name}, clipped"] = clipped(spread)
        told[f"{name}, stopped"] = trained(spread, folder / f"{name} stopped", stop=STOP)
        if name in ("data", "sharded"):
            told[f"{name}, gone on"] = trained(spread, folder / f"{name} gone on", stop=STOP)
            told[f"{name}, gone on"] += trained(spread, folder / f"{name} gone on")
            told[f"{name}, weights"] = weights_of(spread, folder / name)
            told[f"{name}, gone on weights"] = weights_of(spread, folder / f"{name} gone on")
        told[f"{name}, from one"] = trained(spread, folder / f"one for {name}")
    told["uneven"] = uneven(spreads["data"])
    told["nano"] = nano_base(spreads["data"], folder / "nano on two")
    told["averaged"] = averaged(spreads["data"])
    told["late"] = [late(spreads["data"], folder / f"late {stop}", stop=stop) for stop in (False, True)]
    stage, _ = reading(spreads["ring"])
    told["examined"] = examined(stage.module, stage.exam_NL, half=False, spread=stage.spread)
    told["held"] = sum(p.to_local().numel() for p in reading(spreads["sharded"])[0].module.parameters())  # type: ignore[attr-defined]
    told["refused"] = refused(spreads["data"])
    if ranks.leads:
        told["left"] = left(spreads["data"])
    return told


def left(spread: Spread) -> str:
    """What the leading rank is told when it waits for the other, which has nothing more to do and ends."""
    with pytest.raises(LongtakeError) as caught, heard(spread, "runs/long"):
        spread.wait()
    assert caught.value.code is ErrorCode.RANKS_LOST
    return str(caught.value)


def refused(spread: Spread) -> str:
    """What a rank hears of what the leading one refuses."""

    def refuse() -> None:
        raise LongtakeError(ErrorCode.DISK_WRITE, "here", "is full", "go elsewhere")

    with pytest.raises(LongtakeError) as caught:
        spread.led(refuse)
    return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What two ranks told; before that one process has begun a stage for each of their ways."""
    for name in WAYS:
        trained(ONE, folder / f"one for {name}", stop=STOP)
        torn(folder / f"one for {name}")
    return run_ranks(on_two, 2, folder)


def torn(folder: Path) -> None:
    """Leave behind what ranks do that are killed while they write a checkpoint."""
    partial = folder / f"read-{STEPS}.ranks.partial"
    partial.mkdir()
    (partial / "__0_0.distcp").write_bytes(b"half")


@pytest.fixture(scope="module")
def alone(folder: Path) -> list[float]:
    return trained(ONE, folder / "alone")


@pytest.fixture(scope="module")
def stretched(folder: Path) -> list[float]:
    """The same with positions spread over 200."""
    return trained(ONE, folder / "stretched", span=200)


def test_one_process_learns_something(alone: list[float], stretched: list[float], tmp_path: Path) -> None:
    assert len(alone) == STEPS and alone[-1] < alone[0] - 1
    assert abs(alone[0] - stretched[0]) > 1e-2
    assert trained(ONE, tmp_path / "two at once", span=200, rows_at_once=2) == pytest.approx(stretched, abs=1e-4)


@pytest.mark.parametrize("name", WAYS)
def test_ten_steps_lose_the_same_however_they_are_spread(
    name: str, two: list[dict[str, Any]], alone: list[float], folder: Path
) -> None:
    assert two[0][name] == two[1][name]
    assert two[0][name] == pytest.approx(alone, abs=1e-4)
    rows = [json.loads(line) for line in (folder / name / "read.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10], "the leading rank alone writes them"
    mine = [json.loads(line) for line in (folder / "alone" / "read.jsonl").read_text().splitlines()]
    assert rows[-1]["held_out_loss"] == pytest.approx(mine[-1]["held_out_loss"], abs=2e-4)


@pytest.mark.parametrize("name", WAYS)
def test_stretched_positions_are_of_the_row_whoever_reads_it(
    name: str, two: list[dict[str, Any]], stretched: list[float]
) -> None:
    assert two[0][f"{name}, stretched"] == pytest.approx(stretched, abs=1e-4)


@pytest.mark.parametrize("name", WAYS)
def test_documents_apart_are_so_whoever_reads_them(
    name: str, two: list[dict[str, Any]], alone: list[float], tmp_path: Path
) -> None:
    """The rows of a step ask of different numbers of tokens, and a ring's halves too."""
    mine = trained(ONE, tmp_path / "apart", end_id=END)
    assert abs(mine[0] - alone[0]) > 1e-2
    assert two[0][f"{name}, apart"] == pytest.approx(mine, abs=1e-4)


@pytest.mark.parametrize("name", WAYS)
def test_clipping_goes_by_the_norm_over_all_ranks(name: str, two: list[dict[str, Any]]) -> None:
    before, after = clipped(ONE)
    assert before > 2.2
    for rank in two:
        assert rank[f"{name}, clipped"] == pytest.approx((before, after), rel=1e-4)
    assert after == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("name", WAYS)
def test_what_two_began_one_goes_on_with_and_the_other_way_round(
    name: str, two: list[dict[str, Any]], alone: list[float], folder: Path
) -> None:
    assert two[0][f"{name}, stopped"] == pytest.approx(alone[:STOP], abs=1e-4)
    found = kept(folder / f"{name} stopped", "read")
    assert found is not None and found[0].name == f"read-{STOP}.ranks" and found[1] == STOP
    torn(folder / f"{name} stopped")
    assert trained(ONE, folder / f"{name} stopped") == pytest.approx(alone[STOP:], abs=1e-4)
    assert two[0][f"{name}, from one"] == pytest.approx(alone[STOP:], abs=1e-4)
    assert sorted(path.name for path in (folder / f"{name} stopped").iterdir()) == ["read.jsonl", "read.pt"]
    assert sorted(path.name for path in (folder / f"one for {name}").iterdir()) == ["read-10.ranks", "read.jsonl"]


@pytest.mark.parametrize("name", ["data", "sharded"])
def test_as_many_ranks_go_on_bit_for_bit(name: str, two: list[dict[str, Any]]) -> None:
    assert two[0][f"{name}, gone on"] == two[0][name]
    whole, gone_on = two[0][f"{name}, weights"], two[0][f"{name}, gone on weights"]
    assert whole.keys() == gone_on.keys() == model().state_dict().keys()
    assert all(torch.equal(whole[key], gone_on[key]) for key in whole)
    assert not torch.equal(whole["model.norm.weight"], model().model.norm.weight)


def test_what_learns_only_after_a_stop_does_so_as_if_there_had_been_none(
    two: list[dict[str, Any]], tmp_path: Path
) -> None:
    whole, gone_on = two[0]["late"]
    assert gone_on == whole == pytest.approx(late(ONE, tmp_path / "late", stop=True), abs=1e-6)
    assert whole["first"] != 1 and whole["late"] != 1 and whole["never"] == 1


def test_every_target_counts_as_much_wherever_it_is(two: list[dict[str, Any]]) -> None:
    loss, gradient = uneven(ONE)
    torch.manual_seed(1)
    line = nn.Linear(3, 2)
    batches = [Uneven(line).loss(rng) for rng in (np.random.default_rng(place) for place in places_of_uneven())]
    assert len(batches[0]) != len(batches[1])
    whole = torch.cat(batches).mean()
    whole.backward()
    for told, slope in (two[0]["uneven"], two[1]["uneven"], (loss, gradient)):
        assert told == pytest.approx(whole.item(), rel=1e-5)
        torch.testing.assert_close(slope, line.weight.grad, rtol=1e-5, atol=1e-6)


def places_of_uneven() -> list[list[int]]:
    step = [3, zlib.crc32(b"uneven"), 0]
    return [step, [*step, 1]]


def test_a_ring_examines_each_token_where_it_stands(two: list[dict[str, Any]]) -> None:
    stage, _ = reading(ONE)
    mine = examined(stage.module, stage.exam_NL, half=False)
    assert mine.shape == (2, LENGTH - 1)
    torch.testing.assert_close(two[1]["examined"], mine, rtol=1e-4, atol=1e-4)


def test_sharded_ranks_hold_half_each(two: list[dict[str, Any]]) -> None:
    whole = sum(parameter.numel() for parameter in model().parameters())
    assert two[0]["held"] + two[1]["held"] == whole
    assert two[0]["held"] == pytest.approx(whole / 2, rel=0.05)


def test_what_the_leading_rank_refuses_all_refuse(two: list[dict[str, Any]]) -> None:
    assert [rank["refused"] for rank in two] == ["error[disk.write]: here: is full (go elsewhere)"] * 2


def test_nanos_recipe_learns_the_same_on_two_ranks(two: list[dict[str, Any]], tmp_path: Path) -> None:
    mine = nano_base(ONE, tmp_path / "nano")
    assert len(mine) == 3 and two[0]["nano"] == two[1]["nano"] == pytest.approx(mine, abs=1e-4)


def test_ranks_that_hold_all_agree_about_statistics_and_about_what_only_one_has_a_gradient_for(
    two: list[dict[str, Any]],
) -> None:
    """A batch norm of ranks that saw 0 to 3 and 1 to 4 remembers a tenth of the mean of both."""
    told = [rank["averaged"] for rank in two]
    torch.testing.assert_close(told[0]["mean"], torch.full((2,), 0.1 * (1.5 + 2.5) / 2))
    assert torch.equal(told[0]["mean"], told[1]["mean"])
    assert told[0]["mine"].abs().sum() > 0.1 and not told[1]["mine"].any()
    for rank in told:
        torch.testing.assert_close(rank["gradient"], told[0]["mine"] / 2)


def test_a_rank_that_the_others_left_says_so(two: list[dict[str, Any]]) -> None:
    assert two[0]["left"].startswith("error[ranks.lost]: runs/long: another of the 2 ranks has ended")


def test_rings_that_do_not_divide_the_ranks_are_refused() -> None:
    with pytest.raises(LongtakeError, match=r"--ring 2: 1 ranks make no rings of 2 \(start a multiple of it"):
        spread_over(ALONE, ring=2, hold="whole")


def test_batches_are_shared_in_order_by_whole_rings() -> None:
    second = [Spread(Ranks(rank, 4, ALONE.device), Ranks(rank % 2, 2, ALONE.device)) for rank in range(4)]
    assert [list(spread.own(6)) for spread in second] == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    with pytest.raises(ValueError, match="5 batches of a step over 2 data ranks"):
        second[0].own(5)


@pytest.mark.parametrize("length", [32, 100, 4000, 9000])
@pytest.mark.parametrize(("data_ranks", "ring"), [(1, 1), (2, 1), (4, 2), (1, 8)])
def test_a_step_has_the_same_rows_over_any_ranks(length: int, data_ranks: int, ring: int) -> None:
    stage = TextStage(length, steps=1)
    recipe = TextRecipe(step_tokens=32_768, tokens_at_once=8192, stages=(stage,))
    alone, rows = recipe.rows_at_once(stage), recipe.rows_a_step(stage)
    assert rows == alone * recipe.batches(stage) and alone == max(1, 8192 // length)
    if rows % data_ranks == 0:
        at_once = recipe.rows_at_once(stage, data_ranks=data_ranks, ring=ring)
        batches = recipe.batches(stage, data_ranks=data_ranks, ring=ring)
        assert at_once * batches == rows and batches % data_ranks == 0
        assert at_once * length <= max(8192 * ring, length)
    else:
        with pytest.raises(ValueError, match=f"{rows} rows of a step over {data_ranks} data ranks; want a multiple"):
            recipe.rows_at_once(stage, data_ranks=data_ranks, ring=ring)


@pytest.mark.parametrize(("ranks", "ring", "fitting"), [(64, 8, 16), (24, 8, 12), (3, 1, 3)])
def test_rows_that_ranks_cannot_share_are_refused_with_what_fits(ranks: int, ring: int, fitting: int) -> None:
    """Four rows: 8 rings cannot share them, nor 3; 4, 2 and one can. Or as many rows as rings."""
    recipe = TextRecipe(step_tokens=4000, tokens_at_once=1000, stages=(TextStage(1000, steps=1),))
    with pytest.raises(LongtakeError, match=f"4 rows of 1,000 tokens a step .* {ranks // ring} data ranks") as refused:
        refuse_rows(recipe, ranks=ranks, ring=ring, together="ring")
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION
    tokens = {8: 8000, 3: 6000}[ranks // ring]
    assert f"--ring {fitting}, or take larger steps: --set step_tokens={tokens}" in str(refused.value)
    refuse_rows(recipe, ranks=ranks, ring=fitting, together="ring")
    refuse_rows(replace(recipe, step_tokens=tokens), ranks=ranks, ring=ring, together="ring")


def test_muon_wants_whole_matrices() -> None:
    with pytest.raises(ValueError, match="weights is sharded, and Muon turns whole matrices"):
        TextRecipe(optimiser="muon", weights="sharded")


TOML = """
vocabulary = 300
held_out = 0.2
held_out_rows = 4
step_tokens = 256
tokens_at_once = 64
precision = "float32"
log_every = 1
save_every = 4
warm_up_steps = 3
shuffle_buffer = 20
[model]
width = 32
layers = 1
[[stages]]
length = 32
steps = 30
[[stages]]
length = 64
steps = 10
theta = 100000.0
span = 256
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A hundred documents of a few words each, and the recipe."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(100):
        words = [("red", "blue")[rng.integers(2)] + " " + ("star", "moon")[rng.integers(2)] for _ in range(12)]
        lines.append(json.dumps({"text": "the " + " and the ".join(words) + "."}))
    (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "recipe.toml").write_text(TOML)
    return tmp_path


def start(corpus: Path, folder: str, *more: str) -> subprocess.Popen[str]:
    """`longtake train text` on two ranks, by torchrun."""
    told = ["--recipe", "recipe.toml", "--data", "data.jsonl", "--output", folder, *more]
    return torchrun(corpus, "train", "text", *told)


def bits(folder: Path) -> dict[str, Any]:
    """What two runs have to agree about: each step's loss, and the weights."""
    from longtake.train.curves import read_log

    rows = {name: [row["loss"] for row in read_log(folder / f"{name}.jsonl")] for name in ("text-1", "text-2")}
    return {**rows, "weights": (folder / "model" / "model.safetensors").read_bytes()}


def test_one_rank_is_killed_the_other_ends_and_the_same_command_goes_on_bit_for_bit(corpus: Path) -> None:
    whole = start(corpus, "whole", "--ring", "2", "--json")
    told, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    summary = json.loads(told)
    assert summary["tokens"] == 40 * 256, "counted once, and told by one rank"

    killed = start(corpus, "killed", "--ring", "2")
    kill_one(killed, 1, corpus / "killed" / "text-1.jsonl", rows=6)
    # A rank that waited for the dead one would wait for half an hour.
    killed.communicate(timeout=120)
    assert killed.returncode != 0
    assert not (corpus / "killed" / "model").exists()
    left = kept(corpus / "killed", "text-1")
    assert left is not None and 4 <= left[1] < 30

    again = start(corpus, "killed", "--ring", "2")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert bits(corpus / "killed") == bits(corpus / "whole")
