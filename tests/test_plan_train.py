"""`longtake plan train`: recipes in; memory of each device, bytes sent and hours out. And the recipes of the paper."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtake.costs.arranging import longest_row, ways
from longtake.costs.holding import peak, states_bytes
from longtake.costs.learning import networks_of
from longtake.costs.training import Arrangement, Load, Networks
from longtake.errors import ErrorCode
from longtake.train import planned
from running import ONE_LINE, Cli

RECIPES = Path(__file__).parents[1] / "recipes"
PAPER = RECIPES / "longva_7b"
LONGVA = ("--model", "lmms-lab/LongVA-7B")
GIB = 2**30
QWEN2_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "rope_theta": 1e6,
    "tie_word_embeddings": False,
}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of Qwen2-7B, of which config.json is here."""
    folder = tmp_path_factory.mktemp("qwen2")
    (folder / "config.json").write_text(json.dumps(QWEN2_7B))
    return str(folder)


@pytest.fixture(scope="module")
def longva() -> Networks:
    return networks_of("lmms-lab/LongVA-7B")


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_is_read_by_its_command(path: Path) -> None:
    """What a recipe is for is known by its keys, and each of them exists."""
    kind = planned.kind_of(str(path))
    wanted = {"projector": "align"}.get(path.stem, path.stem.split("_")[0])
    assert kind == wanted
    planned.read_for(kind, str(path), (), {})


def test_recipes_of_the_paper_say_what_it_says() -> None:
    """arXiv 2406.16852, sections 3.1 and 4; LongVA-7B-DPO's card; the recorded settings of the original's script."""
    text, projector, align, dpo = (
        planned.read_for(kind, str(PAPER / f"{name}.toml"), (), {})
        for kind, name in (("text", "text"), ("align", "projector"), ("align", "align"), ("dpo", "dpo"))
    )
    (stage,) = text.stages
    assert (stage.length, stage.steps, stage.theta) == (224_000, 1000, 1e9)
    assert (text.rate, text.schedule, text.step_tokens, text.warm_up_steps) == (1e-5, "constant", 4 * 224_000, 0)
    assert text.recompute and text.ring == 8
    assert text.rows_at_once(stage, data_ranks=1, ring=8) == 1 and text.batches(stage, data_ranks=1, ring=8) == 4
    (captions,) = projector.stages
    assert captions.train == ("projector",) and projector.rates_of(captions) == {"projector": 1e-3}
    assert projector.schedule == "cosine"
    assert projector.warm_up_steps == round(0.03 * projector.steps(captions, 558_128))
    (everything,) = align.stages
    assert align.rates_of(everything) == {"vision": 2e-6, "projector": 1e-5, "language": 1e-5}
    assert align.tiles == 49 and align.most_images * align.tiles * 144 < 32_768
    assert align.warm_up_steps == round(0.03 * align.steps(everything, 779_289))
    assert align.recompute and dpo.recompute and align.weights == dpo.weights == "auto"
    assert (dpo.beta, dpo.epochs, dpo.rates_told, dpo.most_tokens) == (0.1, 3.0, {"language": 5e-7}, 32_768)


def test_text_on_eight_devices(cli: Cli, qwen2: str) -> None:
    """LongVA's text stage: fits eight A100s with recomputation and not without, in about the paper's two days."""
    asked = ("plan", "train", PAPER / "text.toml", "--model", qwen2, "--ranks", 8, "--device-memory", "80GiB")
    told = cli.json(*map(str, asked))
    (stage,) = told["stages"]
    assert (told["kind"], told["ring"], told["weights"]) == ("text", 8, "sharded")
    assert told["parameters"] == {"language": 7_615_616_512}
    assert (stage["steps"], stage["rows_a_step"], stage["tokens_a_step"]) == (1000, 4, 896_000)
    assert stage["fits"] and stage["ways"] == [] and stage["longest_row"] > 224_000
    assert (
        stage["memory_bytes"] == sum(stage["bytes"].values()) == max(sum(m.values()) for m in stage["moments"].values())
    )
    assert 40 < stage["hours"] < 56
    plain = cli.json(*map(str, asked), "--no-recompute")["stages"][0]
    assert not plain["fits"] and plain["hours"] < stage["hours"]
    assert [way["options"] for way in plain["ways"]][0] == "--recompute"
    assert plain["ways"][0]["memory_bytes"] == stage["memory_bytes"]


def test_text_on_sixty_four_devices(cli: Cli, qwen2: str) -> None:
    """Four rows a step: rings of 8 would be 8 (of 24 ranks, 3), which is refused as the training refuses it."""
    asked = ("plan", "train", str(PAPER / "text.toml"), "--model", qwen2, "--ranks")
    for ranks, rings, fitting in ((64, 8, 16), (24, 3, 12)):
        status, _, err = cli(*asked, str(ranks))
        assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status and ONE_LINE.fullmatch(err)
        assert f"by {rings} data ranks" in err and f"--ring {fitting}" in err
        (stage,) = cli.json(*asked, str(ranks), "--ring", str(fitting))["stages"]
        assert (stage["rows_a_step"], stage["tokens_a_step"]) == (4, 896_000)


def test_muon_is_planned_as_it_may_be_trained(cli: Cli) -> None:
    """Whole matrices on each rank: neither asked for in parts, nor told as a way to fit."""
    asked = ("plan", "train", str(RECIPES / "text_small.toml"), "--ranks", "2", "--set", "optimiser=muon")
    status, _, err = cli(*asked, "--weights", "sharded")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status and ONE_LINE.fullmatch(err) and "Muon" in err
    assert cli.json(*asked)["weights"] == "whole"
    stages = cli.json(*asked, "--device-memory", "100MiB")["stages"]
    told = [way["options"] for stage in stages for way in stage["ways"]]
    assert told and not any("--weights" in options for options in told)


@pytest.mark.parametrize(
    ("ranks", "options", "memory"),
    [(1, (), "70GiB"), (2, (), "60GiB"), (4, ("--attending", "ulysses"), "40GiB"), (8, ("--no-recompute",), "32GiB")],
)
def test_ways_that_are_told_can_be_gone(
    cli: Cli, qwen2: str, ranks: int, options: tuple[str, ...], memory: str
) -> None:
    """Each is planned as it was told, and fits: rows and heads are dealt out as the training would."""
    recipe = ("plan", "train", str(PAPER / "text.toml"), "--model", qwen2, "--device-memory", memory)
    asked = (*recipe, "--ranks", str(ranks), "--ring", str(ranks), *options)
    (stage,) = cli.json(*asked)["stages"]
    assert stage["fits"] is False and stage["ways"]
    for way in stage["ways"]:
        (gone,) = cli.json(*asked, *way["options"].split())["stages"]
        assert gone["fits"] and gone["memory_bytes"] == way["memory_bytes"]


def test_what_is_said(cli: Cli, qwen2: str) -> None:
    asked = ("plan", "train", PAPER / "text.toml", "--model", qwen2, "--ranks", 8, "--device-memory", "32GiB")
    status, out, err = cli(*map(str, asked))
    assert (status, err) == (0, "")
    assert "does not fit into 32.00 GiB" in out
    assert "it would fit with --weights aside" in out and "--ranks" in out
    assert "keys and values round the ring" in out and "days in all" in out
    assert "all figures are formulas" in out


def test_stages_with_pictures(cli: Cli) -> None:
    """Memory is for the longest samples, hours for those that are said to be usual."""
    asked = ("plan", "train", str(PAPER / "align.toml"), *LONGVA, "--ranks", "8", "--recompute", "--samples", "779289")
    longest, usual = (cli.json(*asked, "--sample-tokens", tokens) for tokens in ("0", "1500"))
    (stage,) = usual["stages"]
    assert stage["learns"] == ["language", "projector", "vision"]
    assert set(usual["parameters"]) == {"vision", "projector", "language"}
    assert set(stage["sent_bytes_a_step"]) == {"gathers", "reduces", "averages"}
    assert stage["memory_bytes"] == longest["stages"][0]["memory_bytes"] and usual["hours"] < longest["hours"] / 4
    assert any("--sample-tokens" in note for note in longest["notes"])


def test_ranks_that_cannot_share_a_stage_with_pictures_are_refused_as_by_the_training(cli: Cli) -> None:
    align = ("plan", "train", str(PAPER / "align.toml"), *LONGVA, "--samples", "1000")
    status, _, err = cli(*align, "--ranks", "8", "--ring", "2")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert ONE_LINE.fullmatch(err) and "samples with pictures are not shared by ranks" in err
    status, _, err = cli(*align, "--ranks", "3")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert ONE_LINE.fullmatch(err) and "step_samples = 128: 128 are not to be shared by 3 ranks" in err
    adapted = (*align, "--set", "lora={rank=2}", "--ranks", "8")
    status, _, err = cli(*adapted, "--weights", "sharded")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert ONE_LINE.fullmatch(err) and "adapters lie beside whole matrices" in err
    assert cli.json(*adapted)["weights"] == "whole"


def test_no_ring_is_advised_where_samples_have_pictures(cli: Cli) -> None:
    dpo = ("plan", "train", str(PAPER / "dpo.toml"), *LONGVA, "--samples", "17000", "--device-memory", "30GiB")
    for more in ((), ("--set", "lora={rank=2}")):
        (stage,) = cli.json(*dpo, *more, "--no-recompute")["stages"]
        assert not stage["fits"]
        assert not any("--ring" in way["options"] for way in stage["ways"])
        assert bool(more) != any("--weights" in way["options"] for way in stage["ways"])


def test_what_does_not_learn_has_no_optimiser(longva: Networks) -> None:
    recipe = planned.read_for("align", str(PAPER / "projector.toml"), (), {})
    arranged = Arrangement(8, 1)
    (stage,) = planned.stages_of(recipe, longva, planned.Sizes(558_128), arranged)
    assert stage.longest.steps == 2180 and stage.longest.views == recipe.samples_at_once
    states = states_bytes(longva, stage.longest, arranged)
    assert states["optimiser"] == 2 * states["gradients"] == 8 * longva.parameters["projector"]
    eye = longva.parameters["vision"] + longva.parameters["projector"]
    assert states["weights"] == 4 * (longva.parameters["language"] / 8 + eye), "each rank has the eye whole"


def test_dpo_reads_each_pair_as_two_rows_of_one_video(longva: Networks) -> None:
    recipe = planned.read_for("dpo", str(PAPER / "dpo.toml"), (), {})
    (stage,) = planned.stages_of(recipe, longva, planned.Sizes(17_000), Arrangement())
    load = stage.longest
    assert (load.rows, load.length, load.views) == (2, 128 * 144 + planned.WORDS_TOKENS, 128)
    assert load.steps == round(3 * 17_000 / 128) and load.read_only == pytest.approx(1 / 3)


def test_adapters_are_counted() -> None:
    """A rank of 2 beside one matrix of 128 x 128 and one of 128 x 384, in nano's four layers."""
    recipe = planned.read_for("dpo", str(PAPER / "dpo.toml"), ("lora={rank=2, modules=['q_proj', 'up_proj']}",), {})
    assert planned.adapters(recipe, networks_of("nano").decoder) == 4 * 2 * (256 + 512)


def test_uncounted_samples_are_asked_for(cli: Cli) -> None:
    status, _, err = cli("plan", "train", str(PAPER / "projector.toml"), "--model", "nano")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert ONE_LINE.fullmatch(err) and "--samples" in err


def test_from_scratch_and_nano(cli: Cli) -> None:
    """What the shipped recipes train: about two million parameters, and nano's projector."""
    text = cli.json("plan", "train", str(RECIPES / "text_small.toml"))
    assert text["parameters"] == {"language": 2_116_544} and text["model"] == "from scratch"
    assert len(text["stages"]) == 2 and text["weights"] == "whole"
    align = cli.json("plan", "train", str(RECIPES / "align_small.toml"))
    assert [stage["learns"] for stage in align["stages"]] == [["projector"], ["language", "projector"]]


def test_what_would_fit_does_and_less_does_not(longva: Networks) -> None:
    load = Load("text", 1, 4, 1, 224_000)
    arranged = Arrangement(8, 1, recompute=True)
    room = 40 * GIB
    assert peak(longva, load, arranged).total_bytes > room
    found = ways(longva, lambda _: load, arranged, room)
    assert found and all(way.bytes == peak(longva, load, way.arranged).total_bytes <= room for way in found)
    assert found[0].told == "--ring 8" and found[0].arranged.ranks == 8
    most = longest_row(longva, load, arranged, room)
    assert peak(longva, replace(load, length=most), arranged).total_bytes <= room
    assert peak(longva, replace(load, length=most + 1), arranged).total_bytes > room
    assert longest_row(longva, load, Arrangement(hold="whole"), GIB) == 0
    assert ways(longva, lambda _: load, Arrangement(hold="whole"), GIB) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ring", "3"), "multiple of ring"),
        (("--device-memory", "much"), "is no size"),
        (("--attending", "ulysses"), "cannot be dealt out to 8 ranks"),
        (("--kind", "align"), "there is no such key"),
        (("--set", "stages.0.length=1"), "at least 2 tokens"),
        (("--model", "no-such-folder"), "no-such-folder"),
    ],
)
def test_refusals(cli: Cli, qwen2: str, options: tuple[str, ...], told: str) -> None:
    given = ("plan", "train", str(PAPER / "text.toml"), "--ranks", "8", "--model", qwen2, *options)
    status, out, err = cli(*given)
    assert status != 0 and out == "" and ONE_LINE.fullmatch(err) and told in err


def test_attention_that_ranks_do_not_do_together_is_refused_where_they_would(cli: Cli, tmp_path: Path) -> None:
    windowed = {**QWEN2_7B, "use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0}
    (tmp_path / "config.json").write_text(json.dumps(windowed))
    asked = ("plan", "train", str(PAPER / "text.toml"), "--model", str(tmp_path), "--ranks")
    status, _, err = cli(*asked, "8")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status and ONE_LINE.fullmatch(err)
    assert "a sliding window of 4,096" in err and "--ring 1" in err
    (stage,) = cli.json(*asked, "1", "--ring", "1", "--device-memory", "2GiB")["stages"]
    assert stage["ways"] == [], "no longer ring is told of"


def test_folder_that_is_no_model(cli: Cli, tmp_path: Path) -> None:
    """Neither a family nor a decoder of transformers."""
    config: dict[str, Any] = {"model_type": "bert", "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    status, _, err = cli("plan", "train", str(PAPER / "text.toml"), "--model", str(tmp_path), "--ranks", "8")
    assert status == ErrorCode.MODEL_BAD_CHECKPOINT.value.exit_status and ONE_LINE.fullmatch(err)


def test_two_words_name_a_command_and_a_video_may_be_called_train(
    cli: Cli, bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan train` is a command of its own; the video ./train is planned all the same."""
    (tmp_path / "train").symlink_to(bunny)
    monkeypatch.chdir(tmp_path)
    assert cli.json("plan", "./train", "--frames", "8", "--device-memory", "8GiB")["files"][0]["frames"] == 8
    status, _, err = cli("plan", "train")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert "no RECIPE" in err and "./train" in err
    status, out, _ = cli("plan", "train", "--help")
    assert status == 0 and "RECIPE" in out
