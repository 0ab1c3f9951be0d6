"""Every code of docs/errors.md comes out of the real command line: as one line, as an object, and as exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import longtake
import tiny
from chat import Chat, Sent, refused, served
from longtake import demo
from longtake.errors import ErrorCode
from longtake.video.options import ReadOptions
from media import numbered
from media.numbered import Coding
from running import LONGTAKE, ONE_LINE, Cli

BY_HAND = {
    ErrorCode.INTERRUPTED: "needs a signal: test_interrupted below",
    ErrorCode.RANKS_LOST: "needs a process that is killed: test_cli_ranks",
}


@dataclass(frozen=True)
class Place:
    """What the commands below may use."""

    folder: Path
    bunny: Path
    patch: pytest.MonkeyPatch
    serving: Callable[[AbstractContextManager[Chat]], Chat]

    def written(self, name: str, data: bytes) -> str:
        """The path of a new file that holds `data`."""
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def ask(self, question: str, *more: str) -> list[str]:
        """`longtake ask` about the bunny."""
        return ["ask", str(self.bunny), question, *more]


def truncated(place: Place) -> list[str]:
    path = numbered.write(place.folder / "w.mp4", Coding(container_options={"movflags": "faststart"}))
    data = path.read_bytes()
    return ["info", place.written("cut.mp4", data[: len(data) * 6 // 10])]


def corrupt(place: Place) -> list[str]:
    path = numbered.write(place.folder / "w.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 800 : start + 3000] = bytes(2200)
    return ["frames", place.written("bad.mp4", data), "-o", str(place.folder / "s.png"), "--frames", "60"]


def unknown_codec(place: Place) -> list[str]:
    data = numbered.write(place.folder / "w.mp4", frames=3).read_bytes()
    return ["info", place.written("odd.mp4", data.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"))]


def without_moov(place: Place) -> list[str]:
    return ["info", place.written("half.mp4", place.bunny.read_bytes()[:300_000])]


def nonfinite(place: Place) -> list[str]:
    """A finite weight, but so large that what it is multiplied with overflows."""
    folder = tiny.checkpoint(place.folder / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("mlp.up_proj.weight"))
    weights[name] = torch.full_like(weights[name], 3e38)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return place.ask("What?", "--model", str(folder), "--frames", "2")


def bad_checkpoint(place: Place) -> list[str]:
    folder = tiny.checkpoint(place.folder / "model")
    (folder / "model.safetensors").unlink()
    return place.ask("What?", "--model", str(folder))


def offline(place: Place) -> list[str]:
    """What HF_HUB_OFFLINE=1 sets when the hub's client is imported; tests/test_hub.py asks a hub in other processes."""
    place.patch.setattr(constants, "HF_HUB_OFFLINE", True)
    return place.ask("What?", "--model", "longtake-tests/none")


def against(chat: Chat) -> Callable[[Place], list[str]]:
    """A reader on a real socket, which is asked as long as the test runs."""

    def asked(place: Place) -> list[str]:
        place.patch.setenv("NO_PROXY", "127.0.0.1")
        place.patch.delenv("OPENAI_API_KEY", raising=False)
        running = place.serving(served(chat))
        short = ("--end", "1", "--set", "method.caption_tokens=4")
        return place.ask("What?", "--method", "captions", "--reader", f"{running.url}#m", *short)

    return asked


def ill_installation(place: Place) -> list[str]:
    """A package whose metadata says that it is older than longtake wants."""
    metadata = place.folder / "typer-0.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: typer\nVersion: 0.1\n")
    place.patch.syspath_prepend(str(place.folder))
    return ["doctor"]


def wrong_answer(place: Place) -> list[str]:
    told = json.loads(demo.QUESTIONS.read_text())
    told["questions"][0]["answer"] = "something else"
    told["look_every_s"] = 900.0
    (place.folder / "questions.json").write_text(json.dumps(told))
    place.patch.setattr(demo, "QUESTIONS", place.folder / "questions.json")
    return ["demo", "--output", str(place.folder / "out"), "--quiet"]


def broken_sampler(place: Place) -> list[str]:
    source = (
        "from dataclasses import dataclass\n\n"
        "@dataclass(frozen=True)\nclass Broken:\n    def pick(self, video, question):\n        return 1 / 0\n"
    )
    place.written("a_broken_sampler.py", source.encode())
    place.patch.syspath_prepend(str(place.folder))
    return ["frames", str(place.bunny), "-o", str(place.folder / "s.png"), "--sampler", "a_broken_sampler:Broken"]


def another_film(place: Place) -> list[str]:
    """A manifest of the bunny, held against a film that shows something else."""
    video = longtake.open_video(place.bunny, options=ReadOptions(hash_pixels=True))
    model = longtake.load(str(tiny.checkpoint(place.folder / "model")))
    answer = longtake.ask(model, longtake.watch(model, video), "What?")
    longtake.manifest_of(model, video, answer).write(place.folder / "m.json")
    film = numbered.write(place.folder / "w.mp4")
    return ["verify", str(place.folder / "m.json"), "--media-only", "--video", str(film), "--quiet"]


def limited(limit: str) -> Callable[[Place], list[str]]:
    return lambda place: ["info", str(place.bunny), "--limit", limit]


CASES: dict[ErrorCode, Callable[[Place], list[str]]] = {
    ErrorCode.USAGE_BLANK_QUESTION: lambda place: place.ask(" \u200b\n"),
    ErrorCode.USAGE_BAD_TEXT: lambda place: place.ask("a lone \ud800 surrogate"),
    ErrorCode.USAGE_BAD_OPTION: lambda place: ["info", str(place.bunny), "--no-such-option"],
    ErrorCode.USAGE_BAD_SPAN: lambda place: place.ask("What?", "--start", "1:00:00"),
    ErrorCode.MEDIA_NOT_FOUND: lambda place: ["info", str(place.folder / "none.mp4")],
    ErrorCode.MEDIA_NOT_A_FILE: lambda place: ["info", str(place.folder)],
    ErrorCode.MEDIA_EMPTY: lambda place: ["info", place.written("zero.mp4", b"")],
    ErrorCode.MEDIA_UNKNOWN_FORMAT: lambda place: ["info", place.written("page.mp4", b"<html>404</html>")],
    ErrorCode.MEDIA_FORMAT_NOT_ALLOWED: lambda place: ["info", place.written("l.mp4", b"#EXTM3U\nother.mp4\n")],
    ErrorCode.MEDIA_CONTAINER: without_moov,
    ErrorCode.MEDIA_NO_VIDEO: lambda place: ["info", str(place.bunny), "--stream", "9"],
    ErrorCode.MEDIA_TRUNCATED: truncated,
    ErrorCode.MEDIA_CORRUPT: corrupt,
    ErrorCode.MEDIA_CODEC: unknown_codec,
    ErrorCode.MEDIA_DECODER_FAILED: lambda place: ["info", str(place.bunny), "--isolate", "--limit", "memory=20M"],
    ErrorCode.DATA_BAD: lambda place: ["train", "text", place.written("a.jsonl", b"{}"), "-o", str(place.folder / "o")],
    ErrorCode.MANIFEST_BAD: lambda place: ["verify", place.written("m.json", b"{}")],
    ErrorCode.MODEL_NOT_FOUND: lambda place: place.ask("What?", "--model", "no-such-model"),
    ErrorCode.MODEL_BAD_CHECKPOINT: bad_checkpoint,
    ErrorCode.MODEL_NONFINITE: nonfinite,
    ErrorCode.LIMIT_MEMORY: lambda place: place.ask("What?", "--device", "cpu=1MiB"),
    ErrorCode.LIMIT_CONTEXT: lambda place: place.ask("What? " * 20000),
    ErrorCode.LIMIT_BYTES: limited("bytes=1M"),
    ErrorCode.LIMIT_PIXELS: limited("pixels=1280"),
    ErrorCode.LIMIT_FRAMES: limited("frames=100"),
    ErrorCode.LIMIT_DURATION: limited("duration=5"),
    ErrorCode.NETWORK_UNREACHABLE: offline,
    ErrorCode.NETWORK_REFUSED: against(Chat(models=refused(401, "no key"))),
    ErrorCode.NETWORK_BAD_REPLY: against(Chat(reply=lambda text: Sent(b"<html>it works</html>"))),
    ErrorCode.DISK_WRITE: lambda place: ["frames", str(place.bunny), "-o", str(place.folder / "none" / "s.png")],
    ErrorCode.ENVIRONMENT_MISSING: ill_installation,
    ErrorCode.VERIFY_DIFFERS: another_film,
    ErrorCode.PARTIAL_FAILED: wrong_answer,
    ErrorCode.INTERNAL_BUG: broken_sampler,
}


def test_no_code_is_forgotten() -> None:
    assert CASES.keys() | BY_HAND.keys() == set(ErrorCode)


@pytest.mark.parametrize("code", CASES, ids=lambda code: code.value.code)
def test_code_on_the_command_line(
    code: ErrorCode, bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as opened:
        command = CASES[code](Place(tmp_path, bunny, monkeypatch, opened.enter_context))
        status, _, err = Cli(capsys)(*command)
    assert status == code.value.exit_status, err
    told = err.splitlines(keepends=True)[-1]
    assert told.startswith(f"error[{code.value.code}]: ")
    assert ONE_LINE.fullmatch(told) and (told == err or "--method" in command)


# The demo has no --json, and that of `doctor` lists its findings.
@pytest.mark.parametrize(
    "code",
    [code for code in CASES if code not in (ErrorCode.PARTIAL_FAILED, ErrorCode.ENVIRONMENT_MISSING)],
    ids=lambda code: code.value.code,
)
def test_code_as_an_object(
    code: ErrorCode, bunny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as opened:
        command = CASES[code](Place(tmp_path, bunny, monkeypatch, opened.enter_context))
        status, out, err = Cli(capsys)(*command, "--json")
    assert (status, err) == (code.value.exit_status, "")
    told = json.loads(out)["error"]
    assert (told["code"], told["exit_status"]) == (code.value.code, code.value.exit_status)
    assert told["reason"] and told["advice"]


def _wait_until_it_opens_files(process: subprocess.Popen[str]) -> None:
    """Before its own code runs, Ctrl-C is Python's. What it has loaded tells how far it is; elsewhere, a second."""
    maps, deadline_s = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 60
    if not maps.exists():
        time.sleep(1)
    while maps.exists() and "libavformat" not in maps.read_text() and time.monotonic() < deadline_s:
        time.sleep(0.02)


def test_interrupted(bunny: Path) -> None:
    """Ctrl-C while a question is being answered."""
    command = [*LONGTAKE, "ask", str(bunny), "What?", "--frames", "132", "--beyond-trained-context"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_until_it_opens_files(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("error[interrupted]: ") and ONE_LINE.fullmatch(err)
