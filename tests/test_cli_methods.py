"""`longtake ask` with --method, --reader, --choice and --template: the bundled model on the bundled film."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chat import Chat, refused, said, served
from longtake import demo, parts
from longtake.errors import ErrorCode
from longtake.prompt.templates import TEMPLATES
from running import ONE_LINE, Cli

QUESTION = "What number is on the orange moon?"
MINUTE = ("--start", "0:16:20", "--end", "0:16:40")
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(Chat()) as running:
        yield running


def ask(*more: str | Path) -> tuple[str | Path, ...]:
    return ("ask", demo.FILM, QUESTION, *MINUTE, *more)


@pytest.mark.parametrize("method", [name for name in parts.names("methods") if name != "again"])
def test_nano_by_each_method(cli: Cli, method: str) -> None:
    found = cli.json(*ask("--method", method, "--set", "method.caption_tokens=8"))
    assert found["answer"] == "orange moon 258"
    told = found["method"]
    assert (told["name"], told["reader"]) == (method, "nano")
    assert told["options"]["caption_tokens"] == 8
    (moon,) = (caption for caption in told["captions"] if caption["text"] == "orange moon 258")
    assert moon["start_s"] < 990.6 and moon["end_s"] > 989
    assert set(found["files"][0]["parts"]) == {"layout"}

    status, out, err = cli(*ask("--method", method, "--set", "method.caption_tokens=8"))
    assert (status, out) == (0, "orange moon 258\n")
    cost, closing = err.splitlines()
    assert re.match(r"up to [\d,]+ captions of 20 frames .* tokens for the reader \(nano\)$", cost)
    assert f"{len(told['captions'])} captions read by nano" in closing
    assert cli(*ask("--method", method, "--set", "method.caption_tokens=8", "--quiet")) == (0, out, "")


def test_reader_at_an_address(cli: Cli, chat: Chat) -> None:
    chat.reply = lambda text: "It is 258, at 0:16:28."
    reader = f"{chat.url}#some/model"
    command = ask("--method", "captions", "--reader", reader, "--max-new-tokens", "9")
    found = cli.json(*command)
    assert (found["answer"], found["model"], found["method"]["reader"]) == ("It is 258, at 0:16:28.", "nano", reader)
    assert [caption["text"] for caption in found["method"]["captions"] if caption["named"]] == ["orange moon 258"]
    assert chat.requests[0]["model"] == "some/model" and chat.requests[0]["max_tokens"] == 9
    assert chat.keys == [f"Bearer {KEY}"] * 2
    status, out, err = cli(*command)
    assert (status, out) == (0, "It is 258, at 0:16:28.\n")
    assert "named: 0:16:28" in err and KEY not in err


def test_reader_that_is_not_there_is_told_before_anything_is_put_in_words(cli: Cli, chat: Chat) -> None:
    chat.models = refused(401, f"no such key: {KEY}")
    status, out, err = cli(*ask("--method", "captions", "--reader", f"{chat.url}#m"))
    assert (status, out) == (6, "")
    assert ONE_LINE.fullmatch(err) and err.startswith("error[network.refused]: http://127.0.0.1:")
    assert KEY not in err and not chat.texts


def test_second_model_reads(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "another").symlink_to(Path(demo.FILM).parents[1] / "nano")
    found = cli.json(*ask("--method", "captions", "--reader", tmp_path / "another"))
    assert (found["answer"], found["model"]) == ("orange moon 258", "nano")
    assert found["method"]["reader"] == str(tmp_path / "another")


def test_choice_by_the_model(cli: Cli) -> None:
    choices = ("--choice", "417", "--choice", "258", "--choice", "33", "--choice", "900")
    found = cli.json(*ask(*choices))
    assert found["answer"] == "258"
    assert [(one["letter"], one["text"]) for one in found["choices"]] == [
        ("A", "417"),
        ("B", "258"),
        ("C", "33"),
        ("D", "900"),
    ]
    chances = [one["probability"] for one in found["choices"]]
    assert sum(chances) == pytest.approx(1) and max(chances) == chances[1] > 0.5
    status, out, err = cli(*ask(*choices))
    assert (status, out) == (0, "258\n")
    assert f"(B) {100 * chances[1]:.1f} %" in err


def test_choice_by_a_method(cli: Cli, chat: Chat) -> None:
    found = cli.json(*ask("--method", "captions", "--choice", "258", "--choice", "417"))
    assert sum(one["probability"] for one in found["choices"]) == pytest.approx(1)
    assert found["answer"] in ("258", "417")
    chat.script = [said("(B)")]
    found = cli.json(*ask("--method", "captions", "--reader", f"{chat.url}#m", "--choice", "417", "--choice", "258"))
    assert found["answer"] == "258"
    assert [one["probability"] for one in found["choices"]] == [None, None]
    assert chat.texts[0].endswith("Options:\n(A) 417\n(B) 258\nAnswer with the letter of the best option alone.")


def test_template(cli: Cli) -> None:
    own, vicuna = cli.json(*ask()), cli.json(*ask("--template", "vicuna"))
    assert vicuna["tokens"]["visual"] == own["tokens"]["visual"]
    assert vicuna["tokens"]["text"] > own["tokens"]["text"]
    assert cli.json(*ask("--template", "chatml"))["tokens"]["text"] > own["tokens"]["text"]


def test_list_shows_methods_and_templates(cli: Cli) -> None:
    listed = cli.json("list")
    assert [row["name"] for row in listed["methods"]] == ["again", "captions", "tree"]
    assert [row["name"] for row in listed["templates"]] == list(TEMPLATES)
    _, out, _ = cli("list")
    assert "methods (--method)" in out and "LLoVi" in out and "VideoTree" in out
    assert f"templates (--template)\n  {', '.join(TEMPLATES)}\n" in out


@pytest.mark.parametrize(
    ("code", "arguments", "line"),
    [
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "caption"], "caption: is none of the methods"),
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "captions", "--set", "method.clips=2"], "method.clips: there is no"),
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "tree", "--set", "method.depth=9"], "method: relevant is 4"),
        (ErrorCode.USAGE_BAD_OPTION, ["--set", "method.clip_s=2"], "--set method: only a --method has one"),
        (ErrorCode.USAGE_BAD_OPTION, ["--reader", "nano"], "--reader: only a --method has one"),
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "tree", "--frames", "8"], "--frames: --method tree picks frames"),
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "tree", "--sampler", "every"], "--sampler: --method tree picks"),
        (
            ErrorCode.USAGE_BAD_OPTION,
            ["--method", "captions", "--reader", "http://x/v1"],
            "http://x/v1: is not written",
        ),
        (ErrorCode.MODEL_NOT_FOUND, ["--method", "captions", "--reader", "nobody's"], "nobody's: "),
        (ErrorCode.USAGE_BAD_OPTION, ["--choice", "one"], "choices: 1 given"),
        (ErrorCode.USAGE_BLANK_QUESTION, ["--choice", "one", "--choice", " "], "choice B: "),
        (ErrorCode.USAGE_BAD_OPTION, ["--method", "captions", "--choice", "one"], "choices: 1 given"),
        (ErrorCode.USAGE_BAD_OPTION, ["--template", "vicunna"], "template vicunna: there is no such template"),
        (ErrorCode.USAGE_BAD_OPTION, ["--template", "gemma"], "template gemma: this model's tokenizer has no"),
        (
            ErrorCode.LIMIT_CONTEXT,
            ["--method", "captions", "--set", "method.caption_tokens=4000"],
            "nano: the captions may make",
        ),
    ],
)
def test_refusals(cli: Cli, code: ErrorCode, arguments: Sequence[str], line: str) -> None:
    status, out, err = cli(*ask(*arguments))
    assert (status, out) == (code.value.exit_status, "")
    assert err.startswith(f"error[{code.value.code}]: {line}")
    assert ONE_LINE.fullmatch(err)


def test_option_of_a_method_where_there_is_none(cli: Cli, tmp_path: Path) -> None:
    status, _, err = cli("frames", demo.FILM, "-o", tmp_path / "s.png", "--set", "method.clip_s=1")
    assert (status, "PART one of sampler " in err) == (2, True)
