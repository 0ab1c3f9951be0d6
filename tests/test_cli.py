"""The command line: real files, the real `main`, and real processes where a process proves something more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from longtake import parts
from running import LONGTAKE, ONE_LINE, Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the test, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 with one second of silence and no picture."""
    path = tmp_path_factory.mktemp("media") / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for number in range(47):
            frame.pts = number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory, bunny: Path, sound: Path) -> dict[str, Path]:
    """Files that no answer can be had from, by the code that says why."""
    folder = tmp_path_factory.mktemp("damaged")
    whole = bunny.read_bytes()
    contents = {
        "media.empty": b"",
        "media.unknown_format": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "media.container": whole[: len(whole) * 6 // 10],
    }
    found = {"media.not_found": folder / "nothing here.mp4", "media.not_a_file": folder, "media.no_video": sound}
    for code, content in contents.items():
        found[code] = folder / f"{code}.mp4"
        found[code].write_bytes(content)
    return found


DAMAGES = [
    "media.not_found",
    "media.not_a_file",
    "media.empty",
    "media.unknown_format",
    "media.container",
    "media.no_video",
]


@pytest.mark.parametrize("code", DAMAGES)
@pytest.mark.parametrize("command", ["ask", "info", "frames"])
def test_bad_media_is_one_line_and_status_3(
    cli: Cli, damaged: dict[str, Path], command: str, code: str, tmp_path: Path
) -> None:
    rest = {"ask": ["What is this?"], "info": [], "frames": ["-o", tmp_path / "sheet.png"]}[command]
    status, out, err = cli(command, damaged[code], *rest)
    assert (status, out) == (3, "")
    assert err.startswith(f"error[{code}]: {damaged[code]}: ")
    assert ONE_LINE.fullmatch(err)
    assert not (tmp_path / "sheet.png").exists()


def test_refusal_as_an_object(cli: Cli, damaged: dict[str, Path]) -> None:
    path = damaged["media.not_found"]
    status, out, err = cli("info", path, "--json")
    assert (status, err) == (3, "")
    error = json.loads(out)["error"]
    assert error["code"] == "media.not_found"
    assert error["exit_status"] == 3
    assert error["subject"] == str(path)
    assert set(error) == {"code", "exit_status", "subject", "reason", "advice"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask"], "Missing argument 'FILE... QUESTION'"),
        (["ask", "What?"], "Missing argument 'FILE...'"),
        (["ask", "BUNNY"], "is a file, and no question follows it"),
        (["ask", "BUNNY", "BUNNY"], "is a file, and no question follows it"),
        (["ask", "BUNNY", "What?", "--frames", "many"], "'--frames'"),
        (["ask", "BUNNY", "What?", "--frames", "0"], "'--frames'"),
        (["ask", "BUNNY", "What?", "--no-such-option"], "--no-such-option"),
        (["watch-it"], "watch-it"),
        (["frames", "BUNNY"], "--output"),
        (["frames", "BUNNY", "-o", "sheet.txt"], "sheet.txt: its ending names no kind of picture"),
        (["frames", "BUNNY", "-o", "sheet.psd"], "sheet.psd: its ending names no kind of picture"),
        (["frames", "BUNNY", "-o", "s.png", "-n", "4", "--set", "sampler.frames=8"], "give one of the two"),
        (["frames", "BUNNY", "-o", "s.png", "--sampler", "every", "--set", "sampler.seconds=1e-9"], "want 1e-06 to"),
        (["frames", "BUNNY", "-o", "s.png", "--sampler", "..:X"], "cannot be imported"),
        (["frames", "BUNNY", "-o", "s.png", "--sampler", "longtake.layouts.grid:Grid"], "it has no pick"),
        (["ask", "BUNNY", "What?", "--device", "meta"], "there is no such device here"),
        (["frames", "BUNNY", "-o", "s.png", "--sampler", "unifrom"], "take one of distinct, every, middles, uniform"),
        (["frames", "BUNNY", "-o", "s.png", "--set", "sampler.frame=4"], "there are sampler.frames"),
        (["frames", "BUNNY", "-o", "s.png", "--set", "sampler.frames=x"], "give a whole number"),
        (["frames", "BUNNY", "-o", "s.png", "--set", "frames=4"], "write it like --set sampler.seconds=2"),
        (["frames", "BUNNY", "-o", "s.png", "--set", "vision.side=4"], "PART one of sampler "),
        (["ask", "BUNNY", "What?", "--set", "vision.side=4"], "PART one of sampler, layout, rope, method "),
        (["ask", "BUNNY", "What?", "--set", "frames=4"], "write it like --set layout.slow_frames=8"),
    ],
)
def test_bad_options_are_one_line_and_status_2(
    cli: Cli, bunny: Path, arguments: Sequence[str], says: str, empty_folder: Path
) -> None:
    status, out, err = cli(*(str(bunny) if argument == "BUNNY" else argument for argument in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("error[usage.bad_option]: ")
    assert says in err
    assert ONE_LINE.fullmatch(err)
    assert list(empty_folder.iterdir()) == []


def test_json_after_two_dashes_is_a_question(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli("ask", tmp_path / "absent.mp4", "--", "--json")
    assert (status, out) == (3, "")
    assert ONE_LINE.fullmatch(err)


@pytest.mark.parametrize("start", ["9" * 400 + ":00", "9" * 5000 + ":00", "9" * 400])
def test_times_of_no_video(cli: Cli, bunny: Path, start: str, tmp_path: Path) -> None:
    status, out, err = cli("frames", bunny, "-o", tmp_path / "s.png", "--start", start)
    assert (status, out) == (2, "")
    assert err.startswith("error[usage.bad_span]: ")


def test_a_lost_remark_spoils_no_result(bunny: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*LONGTAKE, "frames", bunny, "-n", "2", "-o", tmp_path / "s.png"], stderr=full)
    assert done.returncode == 0
    assert (tmp_path / "s.png").exists()


def test_info_keeps_a_name_on_one_line(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    name = tmp_path / "two\nlines.mp4"
    name.symlink_to(bunny)
    status, out, _ = cli("info", name)
    assert status == 0
    assert "two\\nlines.mp4" in out.splitlines()[0]


def test_bad_option_as_an_object(cli: Cli) -> None:
    status, out, err = cli("info", "--json", "--no-such-option")
    assert (status, err) == (2, "")
    assert json.loads(out)["error"]["code"] == "usage.bad_option"


@pytest.mark.parametrize(
    "span", [("--start", "9"), ("--end", "0"), ("--start", "3", "--end", "2"), ("--start", "soon")]
)
def test_span_without_a_frame(cli: Cli, bunny: Path, span: Sequence[str], tmp_path: Path) -> None:
    status, _, err = cli("frames", bunny, "-o", tmp_path / "sheet.png", *span)
    assert status == 2
    assert err.startswith("error[usage.bad_span]: ")


def test_help_and_version(cli: Cli) -> None:
    status, out, err = cli()
    assert (status, err) == (0, "")
    assert all(command in out for command in ("ask", "info", "frames", "list", "doctor", "demo", "train"))
    assert cli("--version") == (0, "longtake 0.1.0\n", "")
    assert cli("ask", "--help")[0] == 0


def test_info(cli: Cli, bunny: Path) -> None:
    status, out, err = cli("info", bunny)
    assert (status, err) == (0, "")
    assert "1280" in out and "720" in out and "132" in out
    found = cli.json("info", bunny)
    assert found["frames"] == 132


def test_frames_draws_what_is_asked_for(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    status, out, err = cli("frames", bunny, "-o", sheet, "--frames", "6", "--start", "1", "--end", "0:00:03")
    assert (status, out) == (0, "")
    assert err == f"6 frames from 1.000 s to 2.960 s in {sheet}\n"
    with Image.open(sheet) as few:
        small = few.size
    assert cli("frames", bunny, "-o", sheet, "--frames", "40", "--quiet") == (0, "", "")
    with Image.open(sheet) as many:
        assert many.width > small[0]
        assert many.height > small[1]


def test_list_names_every_part(cli: Cli) -> None:
    found = cli.json("list")
    assert found.pop("templates")
    assert {room: [part["name"] for part in members] for room, members in found.items()} == {
        room: parts.names(room) for room in parts.ROOMS_WITH_PARTS
    }
    status, out, _ = cli("list")
    assert status == 0
    assert all(part["summary"] in out for members in found.values() for part in members)


def test_doctor_finds_this_machine_well(cli: Cli) -> None:
    found = cli.json("doctor")
    assert found["ok"] is True
    subjects = {finding["subject"] for finding in found["findings"]}
    assert {"python", "torch", "av", "devices", "decoders", "weights of nano", "demo film"} <= subjects
    status, out, err = cli("doctor")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "ok"


def test_name_that_is_not_utf_8(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"-caf\xe9 \xff\n.mp4")
    done = subprocess.run([*LONGTAKE, "info", name], capture_output=True)
    assert done.returncode == 3
    shown = rb"-caf\udce9 \udcff\n.mp4"
    assert done.stderr.startswith(b"error[media.not_found]: " + os.fsencode(tmp_path) + b"/" + shown + b": ")
    assert done.stderr.count(b"\n") == 1
    os.symlink(bunny, name)
    assert cli("info", os.fsdecode(name))[0] == 0
    assert cli.json("info", os.fsdecode(name))["path"] == os.fsdecode(name)


def test_unwritable_place_is_status_7(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    output = tmp_path / "no folder" / "sheet.png"
    status, _, err = cli("frames", bunny, "-o", output, "--frames", "2", "--quiet")
    assert status == 7
    assert err.startswith(f"error[disk.write]: {output}: No such file or directory (")


@pytest.mark.parametrize("arguments", [["info", "BUNNY"], ["ask", "--help"]])
def test_full_output_is_status_7(bunny: Path, arguments: Sequence[str]) -> None:
    given = [str(bunny) if argument == "BUNNY" else argument for argument in arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*LONGTAKE, *given], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 7
    assert done.stderr.startswith("error[disk.write]: standard output: No space left on device (")
    assert ONE_LINE.fullmatch(done.stderr)


def test_closed_output_is_status_7(bunny: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *LONGTAKE, "info", str(bunny)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 7
    assert done.stderr.startswith("error[disk.write]: standard output: is closed (")


@pytest.mark.parametrize("arguments", [["info", "BUNNY"], ["--help"]])
def test_closed_pipe_is_silent(bunny: Path, arguments: Sequence[str]) -> None:
    given = [str(bunny) if argument == "BUNNY" else argument for argument in arguments]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*LONGTAKE, *given], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


BROKEN_SAMPLER = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Broken:
    def pick(self, video, question):
        raise ZeroDivisionError("two\\nlines")
"""


def test_bug_is_one_line_unless_asked(
    cli: Cli, bunny: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "somebodys_broken_sampler.py").write_text(BROKEN_SAMPLER)
    monkeypatch.syspath_prepend(str(empty_folder))
    command = ("frames", bunny, "-o", "sheet.png", "--sampler", "somebodys_broken_sampler:Broken")
    status, out, err = cli(*command)
    assert (status, out) == (70, "")
    assert err.startswith(r"error[internal.bug]: ZeroDivisionError: two\nlines (please report it")
    assert ONE_LINE.fullmatch(err)
    monkeypatch.setenv("LONGTAKE_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in cli(*command)[2]


@pytest.mark.parametrize("arguments", [["--help"], ["info", "BUNNY"], ["frames", "BUNNY", "-o", "SHEET"]])
def test_torch_stays_out_of_what_needs_none(bunny: Path, tmp_path: Path, arguments: Sequence[str]) -> None:
    names = {"BUNNY": str(bunny), "SHEET": str(tmp_path / "sheet.png")}
    given = [names.get(argument, argument) for argument in arguments]
    command = [sys.executable, "-X", "importtime", "-m", "longtake", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "longtake.cli.app" in imported
    assert {"torch", "transformers"} & imported == set()


def test_ctrl_c_while_torch_is_imported(bunny: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "longtake", "ask", str(bunny), "What?"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rpartition("|")[2].strip().startswith("torch."):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    told = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert told == ["error[interrupted]: stopped by Ctrl-C (run the same command again to start over)"]


def test_frames_takes_options_of_the_sampler_alone(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    status, _, err = cli("frames", bunny, "-o", tmp_path / "sheet.png", "--set", "layout.slow_frames=8")
    assert (
        status == 2
        and err
        == (
            "error[usage.bad_option]: --set layout.slow_frames=8: is not PART.OPTION=VALUE with PART one of sampler "
            "(write it like --set sampler.seconds=2)\n"
        )
        and not (tmp_path / "sheet.png").exists()
    )
