"""methods.again: the second look goes where the first one points, costs what is said, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import longtake
import tiny
from longtake import demo, parts
from longtake.answer import Span
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.methods import Query, Team
from longtake.methods.again import Again
from longtake.video import Frames, Video
from longtake.video.opening import open_video
from media import numbered
from running import Cli

QUESTION = "What number is on the orange moon?"
SHORT = GenerateOptions(max_new_tokens=8)
MOON_S = (989.6, 990.6)


@dataclass
class Counted:
    """A real video that notes what is read of it."""

    inner: Any
    read_numbers: list[list[int]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, numbers: Sequence[int], **how: Any) -> Iterator[Frames]:
        self.read_numbers.append(list(numbers))
        return self.inner.read(numbers, **how)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def nano() -> Model:
    return longtake.load("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def film() -> Video:
    """A minute of the demo's film, 300 frames, of which five show an orange moon."""
    return open_video(demo.FILM).stretch(960, 1020)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("tiny")
    return longtake.load(str(tiny.checkpoint(folder, trained_context=2048)), device="cpu", dtype="float32")


def test_looks_closer_where_the_answer_is(nano: Model, film: Video) -> None:
    method, video = Again(frames=70, every_s=1.0), Counted(film)
    team, query = Team(nano), Query(QUESTION)
    cost = method.cost(team, [video], query)
    assert video.read_numbers == []
    answer = method.ask(method.watch(team, [video]), query)
    coarse, closer = (set(numbers) for numbers in video.read_numbers)
    assert len(coarse) == 60 and coarse < closer and len(closer) == 70
    (look,) = answer.looks
    assert look.numbers.tolist() == sorted(closer)
    # The coarse frame that shows the moon is 4950; ten more lie between the ones before and after it and next to them.
    dense = np.array(sorted(closer - coarse))
    assert ((dense > 4940) & (dense < 4960)).all() and ((dense > 4945) & (dense < 4955)).sum() >= 4
    assert answer.text == "orange moon 258"
    assert answer.evidence and all(
        MOON_S[0] <= time_s < MOON_S[1] for time_s in look.times_s[np.isin(look.numbers, answer.evidence[0].numbers)]
    )
    assert "said 'orange moon 258'; looked again around 0:16:30 (what that rests on)" in answer.notes[-1]
    assert (cost.frames, cost.captions) == (130, 0)
    assert answer.tokens["visual"] + answer.tokens["first_visual"] == cost.visual_tokens
    plain = replace(nano, sampler=parts.find("samplers", "uniform")(70))
    assert answer.tokens["visual"] == longtake.watch(plain, film).visual_tokens
    assert str(cost) == "up to 130 frames (520 visual tokens) in two looks"


def test_where_nothing_stands_out_it_goes_by_the_question_and_says_so(nano: Model, film: Video) -> None:
    method = Again(frames=40, coarse=20)
    answer = method.ask(method.watch(Team(nano), [film]), Query("What number is on the blue star?"))
    assert answer.text == "not shown" and answer.evidence == ()
    assert "nothing in the first look stood out" in answer.notes[-1]
    assert len(answer.looks[0].numbers) == 40


def test_a_second_question_takes_the_first_look_as_it_is(nano: Model, film: Video) -> None:
    method, video = Again(frames=70, every_s=1.0), Counted(film)
    watched = method.watch(Team(nano), [video])
    first = method.ask(watched, Query(QUESTION))
    other = method.ask(watched, Query("What colour is the moon with 258?"))
    again = method.ask(watched, Query(QUESTION))
    assert other.text == "258 orange"
    assert (again.text, again.evidence, again.notes) == (first.text, first.evidence, first.notes)
    assert len(video.read_numbers) == 4


def test_an_answer_without_words_points_nowhere(model: Model, film: Video) -> None:
    """Every token ends it."""
    silent = replace(model, engine=model.engine.stopping_at(range(model.tokenizer.vocabulary_size)))
    method = Again(frames=12, coarse=6)
    answer = method.ask(method.watch(Team(silent), [film]), Query(QUESTION, options=SHORT))
    assert (answer.text, answer.evidence, len(answer.looks[0].numbers)) == ("", (), 6)
    assert "said ''; looked again around nothing" in answer.notes[-1]


def test_windows_by_hand(tmp_path: Path) -> None:
    """100 frames, a coarse one every ten."""
    video = open_video(numbered.write(tmp_path / "film.mp4", times_ms=[100 * number for number in range(100)]))
    coarse = tuple(range(5, 100, 10))

    def dense(room: int, *spans: tuple[int, ...]) -> list[int]:
        told = [Span(0, 0.0, 0.0, 1.0, numbers) for numbers in spans]
        method = Again(frames=len(coarse) + room, coarse=len(coarse))
        return sorted(set(method._closer(video, coarse, told)) - set(coarse))

    assert dense(3, (45,)) == [39, 46, 52]
    assert dense(18, (45,)) == [*range(36, 45), *range(46, 55)]
    assert min(dense(20, (45,))) < 35 and max(dense(20, (45,))) > 55
    assert dense(2, (5,), (95,)) == [7, 92]
    assert set(dense(4, (45, 55))) <= set(range(36, 65))
    assert dense(4) == []
    assert len(dense(500, (45,))) == 90


def test_choices(nano: Model, film: Video) -> None:
    method = Again(frames=70, every_s=1.0)
    query = Query("What shape is next to 258?", ("star", "ring", "circle", "moon"))
    answer = method.ask(method.watch(Team(nano), [film]), query)
    assert [offered.text for offered in answer.choices] == list(query.choices)
    assert sum(offered.probability or 0 for offered in answer.choices) == pytest.approx(1)


def test_pictures_and_several_files(model: Model, bunny: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    files = [open_video(bunny), open_video(tmp_path / "grey.png")]
    method = Again(frames=12, coarse=6)
    method.cost(Team(model), files, Query(QUESTION, options=SHORT))
    answer = method.ask(method.watch(Team(model), files), Query(QUESTION, options=SHORT))
    assert [look.still for look in answer.looks] == [False, True]
    assert 6 <= len(answer.looks[0].numbers) <= 12 and len(answer.looks[1].numbers) == 1
    assert json.dumps(answer.as_dict(), allow_nan=False)


def test_short_videos_are_seen_whole(model: Model, tmp_path: Path) -> None:
    video = open_video(numbered.write(tmp_path / "film.mp4", times_ms=[0, 100, 200]))
    method = Again(frames=12, coarse=6)
    answer = method.ask(method.watch(Team(model), [video]), Query(QUESTION, options=SHORT))
    assert answer.looks[0].numbers.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"frames": 10, "coarse": 10}, "less than frames"),
        ({"frames": 10, "coarse": 0}, "at least 1"),
        ({"every_s": 0.0}, "seconds is 0"),
        ({"spans": 0}, "spans 0"),
    ],
)
def test_options_that_make_no_two_looks(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Again(**options)


def test_what_is_too_much_is_refused_before_anything_is_decoded(model: Model, film: Video) -> None:
    video = Counted(film)
    for method, code in (
        (Again(frames=40, every_s=1.0), ErrorCode.USAGE_BAD_OPTION),
        (Again(300, 20), ErrorCode.LIMIT_CONTEXT),
    ):
        small = replace(model, engine=replace(model.engine, trained_context=300))
        with pytest.raises(LongtakeError) as caught:
            method.cost(Team(small), [video], Query(QUESTION, options=SHORT))
        assert caught.value.code is code and video.read_numbers == []


def test_command(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    command = ("ask", demo.FILM, QUESTION, "--start", "960", "--end", "1020", "--look-again")
    settings = ("--set", "method.frames=70", "--set", "method.every_s=1")
    status, out, err = cli(*command, *settings, "--evidence", sheet)
    assert (status, out) == (0, "orange moon 258\n") and sheet.exists()
    assert err.startswith("up to 130 frames (520 visual tokens) in two looks")
    assert "rests on 0:16:" in err and "looked again around 0:16:30" in err
    found = cli.json(*command, *settings)
    assert found["evidence"] and found["method"] is None
    assert found["files"][0]["parts"]["method"]["name"] == "again"
    status, _, err = cli(*command, "--reader", "nano")
    assert status == 2 and "nobody reads" in err
