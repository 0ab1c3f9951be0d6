"""What an answer rests on: frames for every layout, times on the bundled hour, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import longtake
import tiny
from longtake import demo, parts
from longtake.answer import Shown, Watched
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.evidence import Reply, evidence, rested
from longtake.families import Model
from longtake.layouts import Visual, frames_shown, view_of
from longtake.layouts.slowfast import SlowFast
from longtake.pictures import MARK
from longtake.pictures.resting import Line, resting_sheet
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.video.opening import open_video
from longtake.vision import FeatureGrid, GridShape, Tiling
from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.scenes import Scene, Scenery
from running import ONE_LINE, Cli

EVERY_LAYOUT = parts.names("layouts")
QUESTION = "What number is on the orange moon?"
SHORT = GenerateOptions(max_new_tokens=6)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def nano() -> Model:
    return longtake.load("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("tiny")
    model = longtake.load(str(tiny.checkpoint(folder, trained_context=4096)), device="cpu", dtype="float32")
    return replace(model, beyond_trained_context=True)


@pytest.fixture(scope="module")
def hour(nano: Model) -> Watched:
    """The bundled film, a look every second."""
    return longtake.watch(demo.looking(nano), open_video(demo.FILM))


def every(seconds: float) -> Any:
    return parts.find("samplers", "every")(seconds=seconds)


# ---- positions and frames


def grid_of(layout: Any, frames: int) -> GridShape:
    """What some frames become for a layout, pictures cut in four where it wants tiles."""
    view = view_of(layout)
    pictures = -(-frames // view.frames)
    tilings = (Tiling(100, 80, 2, 2),) * pictures if view.tiled else ()
    return GridShape(5 * pictures if tilings else pictures, 24, 24, tilings=tilings)


def influence(layout: Any, shape: GridShape, frames: int) -> list[set[int]]:
    """For each token the frames that it changes with, found by changing one picture after the other."""
    per_picture, views = view_of(layout).frames, 5 if shape.tilings else 1

    def tokens(values_THWD: torch.Tensor) -> torch.Tensor:
        grid = FeatureGrid(values_THWD, np.arange(shape.views, dtype=np.float64), None, shape.tilings)
        return torch.cat([piece.tokens_ND for piece in layout.arrange(grid) if isinstance(piece, Visual)])

    plain = torch.zeros(shape.views, shape.height, shape.width, 1)
    found: list[set[int]] = [set() for _ in tokens(plain)]
    for picture in range(shape.views // views):
        changed = plain.clone()
        changed[picture * views : (picture + 1) * views] = 1.0
        for token in tokens(changed).squeeze(1).nonzero().squeeze(1).tolist():
            found[token] |= set(range(picture * per_picture, min(frames, (picture + 1) * per_picture)))
    return found


@pytest.mark.parametrize("frames", [1, 20])
@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_every_layouts_tokens_show_the_frames_that_change_them(name: str, frames: int) -> None:
    layout = parts.find("layouts", name)()
    shape = grid_of(layout, frames)
    told = frames_shown(layout, shape, frames)
    assert len(told) == layout.count(shape)
    true = influence(layout, shape, frames)
    assert told.tolist() == [[min(own), max(own)] for own in true]
    learned = replace(shape, newline=True, class_token=True)
    assert len(frames_shown(layout, learned, frames)) == layout.count(learned)


@pytest.mark.parametrize("pool", ["time_average", "volume_average"])
def test_frames_that_lie_apart_are_within_what_is_told(pool: Any) -> None:
    layout = SlowFast(slow_pool=pool, slow_frames=6)
    shape = grid_of(layout, 60)
    for (first, last), own in zip(frames_shown(layout, shape, 60).tolist(), influence(layout, shape, 60), strict=True):
        assert first <= min(own) + 1 and last >= max(own) - 1


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_every_visual_position_is_in_one_run(name: str, tiny_model: Model, bunny: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 90, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    model = replace(tiny_model, layout=parts.find("layouts", name)(), sampler=parts.find("samplers", "uniform")(7))
    watched = longtake.watch(model, [open_video(bunny), open_video(tmp_path / "grey.png")])
    runs = watched.shown
    positions = [place for run in zip(runs.starts_R, runs.stops_R, strict=True) for place in range(*run)]
    assert len(positions) == len(set(positions)) == watched.visual_tokens
    assert positions == sorted(positions) and positions[-1] < watched.prefix.length
    assert set(runs.files_R.tolist()) == {0, 1}
    assert (runs.frames_R2[runs.files_R == 1] == 0).all()
    of_the_film = runs.frames_R2[runs.files_R == 0].tolist()
    assert {place for first, last in of_the_film for place in range(first, last + 1)} == set(range(7))


def test_runs_by_hand() -> None:
    ids = torch.tensor([1, *[VISUAL_PLACE] * 5, 2, VISUAL_PLACE, VISUAL_PLACE])
    prompt = Prompt(ids, torch.zeros(7, 1))
    runs = Shown.by(
        prompt.token_ids_L.numpy(), [np.array([[0, 0], [0, 0], [1, 1], [1, 1], [0, 1]]), np.array([[0, 0], [0, 0]])]
    )
    assert list(zip(runs.starts_R.tolist(), runs.stops_R.tolist(), strict=True)) == [(1, 3), (3, 5), (5, 6), (7, 9)]
    assert runs.files_R.tolist() == [0, 0, 0, 1]
    assert runs.frames_R2.tolist() == [[0, 0], [1, 1], [0, 1], [0, 0]]


class Recording:
    """An engine that says which positions it is asked to hide, and gives attention as it is told to."""

    def __init__(self, attended_RP: torch.Tensor) -> None:
        self.attended_RP, self.hidden = attended_RP, list[Any]()

    def attended(self, *_: object) -> torch.Tensor:
        return self.attended_RP

    def force(self, *_: object, hidden: Sequence[tuple[int, int]]) -> Any:
        self.hidden.append(list(hidden))
        return type("Forced", (), {"logprobs_A": torch.tensor([-1.0])})


def reply_with(attended: list[list[float]], frames_R2: list[list[int]]) -> tuple[Reply, Recording]:
    """A question and an answer of one token each, behind runs of one position."""
    engine, places = Recording(torch.tensor(attended)), np.arange(len(frames_R2))
    runs = Shown(places, places + 1, np.zeros(len(places), dtype=np.int64), np.array(frames_R2))
    look: Any = type("Look", (), {"numbers": np.arange(1 + max(map(max, frames_R2)))})
    watched: Any = type("Watched", (), {"looks": (look,), "prefix": None, "engine": engine, "shown": runs})
    return Reply(watched, [1, 2], [3]), engine


def test_attention_goes_to_frames_less_what_is_always_looked_at() -> None:
    # Positions 0 to 3 show frames 0 to 3, and 4 shows frame 2 once more, 5 all of them.
    reply, _ = reply_with(
        [[0.3, 0.0, 0.0, 0.1, 0.0, 0.0], [0.3, 0.1, 0.2, 0.0, 0.1, 0.04]],
        [[0, 0], [1, 1], [2, 2], [3, 3], [2, 2], [0, 3]],
    )
    assert reply.looked_at_F.tolist() == pytest.approx([0.01, 0.11, 0.31, 0.01])
    assert reply.peaks() == [(2, 3), (1, 2)]


def test_what_shows_hidden_frames_mostly_is_hidden() -> None:
    reply, engine = reply_with([[0.0] * 5, [0.1] * 5], [[0, 0], [1, 1], [0, 3], [2, 3], [1, 2]])
    reply.logprob([(1, 2)])
    reply.logprob([(2, 4)])
    reply.logprob()
    assert engine.hidden == [[(1, 2), (4, 5)], [(2, 3), (3, 4), (4, 5)], []]


# ---- the bundled hour


def test_the_hours_answers_rest_on_the_frames_that_show_them(nano: Model, hour: Watched) -> None:
    for question in demo.questions():
        (best, *_) = evidence(nano, hour, question.question, question.expected)
        assert list(best.numbers) == question.seen_in(hour)
        assert question.start_s <= best.start_s == best.end_s < question.end_s
        assert 0.5 < best.score <= 1


def test_not_shown_rests_on_nothing(nano: Model, hour: Watched) -> None:
    for question in ("What number is on the blue star?", "What colour is the heart with 123?"):
        answer = longtake.ask(nano, hour, question)
        assert (answer.text, answer.evidence) == ("not shown", None)
        assert rested(nano, hour, question, answer).evidence == ()


def test_a_choice_rests_on_what_shows_it(nano: Model, hour: Watched) -> None:
    question, choices = "What shape is next to onion?", ("star", "ring", "circle", "moon")
    answer = rested(nano, hour, question, longtake.choose(nano, hour, question, choices))
    assert answer.text == "moon" and answer.evidence is not None
    assert 1500.4 <= answer.evidence[0].start_s < 1501.4
    assert answer.seconds["evidence"] > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpoint", ["LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny"])
def test_any_family(checkpoint: str, dtype: str, golden: Path, bunny: Path) -> None:
    """Random weights in the layouts of released ones: what they rest on means nothing, but is in order."""
    model = longtake.load(str(golden / "checkpoints" / checkpoint), device="cpu", dtype=dtype)
    model = replace(model, sampler=parts.find("samplers", "uniform")(6), beyond_trained_context=True)
    watched = longtake.watch(model, open_video(bunny))
    answer = rested(model, watched, "What is it?", longtake.ask(model, watched, "What is it?", SHORT))
    assert answer.evidence is not None
    scores = [span.score for span in answer.evidence]
    assert scores == sorted(scores, reverse=True) and all(0.1 <= score <= 1 for score in scores)
    named = [number for span in answer.evidence for number in span.numbers]
    assert len(named) == len(set(named)) and set(named) < set(watched.looks[0].numbers.tolist())


# ---- made films


def film_of(path: Path, shots: Sequence[Scene | Scenery]) -> Path:
    """A second each, one frame a second."""
    rng = np.random.default_rng(7)
    stagings = [random_staging(rng, places=100) for _ in shots]
    drawn = [draw(shot, staging, width=320, height=180) for shot, staging in zip(shots, stagings, strict=True)]
    write_film(path, drawn, fps=Fraction(1), crf=16)
    return path


def test_two_times_that_say_the_same_are_both_named(nano: Model, tmp_path: Path) -> None:
    """Neither is missed while the other is there."""
    moon, hills = Scene("orange", "moon", "258", "city"), Scenery("meadow")
    path = film_of(tmp_path / "twice.mp4", [moon if second in (9, 25) else hills for second in range(40)])
    watched = longtake.watch(replace(nano, sampler=every(1)), open_video(path))
    assert longtake.ask(nano, watched, QUESTION).text == "orange moon 258"
    spans = evidence(nano, watched, QUESTION, "orange moon 258")
    assert {number for span in spans for number in span.numbers} == {9, 25}


def test_neighbours_are_one_span(nano: Model, tmp_path: Path) -> None:
    moon, hills = Scene("orange", "moon", "258", "city"), Scenery("meadow")
    path = film_of(tmp_path / "long.mp4", [moon if 9 <= second <= 11 else hills for second in range(40)])
    watched = longtake.watch(replace(nano, sampler=every(1)), open_video(path))
    (best, *_) = evidence(nano, watched, QUESTION, "orange moon 258")
    assert (best.start_s, best.end_s, best.numbers) == (9.0, 11.0, (9, 10, 11))
    assert best.told == "0:00:09 to 0:00:11"


def grey(path: Path) -> Path:
    write_film(path, [np.full((180, 320, 3), 128, np.uint8)] * 30, fps=Fraction(1))
    return path


def test_a_blank_film_names_nothing(nano: Model, tmp_path: Path) -> None:
    watched = longtake.watch(replace(nano, sampler=every(1)), open_video(grey(tmp_path / "grey.mp4")))
    for question in (QUESTION, "What colour is the heart with 896?", "What does it say?"):
        answer = longtake.ask(nano, watched, question)
        assert rested(nano, watched, question, answer).evidence == (), answer.text


def test_an_answer_without_words_rests_on_nothing(nano: Model, tmp_path: Path) -> None:
    watched = longtake.watch(replace(nano, sampler=every(1)), open_video(grey(tmp_path / "grey.mp4")))
    assert evidence(nano, watched, QUESTION, "") == ()


@pytest.fixture(scope="module")
def two_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for name, shot in (("hills", Scenery("meadow")), ("moon", Scene("orange", "moon", "258", "city"))):
        picture: NDArray[np.uint8] = draw(shot, random_staging(rng, places=9), width=320, height=180)
        Image.fromarray(picture).save(folder / f"{name}.png")
    return [folder / "hills.png", folder / "moon.png"]


def test_of_several_files_the_one_is_named(nano: Model, cli: Cli, two_pictures: list[Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    found = cli.json("ask", *two_pictures, QUESTION, "--evidence", sheet)
    assert found["answer"] == "orange moon 258"
    assert [(span["file"], span["numbers"]) for span in found["evidence"]] == [(1, [0])]
    assert sheet.exists()
    status, _, err = cli("ask", *two_pictures, QUESTION)
    assert status == 0 and err.startswith("rests on moon.png (")


# ---- the command line

MOON = ("ask", demo.FILM, QUESTION, "--start", "960", "--end", "1020", "--sampler", "every")


def test_told_in_the_closing_line_and_listed(cli: Cli) -> None:
    status, out, err = cli(*MOON)
    assert (status, out) == (0, "orange moon 258\n")
    assert err.startswith("rests on 0:16:30 (") and "evidence 0." in err
    found = cli.json(*MOON)
    (span,) = found["evidence"]
    assert list(span) == ["file", "start_s", "end_s", "score", "numbers"]
    assert (span["file"], span["start_s"], span["end_s"], span["numbers"]) == (0, 990.0, 990.0, [4950])
    assert 0.5 < span["score"] <= 1
    unwanted = cli.json(*MOON, "--no-evidence")
    assert unwanted["evidence"] is None and "evidence" not in unwanted["seconds"]
    assert cli(*MOON, "--quiet") == (0, out, "")


def test_nothing_stands_out_is_told(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    command = ("ask", grey(tmp_path / "grey.mp4"), QUESTION, "--evidence", sheet)
    status, _, err = cli(*command)
    assert status == 0 and err.startswith("rests on no time that stands out; ")
    assert cli.json(*command)["evidence"] == []
    assert MARK not in {colour for _, colour in colours(sheet)}


def colours(path: Path) -> list[tuple[int, Any]]:
    with Image.open(path) as sheet:
        return sheet.convert("RGB").getcolors(2**24) or []


def test_sheet_shows_the_moment_between_its_neighbours(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert cli(*MOON, "--evidence", sheet, "--quiet")[0] == 0
    with Image.open(sheet) as drawn:
        assert drawn.size[0] == 3 * 320 + 2 * 20 + 2 * 32
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    marked = (abs(pixels - MARK).max(axis=2) < 8).any(axis=0).nonzero()[0]
    left, right = 32 + 320 + 20, 32 + 2 * 320 + 20
    pictures = marked[(marked >= left - 3) & (marked < right + 3)]
    assert (pictures[0], pictures[-1]) == (left - 3, right + 2)
    # On the line the mark is where the 990th of 3,600 seconds is.
    on_the_line = set(marked.tolist()) - set(pictures.tolist())
    assert abs(np.mean(sorted(on_the_line)) - (32 + 1000 * 990 / 3600)) < 1.5


def test_marks_are_as_high_as_their_score() -> None:
    sheet = resting_sheet("?", "!", [Line("film", 100.0, [(20.0, 20.0, 0.2), (70.0, 80.0, 1.0)])], [])
    pixels = np.asarray(sheet).astype(int)
    marked = abs(pixels - MARK).max(axis=2) < 8
    inside = sheet.width - 64
    heights = [int(marked[:, 32 + inside * second // 100].sum()) for second in (20, 75, 50)]
    assert heights[1] > 2 * heights[0] > 0 == heights[2]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--evidence", "sheet.txt"), "no kind of picture"),
        (("--evidence", "sheet.png", "--no-evidence"), "leave one of the two out"),
        (("--evidence", "sheet.png", "--method", "captions"), "answers from captions"),
        (("--look-again", "--method", "tree"), "leave one of the two out"),
        (("--look-again", "--frames", "40"), "picks frames itself"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(cli: Cli, more: tuple[str, ...], reason: str) -> None:
    status, out, err = cli(*MOON[:3], *more)
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err) and reason in err


def test_a_folder_that_is_not_there_is_told_before_anything_is_read(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli(*MOON, "--evidence", tmp_path / "none" / "sheet.png")
    assert (status, out) == (ErrorCode.DISK_WRITE.value.exit_status, "") and ONE_LINE.fullmatch(err)


def test_a_model_that_cannot_tell_says_so_only_where_it_is_asked(
    cli: Cli, tmp_path: Path, bunny: Path, tiny_model: Model
) -> None:
    """Its layers attend in a window, so they are left to transformers."""
    language = {**tiny.config()["language"], "sliding_window": 64, "use_sliding_window": True, "max_window_layers": 0}
    folder = tiny.checkpoint(tmp_path / "model", language=language)
    command = ("ask", bunny, QUESTION, "--model", folder, "--frames", "4", "--max-new-tokens", "2")
    found = cli.json(*command)
    assert found["evidence"] is None
    status, out, err = cli(*command, "--evidence", tmp_path / "sheet.png", "--quiet")
    assert (status, out) == (2, found["answer"] + "\n") and "attend in a window" in err
    windowed = longtake.load(str(folder), device="cpu", dtype="float32")
    watched = longtake.watch(windowed, open_video(bunny))
    with pytest.raises(LongtakeError, match="attend in a window"):
        evidence(windowed, watched, QUESTION, "red")
