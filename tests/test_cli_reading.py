"""How a file is read, as the command line takes it: limits, damage that is skipped, decoding apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tiny
from longtake.cli.opening import parsed_limit
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.opening import open_video
from longtake.world.film import write_film
from media import numbered
from media.numbered import Coding
from running import ONE_LINE, Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames in groups of ten, of which those from 23 on to the end of their group cannot be decoded."""
    path = tmp_path_factory.mktemp("damaged") / "d.mp4"
    numbered.write(path, Coding(options={"g": "10", "bf": "0", "sc_threshold": "0"}))
    places = open_video(path).table.packets.size_P
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4 + int(places[:23].sum())
    data[start + 6 : start + int(places[23])] = bytes(int(places[23]) - 6)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "c.mp4"
    front = Coding(options={"g": "10"}, container_options={"movflags": "faststart"})
    data = numbered.write(path, front).read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    return path


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("bytes=1000", ("bytes", 1000)),
        ("bytes=2G", ("bytes", 2 << 30)),
        ("bytes=64GiB", ("bytes", 64 << 30)),
        ("pixels=4M", ("pixels", 4 << 20)),
        ("frames=10k", ("frames", 10 << 10)),
        ("duration=12:00:00", ("duration", 43200.0)),
        ("memory=512MiB", ("memory", 512 << 20)),
        ("deadline=2.5", ("deadline", 2.5)),
    ],
)
def test_limits_are_parsed(text: str, parsed: tuple[str, float]) -> None:
    assert parsed_limit(text, isolated=True) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "bytes",
        "bytes=",
        "bytes=-1",
        "bytes=1.5",
        "bytes=0",
        "bytes=1X",
        "colour=3",
        "duration=soon",
        "=4",
        "frames=\u0664",
    ],
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        parsed_limit(text, isolated=True)
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    assert caught.value.subject == f"--limit {text}"


def test_a_guard_wants_a_process_apart(cli: Cli, bunny: Path) -> None:
    status, _, err = cli("info", bunny, "--limit", "deadline=3")
    assert status == 2 and "add --isolate" in err


def test_raised_limits_let_a_file_through(cli: Cli, bunny: Path) -> None:
    assert cli("info", bunny, "--limit", "pixels=921599")[0] == 5
    assert cli("info", bunny, "--limit", "pixels=921600", "--limit", "frames=132")[0] == 0
    assert cli("info", bunny, "--limit", "frames=131")[0] == 5


def test_damage_is_an_error_unless_it_may_be_skipped(cli: Cli, damaged: Path, model: str) -> None:
    asked = ("ask", damaged, "What?", "--model", model, "--frames", "60", "--max-new-tokens", "1")
    status, out, err = cli(*asked)
    assert (status, out) == (3, "") and ONE_LINE.fullmatch(err)
    assert err.startswith("error[media.corrupt]: ") and "frame 23 at 0:00:00.92 cannot be decoded" in err
    assert "--on-corrupt skip" in err
    found = cli.json(*asked, "--on-corrupt", "skip")
    assert found["degraded"] is True and found["files"][0]["asked_frames"] == 60
    assert [frame["number"] for frame in found["files"][0]["frames"]] == [*range(23), *range(30, 60)]
    assert found["files"][0]["lost_s"] == [[pytest.approx(0.92), pytest.approx(1.2)]]
    note = "degraded: 53 of the 60 frames that were asked for came; not seen: 0:00:00.92 to 0:00:01.2"
    assert note in found["notes"]


def test_where_nothing_was_damaged_nothing_is_degraded(cli: Cli, damaged: Path, model: str) -> None:
    found = cli.json("ask", damaged, "What?", "--model", model, "--end", "0.8", "--on-corrupt", "skip")
    assert (found["degraded"], found["files"][0]["lost_s"]) == (False, [])


def test_a_cut_file_is_answered_from_what_is_there(cli: Cli, cut: Path, model: str) -> None:
    asked = ("ask", cut, "What?", "--model", model, "--max-new-tokens", "1")
    assert cli(*asked)[0] == 3
    found = cli.json(*asked, "--on-corrupt", "skip")
    assert found["degraded"] is True
    ((start_s, end_s),) = found["files"][0]["lost_s"]
    assert found["files"][0]["frames"][-1]["time_s"] < start_s < 2 and end_s == pytest.approx(2.4)
    told = cli.json("info", cut, "--on-corrupt", "skip")
    assert any("is cut off" in note for note in told["notes"])


def test_a_sheet_shows_what_came(cli: Cli, damaged: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "s.png"
    status, out, err = cli("frames", damaged, "-o", sheet, "--frames", "60", "--on-corrupt", "skip")
    assert (status, out) == (0, "") and sheet.exists()
    assert "degraded: 53 of the 60 frames that were asked for came" in err


@pytest.mark.parametrize("extra", [(), ("--on-corrupt", "skip")])
def test_apart_says_the_same(cli: Cli, bunny: Path, damaged: Path, cut: Path, extra: tuple[str, ...]) -> None:
    for path in (bunny, damaged, cut):
        assert cli("info", path, *extra) == cli("info", path, *extra, "--isolate")


def test_apart_answers_the_same(cli: Cli, damaged: Path, model: str) -> None:
    asked = ("ask", damaged, "What?", "--model", model, "--on-corrupt", "skip", "--max-new-tokens", "4")
    here, apart = cli.json(*asked), cli.json(*asked, "--isolate")
    for fact in ("answer", "files", "degraded", "tokens", "notes"):
        assert here[fact] == apart[fact]


def test_a_plain_film_is_answered_with_a_note(cli: Cli, tmp_path: Path, model: str) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    write_film(tmp_path / "black.mp4", [black] * 20, fps=Fraction(5))
    found = cli.json("ask", tmp_path / "black.mp4", "What?", "--model", model, "--max-new-tokens", "1")
    assert any(note.startswith("low information: all 8 seen frames are plain colour") for note in found["notes"])


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "g.mp4", Coding(options={"g": "10"}))
    video = open_video(path)
    reading = video.read(range(60), chunk=1)
    next(reading)
    with path.open("ab") as file:
        file.write(bytes(8))
    with pytest.raises(LongtakeError, match=r"error\[media.container\].*changed since it was opened"):
        list(reading)
    with pytest.raises(LongtakeError, match="changed since it was opened"):
        list(video.read([5]))
