"""`longtake chat`: questions from a pipe and from a terminal, real files, a tiny random model."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import longtake
import tiny
from longtake.cli.output import shown
from longtake.conversation import Conversation
from longtake.engines import GenerateOptions
from media import numbered
from running import LONGTAKE, Cli

QUESTIONS = ("what number is on the red star?", "what is blue?")
FEW = GenerateOptions(max_new_tokens=5)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    tiny.checkpoint(home / "model")
    numbered.write(home / "film.mp4")
    return home


@pytest.fixture(scope="module")
def said(home: Path) -> list[tuple[str, str]]:
    """What the model says to both questions, one after the other, and to the second by itself: as it comes, and whole.

    The two differ where a random model says bytes that are no text.
    """
    model = longtake.load(str(home / "model"), device="cpu")
    talk = Conversation(model, longtake.watch(model, longtake.open_video(home / "film.mp4")))
    answers = list[tuple[str, str]]()
    for question in (*QUESTIONS, QUESTIONS[1]):
        if len(answers) == len(QUESTIONS):
            talk.new()
        heard = list[str]()
        text = talk.ask(question, FEW, on_text=heard.append).text
        answers.append(("".join(heard), text))
    return answers


def talk(home: Path, *more: str) -> list[str | Path]:
    return ["chat", home / "film.mp4", "--model", home / "model", "--max-new-tokens", "5", *more]


def piped(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_questions_from_a_pipe(
    cli: Cli, home: Path, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, QUESTIONS[0], "", f"  {QUESTIONS[1]} ", "/new", QUESTIONS[1])
    status, out, err = cli(*talk(home))
    assert (status, out) == (0, "".join(f"{shown(heard)}\n" for heard, _ in said))
    lines = err.splitlines()
    assert lines[0].startswith("watched 8 frames in ") and lines[0].endswith("; ask, or type /help")
    assert [line.partition(" of ")[2].partition(" tokens")[0] for line in lines if " tokens; " in line] == ["256"] * 3
    assert "what was said is forgotten" in lines and err.count("the answer was cut after 5 tokens") == 3
    piped(monkeypatch, QUESTIONS[0], "/quit", QUESTIONS[1])
    assert cli(*talk(home, "--quiet")) == (0, f"{shown(said[0][0])}\n", "")


def test_one_object_a_line(cli: Cli, home: Path, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, *QUESTIONS, "red " * 300, "/odd", "/help", "/new", QUESTIONS[1])
    status, out, err = cli(*talk(home, "--json"))
    *lines, last = out.split("\n{\n", 1)[0].splitlines(), out.split("\n{\n", 1)[1]
    watched, first, second, full, odd, third = (json.loads(line) for line in lines[0])
    assert (status, err) == (8, "") and json.loads("{" + last)["error"]["code"] == "partial.failed"
    assert [frame["number"] for frame in watched["watched"][0]["frames"]] == [0, 8, 16, 25, 33, 42, 50, 59]
    assert [answer["answer"] for answer in (first, second, third)] == [text for _, text in said]
    assert (first["question"], first["tokens"]["new"], "files" in first) == (QUESTIONS[0], 5, False)
    assert full["error"]["code"] == "limit.context" and "the conversation is full" in full["error"]["reason"]
    assert (odd["error"]["code"], odd["error"]["subject"]) == ("usage.bad_option", "/odd")


def test_what_cannot_be_watched_ends_it(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, QUESTIONS[0])
    status, out, err = cli(*talk(home, "--start", "1:00:00"))
    assert (status, out) == (2, "") and err.startswith("error[usage.bad_span]: ")
    status, out, err = cli(*talk(home, "--max-new-tokens", "0"))
    assert (status, out) == (2, "") and err.startswith("error[usage.bad_option]: ")


def test_what_is_no_text_is_refused_and_the_next_answered(home: Path, said: list[tuple[str, str]]) -> None:
    command = [*LONGTAKE, *map(str, talk(home)), "--quiet"]
    done = subprocess.run(command, input=b"\xff?\n" + QUESTIONS[0].encode(), capture_output=True, check=False)
    assert done.returncode == 8 and done.stdout.decode() == f"{shown(said[0][0])}\n"
    first, last = done.stderr.decode().splitlines()
    assert first.startswith("error[usage.bad_text]: ") and last.startswith("error[partial.failed]: 1 of 2 questions ")


def test_on_a_terminal_ctrl_c_stops_the_answer_and_not_the_chat(home: Path) -> None:
    """An answer of 60,000 tokens is stopped in its first words; then another question, and Ctrl-D."""
    terminal, its_end = pty.openpty()
    endless = ("--max-new-tokens", "60000", "--beyond-trained-context")
    command = [*LONGTAKE, *map(str, talk(home)[:4]), *endless]
    process = subprocess.Popen(
        command, stdin=its_end, stdout=its_end, stderr=its_end, env={**os.environ, "TERM": "dumb"}
    )
    os.close(its_end)
    seen = b""

    def until(wanted: bytes) -> None:
        nonlocal seen
        while wanted not in seen:
            piece = os.read(terminal, 4096)
            assert piece, seen
            seen += piece
        seen = seen.partition(wanted)[2]

    try:
        until(b"> ")
        for question in QUESTIONS:
            os.write(terminal, f"{question}\n".encode())
            until(question.encode() + b"\r\n")
            while len(seen) < 20:
                seen += os.read(terminal, 4096)
            process.send_signal(signal.SIGINT)
            until(b"stopped; question and answer are forgotten")
            until(b"> ")
        # Between the prompt and the moment when keys are waited for, Python only notes a signal: nobody is that quick.
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            if select.select([terminal], [], [], 1.0)[0]:
                break
        until(b"Ctrl-D or /quit ends")
        until(b"> ")
        os.write(terminal, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
