"""The demo: the model that ships answers the questions about the film that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from longtake import demo
from longtake.video.opening import open_video
from running import Cli

MOST_BYTES = 5 * 2**20
SHORTEST_SCENE_S = 75.0


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_film_is_an_hour_of_ordinary_video() -> None:
    video = open_video(demo.FILM)
    assert video.duration_s == pytest.approx(3600, abs=1)
    assert demo.FILM.stat().st_size <= MOST_BYTES


def test_scenes_stay_long_enough_to_be_found() -> None:
    rows = json.loads(demo.QUESTIONS.read_text())
    assert len(rows) == 3
    assert all(row["end_s"] - row["start_s"] >= SHORTEST_SCENE_S for row in rows)
    assert len({row["start_s"] for row in rows}) == 3


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
    rows = json.loads(demo.QUESTIONS.read_text())
    assert all(f"  {row['question']}\n  {row['answer']}  [right; on screen from " in out for row in rows)
    assert out.count("[right;") == 3
    assert f"what was seen: {folder / 'sheet.png'}\n" in out
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"
