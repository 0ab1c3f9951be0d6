"""`longtake plan`, and what `ask` heeds of it: tokens and bytes before anything is loaded, and how many frames fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tiny
from longtake.costs import KINDS, STAGES
from longtake.costs import rates as kept
from longtake.costs.outlining import outline_of
from longtake.errors import ErrorCode
from released import RECIPES
from running import ONE_LINE, Cli

QUESTION = "What number is on the red star?"
RATES = {"start": 3.0, "process": 4e8, "calls": 4e-6, "move": 1.5e-10, "fresh": 4e-10} | {
    f"{kind} {dtype}": rate
    for dtype in ("float32", "bfloat16", "float16")
    for kind, rate in {
        "multiply": 1e-11,
        "multiply small": 1e-11,
        "stream": 5e-11,
        "attend": 1e-11,
        "convolve": 1e-11,
        "curve": 1e-9,
        "load": 2e-9,
    }.items()
}
RATES |= {"load int8": 4e-9}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has been measured, with round numbers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = kept.kept_in()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({kept._key(): RATES}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


def test_object(cli: Cli, bunny: Path) -> None:
    found = cli.json("plan", bunny, "--question", QUESTION, "--frames", "40")
    (file,) = found["files"]
    assert (file["path"], file["frames"], file["visual_tokens"]) == (str(bunny), 40, 160)
    assert set(found["bytes"]) <= set(KINDS)
    assert tuple(found["processor_seconds"]) == STAGES
    assert found["processor_seconds"]["start"] == RATES["start"]
    assert found["memory_bytes"] == sum(found["bytes"].values())
    assert found["memory_bytes"] == max(sum(stage.values()) for stage in found["stages"].values())
    assert found["bytes"]["weights"] == 8_429_568  # nano's, in float32
    assert found["fits_memory"] and found["fits_context"]
    assert found["most_frames"] == 132  # all of the clip


def test_picture_of_it(cli: Cli, bunny: Path) -> None:
    status, out, err = cli("plan", bunny, "--frames", "8")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("model") and "nano in float32" in lines[0]
    bar = lines[-2]
    assert lines[-1].startswith("note: not counted: ")
    assert len(bar) == 60 and bar.count("·") > 50 and "█" in bar


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--layout", "slowfast", "--set", "layout.slow_frames=2"),
        ("--layout", "pool3d"),
        ("--sampler", "middles", "--frames", "5"),
        ("--sampler", "every", "--set", "sampler.seconds=0.5"),
    ],
)
def test_tokens_are_those_of_the_answer(cli: Cli, bunny: Path, options: tuple[str, ...]) -> None:
    planned = cli.json("plan", bunny, "--question", QUESTION, "--max-new-tokens", "1", *options)
    asked = cli.json("ask", bunny, QUESTION, "--max-new-tokens", "1", *options)
    assert planned["tokens"] == asked["tokens"]
    assert planned["files"][0]["parts"] == asked["files"][0]["parts"]


def test_what_is_kept_of_a_position_is_that_of_the_networks() -> None:
    outline = outline_of("nano", device="cpu")
    config = outline.model.engine.language.config  # type: ignore[attr-defined]
    from longtake.costs.rehearsing import Rehearsal

    numbers = Rehearsal(outline.model, outline.made).key_value_numbers
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    assert numbers == 2 * heads * layers * (config.hidden_size // config.num_attention_heads)


def test_fit_memory_takes_as_many_as_fit_and_no_more(cli: Cli, bunny: Path) -> None:
    """Between what 10 and what 100 frames take."""
    few, many = (cli.json("plan", bunny, "--frames", str(count))["memory_bytes"] for count in (10, 100))
    assert few < many
    room = (few + many) // 2
    found = cli.json("plan", bunny, "--fit", f"memory={room}")
    frames = found["files"][0]["frames"]
    assert 10 <= frames < 100
    assert found["memory_bytes"] <= room
    assert cli.json("plan", bunny, "--frames", str(frames + 1))["memory_bytes"] > room
    assert f"{frames} frames fit into" in found["notes"][-1] and any("a store" in note for note in found["notes"])
    assert cli.json("plan", bunny, "--device-memory", str(room))["most_frames"] == frames


def test_fit_time(cli: Cli, bunny: Path) -> None:
    found = cli.json("plan", bunny, "--fit", "time=1h")
    assert found["files"][0]["frames"] == 132
    status, _, err = cli("plan", bunny, "--fit", "time=0.1s")
    assert status == 5 and err.startswith("error[limit.time]: --fit: not one frame fits into 0.1 s")
    assert "smaller model" in err and "int8" not in err  # eight bits save memory, not time


def test_ask_takes_what_fits_and_says_so(cli: Cli, bunny: Path) -> None:
    room = cli.json("plan", bunny, "--frames", "40", "--question", QUESTION)["memory_bytes"]
    planned = cli.json("plan", bunny, "--question", QUESTION, "--fit", f"memory={room}")["files"][0]["frames"]
    found = cli.json("ask", bunny, QUESTION, "--max-new-tokens", "64", "--fit", f"memory={room}")
    assert len(found["files"][0]["frames"]) == planned
    assert found["notes"][-1].startswith(f"{planned} frames fit into ")


def test_ask_refuses_before_any_weight_is_read(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    """The weights file is no such file: were it opened, that would be told."""
    folder = tiny.checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    status, out, err = cli("ask", bunny, QUESTION, "--model", folder, "--device-memory", "300MiB")
    assert (status, out) == (ErrorCode.LIMIT_MEMORY.value.exit_status, "")
    assert ONE_LINE.fullmatch(err) and err.startswith("error[limit.memory]: 8 frames take ")
    assert "0.293 GiB (--device-memory)" in err and "--dtype int8" in err
    assert cli("ask", bunny, QUESTION, "--model", folder)[0] == 4


def test_refusal_advises_what_then_works(cli: Cli, bunny: Path) -> None:
    room = str(cli.json("plan", bunny, "--question", QUESTION, "--frames", "20")["memory_bytes"])
    command = ("ask", bunny, QUESTION, "--device-memory", room)
    _, _, err = cli(*command, "--frames", "130")
    most = int(err.partition("sample at most ")[2].partition(" ")[0])
    assert cli(*command, "--frames", str(most), "--quiet")[0] == 0
    assert cli(*command, "--frames", str(most + 1), "--quiet")[0] == 5
    assert f"--fit memory={room}" in err


@pytest.mark.parametrize("name", ["llava_next vicuna", "llava_onevision", "llava_next_video", "video_llava"])
def test_config_alone(cli: Cli, bunny: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What follows from config.json is the same as with all files; only words are estimated."""
    whole = RECIPES[name].save(tmp_path / "whole")
    capsys.readouterr()  # transformers draws a bar while it saves
    (tmp_path / "alone").mkdir()
    shutil.copy(whole / "config.json", tmp_path / "alone")
    command = ("plan", bunny, "--device", "cpu", "--dtype", "float32", "--frames", "4", "--model")
    known, alone = cli.json(*command, whole), cli.json(*command, tmp_path / "alone")
    assert (
        alone["tokens"]["visual"]
        == known["tokens"]["visual"]
        == cli.json("ask", bunny, QUESTION, *command[2:], whole, "--max-new-tokens", "1")["tokens"]["visual"]
    )
    assert alone["bytes"]["weights"] == known["bytes"]["weights"]
    assert "config.json alone" in alone["notes"][0] and len(alone["notes"]) == len(known["notes"]) + 1


@pytest.mark.parametrize(
    "name", ["lmms-lab/LongVA-7B", "LanguageBind/Video-LLaVA-7B-hf", "llava-hf/LLaVA-NeXT-Video-7B-hf"]
)
def test_published_models_that_are_not_here(
    cli: Cli, bunny: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = cli.json("plan", bunny, "--model", name, "--dtype", "bfloat16", "--device", "cpu", "--frames", "8")
    (row,) = [row for row in cli.json("list", "--models")["models"] if row["name"] == name]
    assert found["bytes"]["weights"] == row["weights_bytes_bfloat16"]
    assert found["files"][0]["visual_tokens"] == 8 * row["tokens_a_frame"]
    assert found["trained_context"] == row["context"]


def test_card_that_is_not_there(cli: Cli) -> None:
    """A two-hour video by LongVA-7B on a card of 80 GiB: so many frames as its context has room for."""
    command = ("plan", "--duration", "2:00:00", "--model", "lmms-lab/LongVA-7B", "--device", "cuda")
    found = cli.json(*command, "--device-memory", "80GiB")
    assert (found["apart"], found["processor_seconds"]) == (True, None)
    assert found["dtype"] == "bfloat16"
    assert "seconds are not told" in " ".join(found["notes"])
    assert 100 < found["most_frames"] <= (224_000 - 64) // 144
    small = cli.json(*command, "--device-memory", "16GiB")
    assert small["most_frames"] < found["most_frames"]


def test_absent_video(cli: Cli) -> None:
    found = cli.json("plan", "--duration", "1:00:00", "--size", "640x360", "--frames", "100")
    assert found["files"][0]["frames"] == 100
    assert "the video is not at hand" in " ".join(found["notes"])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--duration", "soon"),
        ("--duration", "1:00", "--size", "big"),
        ("--duration", "1:00", "--fit", "memory=some"),
        ("--duration", "1:00", "--fit", "joy=3"),
        ("--duration", "1:00", "--device-memory", "much"),
        ("--duration", "1:00", "--fit", "memory=2GiB", "--sampler", "every"),
        ("--duration", "1:00", "--fit", "memory=2GiB", "--frames", "64"),
        ("--duration", "1:00", "--fit", "time=1h", "--set", "sampler.frames=64"),
        ("--duration", "1:00", "--device", "cuda", "--device-memory", "80GiB", "--fit", "time=10min"),
    ],
)
def test_refused_options(cli: Cli, arguments: tuple[str, ...]) -> None:
    status, out, err = cli("plan", *arguments)
    assert (status, out) == (2, "")
    assert ONE_LINE.fullmatch(err)


def test_unknown_model_of_the_hub(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, err = cli("plan", "--duration", "1:00", "--model", "longtake-tests/none")
    assert status == 4 and "--include '*.json'" in err


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", '{"KEY": {"start": 1}}', '{"KEY": null}', '{"KEY": {"start": "x"}}']
)
def test_damaged_calibration_is_measured_anew(content: str, measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured.write_text(content.replace("KEY", kept._key()))
    monkeypatch.setattr(kept, "_measured", lambda threads: RATES)
    assert kept.kept_rates() is None
    assert kept.rates().seconds == RATES
    assert json.loads(measured.read_text())[kept._key()] == RATES
    found = kept.kept_rates()
    assert found is not None and found.seconds == RATES


def test_calibration_that_cannot_be_kept_is_used(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(measured.parent)
    measured.parent.write_text("a file where a folder should be")
    monkeypatch.setattr(kept, "_measured", lambda threads: RATES)
    found = kept.rates()
    assert found.seconds == RATES and "could not be kept" in found.note


def test_failed_measurement_costs_only_the_seconds(
    cli: Cli, bunny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.unlink()

    def fail(threads: int) -> Any:
        raise kept.Unmeasured("no process")

    monkeypatch.setattr(kept, "_measured", fail)
    found = cli.json("plan", bunny, "--frames", "4")
    assert found["processor_seconds"] is None and found["memory_bytes"] > 8_429_568
    assert any("no process" in note for note in found["notes"])


def test_this_machine_is_measured(measured: Path) -> None:
    """The real thing: a process that computes a little of everything."""
    measured.unlink()
    found = kept.rates()
    assert set(RATES) <= set(found.seconds)
    assert found.process_bytes > 100 * 2**20
    again = kept.kept_rates()
    assert again is not None and again.seconds == found.seconds
