"""`longtake ask --questions` and `--kv`: many questions on one reading, and how that is kept."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import longtake
import tiny
from longtake.cli.asking import keeping
from longtake.cli.output import shown
from longtake.engines import GenerateOptions, Keeping
from longtake.errors import ErrorCode, LongtakeError
from running import ONE_LINE, Cli

QUESTIONS = ["What number is on the red star?", "Which colour?", "Is there a bunny, and what does it do all day long?"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def asking(bunny: Path, model: str, tmp_path: Path) -> Path:
    """A folder with a video, a model, and no questions yet."""
    (tmp_path / "bunny.mp4").symlink_to(bunny)
    (tmp_path / "model").symlink_to(model)
    return tmp_path


def test_each_gets_the_answer_that_it_gets_alone(cli: Cli, bunny: Path, model: str, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_bytes("\ufeff{}\r\n\r\n  {}  \n \t\n{}".format(*QUESTIONS).encode())
    told = ("--model", model, "--frames", "4", "--max-new-tokens", "6")
    status, out, err = cli("ask", bunny, "--questions", file, *told, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [each["question"] for each in found] == QUESTIONS
    alone = [cli.json("ask", bunny, question, *told) for question in QUESTIONS]
    for one, other in zip(found, alone, strict=True):
        assert set(one) == {"question", *other}
        for fact in ("answer", "tokens", "files", "notes"):
            assert one[fact] == other[fact]
    status, out, err = cli("ask", bunny, "--questions", file, *told)
    answers = [shown(each["answer"]) for each in found]
    assert out == "\n".join(f"{question}\n{answer}\n" for question, answer in zip(QUESTIONS, answers, strict=True))
    assert err.startswith("3 questions; 4 frames; ") and err.count("\n") == 1
    new, text = (sum(each["tokens"][kind] for each in alone) for kind in ("new", "text"))
    assert f"{found[0]['tokens']['visual']} visual + {text} text + {new} new tokens" in err
    assert cli("ask", bunny, "--questions", file, *told, "--quiet") == (0, out, "")


def test_from_standard_input(cli: Cli, bunny: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"What?\nWhere?\n")))
    status, out, _ = cli("ask", bunny, bunny, "--questions", "-", "--model", model, "--frames", "2", "--json")
    assert status == 0
    found = json.loads(out)
    assert [(each["question"], len(each["files"])) for each in found] == [("What?", 2), ("Where?", 2)]


@pytest.mark.parametrize(
    ("code", "content", "more"),
    [
        (ErrorCode.USAGE_BLANK_QUESTION, b"\n  \n", []),
        (ErrorCode.USAGE_BLANK_QUESTION, b"What?\n\0\n", []),
        (ErrorCode.USAGE_BAD_TEXT, b"What?\n\xff\xfe", []),
        (ErrorCode.USAGE_BAD_OPTION, None, []),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--choice", "a", "--choice", "b"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--method", "captions"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--look-again"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--evidence", "sheet.png"]),
        (ErrorCode.LIMIT_MEMORY, b"What?", ["--device-memory", "1MiB"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--fit", "memory=2GiB"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--reader", "nano"]),
        (ErrorCode.USAGE_BAD_OPTION, b"What?", ["--kv", "int4"]),
        (ErrorCode.MEDIA_NOT_FOUND, b"What?", ["What is a second word?"]),
    ],
)
def test_refusals(asking: Path, cli: Cli, code: ErrorCode, content: bytes | None, more: list[str]) -> None:
    bunny, model, file = (asking / name for name in ("bunny.mp4", "model", "questions.txt"))
    if content is not None:
        file.write_bytes(content)
    status, out, err = cli("ask", bunny, *more, "--questions", file, "--model", model, "--frames", "2")
    assert (status, out) == (code.value.exit_status, "")
    assert ONE_LINE.fullmatch(err) and err.startswith(f"error[{code.value.code}]")


def test_a_folder_holds_no_questions(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    status, _, err = cli("ask", bunny, "--questions", tmp_path)
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status
    assert str(tmp_path) in err and "Is a directory" in err


def test_as_many_frames_as_fit(cli: Cli, bunny: Path, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("What?\nWhere?\n", encoding="utf-8")
    told = ("ask", bunny, "--questions", file, "--max-new-tokens", "2")
    status, out, err = cli(*told, "--fit", "memory=2GiB", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    frames = len(found[0]["files"][0]["frames"])
    assert frames > 2 and all(each["notes"][-1] == f"{frames} frames fit into 2 GiB" for each in found)


@pytest.mark.parametrize("way", [["--look-again"], ["--method", "captions"]])
@pytest.mark.parametrize("means", [["--fit", "memory=2GiB"], ["--device-memory", "1MiB"]])
def test_no_method_is_fitted(cli: Cli, bunny: Path, way: list[str], means: list[str]) -> None:
    status, out, err = cli("ask", bunny, "What?", *way, *means)
    assert (status, out) == (ErrorCode.USAGE_BAD_OPTION.value.exit_status, "")
    assert ONE_LINE.fullmatch(err) and err.startswith(f"error[usage.bad_option]: {means[0]}")


def test_many_from_python(bunny: Path, model: str) -> None:
    loaded = longtake.load(model)
    watched = longtake.watch(loaded, longtake.open_video(bunny))
    options = GenerateOptions(max_new_tokens=5)
    found = longtake.ask_all(loaded, watched, QUESTIONS, options)
    alone = [longtake.ask(loaded, watched, question, options) for question in QUESTIONS]
    assert [(each.text, each.tokens, each.notes) for each in found] == [
        (each.text, each.tokens, each.notes) for each in alone
    ]
    assert longtake.ask_all(loaded, watched, []) == []
    with pytest.raises(LongtakeError):
        longtake.ask_all(loaded, watched, ["What?", " "])


@pytest.mark.parametrize("how", ["int8", "disk", "int8,memory", "auto"])
def test_kept_otherwise_it_answers_still(cli: Cli, bunny: Path, model: str, how: str) -> None:
    told = ("ask", bunny, QUESTIONS[0], "--model", model, "--frames", "4", "--max-new-tokens", "4")
    plain, found = cli.json(*told), cli.json(*told, "--kv", how)
    assert found["tokens"]["new"] == plain["tokens"]["new"] == 4
    if "int8" not in how:
        assert found["answer"] == plain["answer"]


def test_how_is_read_and_refused(model: str) -> None:
    loaded: Any = longtake.load(model)
    for how, kept in {
        "auto": Keeping(),
        "int8": Keeping("int8"),
        "disk": Keeping(where="disk"),
        "memory,int8": Keeping("int8", "memory"),
        "auto,disk": Keeping(where="disk"),
        "device": Keeping(),
    }.items():
        assert keeping(loaded, how).engine.keeping == kept
    for wrong in ("int4", "int8,int8", "disk,memory", "", "int8,", "disk,disk", "int8,disk,memory", "INT8"):
        with pytest.raises(LongtakeError) as caught:
            keeping(loaded, wrong)
        assert caught.value.code is ErrorCode.USAGE_BAD_OPTION and f"--kv {wrong}" in str(caught.value)


def test_what_one_question_alone_may_have_is_refused(cli: Cli, bunny: Path, model: str, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\n".join(QUESTIONS), encoding="utf-8")
    for option in (("--evidence", tmp_path / "sheet.png"), ("--manifest", tmp_path / "told.json")):
        status, _, err = cli("ask", bunny, "--questions", file, "--model", model, *option)
        assert status == 2 and f"{option[0]}: is for one question" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["questions.txt"]


@pytest.mark.parametrize("limit", [("--fit", "memory=1MiB"), ("--device-memory", "1MiB")], ids=lambda limit: limit[0])
def test_memory_is_looked_at_before(cli: Cli, bunny: Path, model: str, tmp_path: Path, limit: tuple[str, str]) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\n".join(QUESTIONS), encoding="utf-8")
    status, out, err = cli("ask", bunny, "--questions", file, "--model", model, *limit)
    assert (status, out) == (5, "") and "error[limit.memory]" in err
    status, out, err = cli("ask", bunny, QUESTIONS[0], "--method", "captions", "--model", model, *limit)
    assert (status, out) == (2, "") and f"{limit[0]}: what --method captions takes is not planned" in err
