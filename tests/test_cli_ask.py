"""`longtake ask`: a tiny random model on real footage; what it says means nothing, all else does."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import longtake
import tiny
from longtake.cli.output import shown
from longtake.errors import ErrorCode
from running import LONGTAKE, ONE_LINE, Cli

QUESTION = "What number is on the red star?"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


def test_object(cli: Cli, bunny: Path, model: str) -> None:
    command = ("ask", bunny, QUESTION, "--model", model, "--frames", "4", "--max-new-tokens", "1")
    found = cli.json(*command)
    assert list(found) == [
        "answer",
        "choices",
        "method",
        "evidence",
        "files",
        "degraded",
        "tokens",
        "seconds",
        "peak_memory_bytes",
        "peak_device_memory_bytes",
        "model",
        "beyond_trained_context",
        "notes",
    ]
    assert (found["choices"], found["method"]) == (None, None)
    (file,) = found["files"]
    facts = ("path", "still", "frames", "asked_frames", "kept_frames", "candidates", "degraded", "lost_s")
    facts += ("visual_tokens", "parts")
    assert tuple(file) == facts
    assert (file["path"], file["still"]) == (str(bunny), False)
    assert [frame["number"] for frame in file["frames"]] == [0, 43, 87, 131]
    assert [frame["time_s"] for frame in file["frames"]] == pytest.approx([0, 1.72, 3.48, 5.24])
    assert found["model"] == model
    assert file["parts"] == {
        "sampler": {"name": "uniform", "options": {"frames": 4}},
        "layout": {"name": "grid", "options": {"pool": 2, "mode": "average"}},
    }
    assert set(found["seconds"]) == {"read", "encode", "prefill", "generate", "evidence"}
    assert found["tokens"]["new"] == 1
    assert found["peak_memory_bytes"] > 2**20

    status, out, err = cli(*command)
    assert (status, out) == (0, shown(found["answer"]) + "\n")
    visual, text, new = (f"{found['tokens'][kind]} {kind}" for kind in ("visual", "text", "new"))
    assert f"; 4 frames; {visual} + {text} + {new} tokens; " in err
    assert err.startswith("rests on ")
    assert err.count("\n") == 1
    assert cli(*command, "--quiet") == (0, out, "")


def test_same_answer_as_from_python(cli: Cli, bunny: Path, model: str) -> None:
    loaded = longtake.load(model)
    watched = longtake.watch(loaded, longtake.open_video(bunny))
    assert cli.json("ask", bunny, QUESTION, "--model", model)["answer"] == longtake.ask(loaded, watched, QUESTION).text


def test_parts_and_options_are_swapped(cli: Cli, bunny: Path, model: str) -> None:
    swapped = ("--sampler", "middles", "--layout", "slowfast", "--frames", "6")
    settings = ("--set", "layout.slow_frames=2", "--set", "layout.fast_width=2", "--set", "layout.fast_height=1")
    found = cli.json("ask", bunny, QUESTION, "--model", model, *swapped, *settings)
    assert found["files"][0]["parts"]["sampler"] == {"name": "middles", "options": {"frames": 6}}
    assert found["files"][0]["parts"]["layout"]["name"] == "slowfast"
    assert (
        found["files"][0]["parts"]["layout"]["options"] | {"slow_frames": 2, "fast_width": 2, "fast_height": 1}
        == (found["files"][0]["parts"]["layout"]["options"])
    )
    own = cli.json("ask", bunny, QUESTION, "--model", model, "--set", "layout.mode=max", "--set", "sampler.frames=3")
    assert own["files"][0]["parts"]["layout"] == {"name": "grid", "options": {"pool": 2, "mode": "max"}}
    assert len(own["files"][0]["frames"]) == 3


def test_stretch(cli: Cli, bunny: Path, model: str) -> None:
    found = cli.json("ask", bunny, QUESTION, "--model", model, "--frames", "5", "--start", "1.5", "--end", "0:00:02.5")
    times_s = [frame["time_s"] for frame in found["files"][0]["frames"]]
    assert len(times_s) == 5
    assert times_s[0] == pytest.approx(1.48)  # on screen until 1.52
    assert times_s[-1] == pytest.approx(2.48)


def test_seed_decides_what_is_drawn(cli: Cli, bunny: Path, model: str) -> None:
    command = ("ask", bunny, QUESTION, "--model", model, "--frames", "2", "--temperature", "2", "--quiet", "--seed")
    first = cli(*command, "1")
    assert cli(*command, "1") == first
    assert cli(*command, "2") != first


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (ErrorCode.USAGE_BLANK_QUESTION, [""]),
        (ErrorCode.USAGE_BLANK_QUESTION, [" \t\u200b\n"]),
        (ErrorCode.USAGE_BLANK_QUESTION, ["\0"]),
        (ErrorCode.USAGE_BAD_TEXT, ["What \udcff?"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--sampler", "unifrom"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--layout", "gird"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--set", "layout.poll=2"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--set", "layout.mode=sum"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--device", "abacus"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--dtype", "int3"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--temperature", "101"]),
        (ErrorCode.USAGE_BAD_OPTION, [QUESTION, "--max-new-tokens", "70000"]),
        (ErrorCode.USAGE_BAD_SPAN, [QUESTION, "--start", "8"]),
        (ErrorCode.MEDIA_NO_VIDEO, [QUESTION, "--stream", "1"]),
        (ErrorCode.MODEL_NOT_FOUND, [QUESTION, "--model", "nobody's"]),
        (ErrorCode.LIMIT_CONTEXT, [QUESTION, "--frames", "100", "--set", "layout.pool=1"]),
        (ErrorCode.LIMIT_CONTEXT, ["red " * 300]),
    ],
)
def test_refusals(cli: Cli, bunny: Path, model: str, code: ErrorCode, arguments: Sequence[str]) -> None:
    status, out, err = cli("ask", bunny, "--model", model, *arguments)
    assert (status, out) == (code.value.exit_status, "")
    assert err.startswith(f"error[{code.value.code}]: ")
    assert ONE_LINE.fullmatch(err)


def test_checkpoint_that_is_not_whole(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    status, out, err = cli("ask", bunny, QUESTION, "--model", folder)
    assert (status, out) == (4, "")
    assert err.startswith(f"error[model.bad_checkpoint]: {weights}: ")


def test_too_many_tokens_are_told_before_anything_is_read(cli: Cli, bunny: Path, model: str) -> None:
    command = ("ask", bunny, QUESTION, "--model", model, "--set", "layout.pool=1", "--frames", "100")
    _, _, err = cli(*command)
    most = int(err.partition("sample at most ")[2].partition(" ")[0])
    assert cli(*command[:-1], str(most), "--quiet")[0] == 0
    assert cli(*command[:-1], str(most + 1), "--quiet")[0] == 5
    found = cli.json(*command, "--beyond-trained-context")
    assert found["beyond_trained_context"] is True
    assert [note for note in found["notes"] if "more than the 256 that this model was trained to read" in note]


FOOTAGE = [
    "av1.mkv",
    "baseball.mp4",
    "basketball.mp4",
    "bigbuckbunny_480p_30s.mp4",
    "h264_10bit.mp4",
    "nasa_two_streams.mp4",
    "rotated_0.mov",
    "rotated_90.mov",
    "rotated_180.mov",
    "rotated_270.mov",
]


@pytest.mark.parametrize("name", FOOTAGE)
def test_real_footage_goes_through(cli: Cli, shared: Path, model: str, name: str, tmp_path: Path) -> None:
    path, sheet = shared / "media" / name, tmp_path / "sheet.png"
    told = cli.json("info", path)
    found = cli.json("ask", path, QUESTION, "--model", model)
    assert len(found["files"][0]["frames"]) == min(8, told["frames"])
    assert cli("frames", path, "-o", sheet, "--frames", "4", "--quiet") == (0, "", "")
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"


def test_footage_that_breaks_off_is_refused(cli: Cli, shared: Path, model: str) -> None:
    path = shared / "media" / "corrupted_midway.mp4"
    status, out, err = cli("ask", path, QUESTION, "--model", model)
    assert (status, out) == (3, "")
    assert err.startswith(f"error[media.corrupt]: {path}: ")
    assert cli("ask", path, QUESTION, "--model", model, "--end", "2.5", "--quiet")[0] == 0


def test_ctrl_c_in_the_middle_of_the_work(bunny: Path, model: str) -> None:
    """On a terminal, where progress is drawn: as soon as some frames are encoded, SIGINT."""
    command = [*LONGTAKE, "ask", str(bunny), QUESTION, "--model", model, "--frames", "132", "--beyond-trained-context"]
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its_end, env={**os.environ, "TERM": "xterm"})
    os.close(its_end)
    shown = b""
    while b"encode" not in shown:
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        assert sys.platform == "linux"  # where reading a terminal without another end says EIO
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in shown
    assert shown.endswith(b"error[interrupted]: stopped by Ctrl-C (run the same command again to start over)\r\n")


def test_a_question_may_be_longer_than_the_name_of_a_file(cli: Cli, bunny: Path) -> None:
    status, out, err = cli("ask", bunny, "What number is on the red star? " * 20, "--frames", "2", "--quiet")
    assert (status, err) == (0, "") and out.strip()


@pytest.mark.parametrize("method", ["captions", "again"])
def test_a_manifest_is_refused_by_the_name_of_the_method(cli: Cli, bunny: Path, method: str) -> None:
    status, _, err = cli("ask", bunny, "What is shown?", "--method", method, "--manifest", "answer.json")
    assert status == 2 and f"--manifest: an answer of --method {method} has no manifest yet" in err
