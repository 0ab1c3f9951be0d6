"""The demo: the model that ships answers the questions about the film that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from longtake import demo, parts
from longtake.video.opening import open_video
from running import Cli

MOST_BYTES = 5 * 2**20


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_film_is_an_hour_of_ordinary_video() -> None:
    video = open_video(demo.FILM)
    assert video.duration_s == pytest.approx(3600, abs=1)
    assert demo.FILM.stat().st_size <= MOST_BYTES


def test_whoever_looks_as_often_as_told_sees_every_scene() -> None:
    look_every_s = json.loads(demo.QUESTIONS.read_text())["look_every_s"]
    asked, video = demo.questions(), open_video(demo.FILM)
    numbers = parts.find("samplers", "every")(seconds=look_every_s).pick(video, "")
    times_s = video.times_s[numbers]
    assert len(asked) == len({question.start_s for question in asked}) == 3
    for question in asked:
        seen = ((times_s >= question.start_s) & (times_s < question.end_s)).sum()
        assert seen == 1 or question.end_s - question.start_s > look_every_s and seen > 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [("Red star 417.", True), ("red star 417", True), ("red star 41", False), ("417 red star", False), ("", False)],
)
def test_an_answer_is_right_word_for_word(answer: str, right: bool) -> None:
    assert (demo.words(answer) == demo.words("red star 417")) is right


def test_three_right_answers_and_a_sheet(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    status, out, err = cli("demo", "--output", folder, "--quiet")
    assert (status, err) == (0, ""), out
    for question in demo.questions():
        assert f"  {question.question}\n  {question.expected}  [right; on screen from " in out
    assert out.count("[right;") == 3
    lines = out.splitlines()
    # What will be read is said before it is read.
    assert " frames, " in lines[1] and lines[2].startswith("watched once, in ")
    assert f"what was seen, the moments that answer marked: {folder / 'sheet.png'}\n" in out
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"
