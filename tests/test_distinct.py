"""`distinct` keeps what differs, by hand and by brute force; and a model sees, and is told, just what was kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import longtake
import tiny
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.eye import choosing
from longtake.families import Model
from longtake.layouts.grid import Grid
from longtake.layouts.image_grid import ImageGrid
from longtake.manifests.making import manifest_of
from longtake.manifests.verifying import verify
from longtake.pipeline import ask, choose_frames, watch
from longtake.plan import plan_of
from longtake.samplers.distinct import Distinct
from longtake.samplers.every import Every
from longtake.video import Video
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from longtake.vision.glancing import Glancing
from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.scenes import Scene, Scenery
from media import numbered
from media.numbered import Coding
from running import ONE_LINE, Cli
from watching import Counting

FEW = GenerateOptions(max_new_tokens=8)
QUESTION = "what number is on the red star?"


def at(degrees: list[float]) -> NDArray[np.float32]:
    """Features that lie so many degrees around a circle; their lengths, which do not count, differ."""
    radians = np.radians(degrees)
    lengths = 1 + np.arange(len(degrees))
    return (lengths * np.array([np.cos(radians), np.sin(radians)])).T.astype(np.float32)


def kept_of(degrees: list[float], **options: int) -> list[int]:
    return Distinct(**options).sift(at(degrees), np.arange(len(degrees), dtype=np.float64))


def test_a_film_that_stands_still_gives_one_frame() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-3, (1000, 128)).astype(np.float32)
    assert Distinct().sift(1 + noise, np.arange(1000.0)) == [0]


def test_a_change_is_kept_and_so_is_the_way_back() -> None:
    assert kept_of([0, 1, 0, 40, 41, 0, 1, 0]) == [0, 3, 5]


def test_what_creeps_is_measured_from_the_last_that_was_kept() -> None:
    assert kept_of([0, 1, 2, 3, 4, 5, 6, 7]) == [0, 3, 6]


def test_half_stand_for_even_times_and_half_are_what_is_least_like_them() -> None:
    # Ten frames, four kept: 0 and 9 stand at the two even times; then 4, 90 degrees from both; then 7, 40 from 4.
    assert kept_of([0, 10, 0, 10, 90, 0, 10, 50, 0, 10], frames=4) == [0, 4, 7, 9]


def test_of_one_frame_the_first_is_kept() -> None:
    assert kept_of([0, 90, 180], frames=1) == [0]


def test_what_comes_back_again_and_again_does_not_fill_the_number() -> None:
    """Two pictures in turn, 40 times: each stands at some even times, and nothing else is worth a frame."""
    kept = kept_of([0, 90] * 20, frames=8)
    assert 2 <= len(kept) <= 4 and {place % 2 for place in kept} == {0, 1}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_left_out_is_more_alone_than_what_was_added(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, times_s = rng.normal(size=(200, 6)).astype(np.float32), np.sort(rng.uniform(0, 900, 200))
    part = Distinct(frames=24)
    kept = part.sift(features, times_s)
    assert kept == sorted(set(kept)) and len(kept) == 24 and kept == part.sift(features, times_s)
    even_s = np.linspace(times_s[0], times_s[-1], 12)
    standing = {int(np.flatnonzero(times_s <= wanted_s)[-1]) for wanted_s in even_s}
    assert standing <= set(kept)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    left = [place for place in range(200) if place not in kept]
    loneliest_left = (unit[left] @ unit[kept].T).max(axis=1).min()
    for place in set(kept) - standing:
        others = [other for other in kept if other != place]
        closest = (unit[others] @ unit[place]).max()
        # What was added early may later have got a neighbour, but then that one was further from all others.
        assert closest <= loneliest_left + 1e-6


def test_one_scene_in_an_hour_of_changing_pictures_is_kept() -> None:
    """3,600 looks at a hundred places that drift; one look is unlike all of them."""
    rng = np.random.default_rng(1)
    places = np.repeat(rng.normal(0, 0.3, (100, 64)), 36, axis=0)
    features = (1 + places + rng.normal(0, 0.03, (3600, 64))).astype(np.float32)
    features[2345] = -features[2345]
    kept = Distinct(frames=16).sift(features, np.arange(3600.0))
    assert 2345 in kept and len(kept) == 16


@pytest.mark.parametrize(
    "options", [{"frames": 0}, {"frames": 9, "candidates": 8}, {"alike": 0.0}, {"alike": 1.1}, {"seconds": 0.0}]
)
def test_options_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="want"):
        Distinct(**options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute at 2 frames a second: two places, each standing still for half of it; at 40 s a scene for a second."""
    rng = np.random.default_rng(5)
    standing = {shot: random_staging(rng, places=9) for shot in (Scenery("sea"), Scenery("city"))}
    scene = Scene("red", "star", "417", "meadow")
    stills = [draw(shot, staging, width=192, height=108) for shot, staging in standing.items()]
    shown = draw(scene, random_staging(rng, places=9), width=192, height=108)
    path = tmp_path_factory.mktemp("stills") / "stills.mp4"
    pictures = [shown if number in (80, 81) else stills[number // 60] for number in range(120)]
    write_film(path, pictures, fps=Fraction(2))
    return path


@pytest.fixture(scope="module")
def nano() -> Model:
    return longtake.load("nano")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("nano"))), device="cpu")


@dataclass(frozen=True)
class Given:
    """Frames that are known."""

    numbers: tuple[int, ...]

    def pick(self, video: Video, question: str) -> list[int]:
        return list(self.numbers)


def test_a_scene_among_stills_is_seen_and_answered(path: Path, nano: Model) -> None:
    looking = replace(nano, sampler=Distinct(frames=8))
    answer = ask(looking, watch(looking, longtake.open_video(path)), "What number is on the red star?")
    (look,) = answer.looks
    assert answer.text == "red star 417"
    assert look.numbers.tolist() == [0, 60, 80, 82]
    assert look.times_s.tolist() == [0.0, 30.0, 40.0, 41.0]
    assert (look.asked_frames, look.candidates, look.degraded, look.lost_s) == (60, 60, False, ())
    assert answer.tokens["visual"] == 4 * 4
    told = look.as_dict()
    assert (told["asked_frames"], told["candidates"]) == (60, 60)
    assert not [note for note in answer.notes if "degraded" in note or "low information" in note]


@pytest.fixture(params=["held", "looked at again"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "held":
        monkeypatch.setattr(choosing, "HELD_CANDIDATES", 0)
    return str(request.param)


def test_the_model_sees_what_it_would_of_those_frames_alone(path: Path, model: Model, either_way: str) -> None:
    sampler = Distinct(frames=3, seconds=0.5, alike=0.9999999)
    told: list[tuple[str, int, int]] = []
    looking = replace(model, sampler=sampler)
    watched = watch(looking, longtake.open_video(path), QUESTION, progress=lambda *what: told.append(what))
    (look,) = watched.looks
    assert (look.asked_frames, look.candidates, len(look.numbers), watched.visual_tokens) == (120, 120, 3, 3)
    alone = replace(model, sampler=Given(tuple(look.numbers.tolist())))
    seen = watch(alone, longtake.open_video(path), QUESTION)
    assert ask(looking, watched, QUESTION, FEW).text == ask(alone, seen, QUESTION, FEW).text
    torch.testing.assert_close(watched.prefix.last_hidden_1D, seen.prefix.last_hidden_1D)  # type: ignore[attr-defined]
    total = 120 if either_way == "held" else 123
    assert told[0] == ("read", 1, total)
    assert [what for what in told if what[0] != "prefill"][-1] == ("encode", total, total)


def test_both_ways_and_the_command_choose_the_same(path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, video = replace(model, sampler=Distinct(frames=5, seconds=0.5, alike=1.0)), longtake.open_video(path)
    held = watch(looking, video).looks[0]
    monkeypatch.setattr(choosing, "HELD_CANDIDATES", 0)
    again, only = watch(looking, video).looks[0], choose_frames(looking, video)
    assert held.numbers.tolist() == again.numbers.tolist() == only.numbers.tolist()
    assert held.candidates == again.candidates == only.candidates == 120


def test_a_glance_is_the_mean_of_the_features(path: Path, model: Model) -> None:
    video, numbers = longtake.open_video(path), list(range(0, 120, 2))
    shrink = model.encoder.shrinker(tiled=False)
    whole = model.encoder.encode(video.read(numbers, shrink=shrink))
    done: list[int] = []
    glanced = Glancing(model.encoder, chunk_frames=16).encode(
        video.read(numbers, chunk=7, shrink=shrink), progress=done.append
    )
    torch.testing.assert_close(glanced.values_THWD[:, 0, 0], whole.values_THWD.flatten(1, 2).mean(1))
    np.testing.assert_allclose(whole.means_TD, glanced.means_TD, rtol=1e-5, atol=1e-6)
    assert glanced.times_s.tolist() == whole.times_s.tolist() and done == [16, 32, 48, 60]


def test_glances_are_made_of_features_that_are_kept(
    path: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every other candidate whole features are kept, so that only the rest is read; and the choice is the same."""
    monkeypatch.setattr(choosing, "HELD_CANDIDATES", 0)
    looking = replace(model, sampler=Distinct(frames=5, seconds=0.5, alike=1.0))
    chosen = choose_frames(looking, longtake.open_video(path)).numbers.tolist()
    store = longtake.Store(tmp_path / "store")
    watch(replace(model, sampler=Every(seconds=1.0), store=store), longtake.open_video(path))
    video = Counting(longtake.open_video(path))
    look = choose_frames(replace(looking, store=store), video)
    assert look.numbers.tolist() == chosen and video.read_numbers == list(range(1, 120, 2))
    assert look.kept is not None and (look.kept.frames, look.kept.came) == (120, 60)
    again = Counting(longtake.open_video(path))
    assert choose_frames(replace(looking, store=store), again).numbers.tolist() == chosen and not again.read_numbers


def test_sheets_are_made_of_the_frames_that_are_kept(path: Path, model: Model) -> None:
    """Frames on one picture cannot be sifted one by one: they are chosen first, whole."""
    sheets = replace(model, layout=ImageGrid(rows=1, columns=2, tiled=False))
    looking = replace(sheets, sampler=Distinct(frames=3, seconds=0.5, alike=0.9999999))
    watched = watch(looking, longtake.open_video(path))
    alone = replace(sheets, sampler=Given(tuple(watched.looks[0].numbers.tolist())))
    seen = watch(alone, longtake.open_video(path))
    assert watched.looks[0].candidates == 120 and len(watched.looks[0].numbers) == 3
    assert watched.visual_tokens == seen.visual_tokens
    assert ask(looking, watched, QUESTION, FEW).text == ask(alone, seen, QUESTION, FEW).text


def test_tokens_are_counted_by_what_is_kept_at_most(path: Path, model: Model) -> None:
    looking, video = replace(model, sampler=Distinct(frames=9, seconds=0.5)), longtake.open_video(path)
    plan = plan_of(looking, video, "")
    assert (len(plan.numbers), plan.frames, plan.tokens, plan.glance().tokens) == (120, 9, 9, 120)
    small = replace(looking, layout=Grid(pool=1), engine=replace(looking.engine, trained_context=155))
    with pytest.raises(LongtakeError) as caught:
        watch(small, video)
    assert caught.value.code is ErrorCode.LIMIT_CONTEXT
    assert caught.value.reason.startswith("9 frames make 36 tokens")
    assert caught.value.advice.startswith("sample at most 6 frames")


def test_what_was_sifted_out_is_not_lost_and_what_is_lost_is_told(
    model: Model, tmp_path: Path, either_way: str
) -> None:
    """60 frames in groups of ten, of which those from 23 on to the end of their group cannot be decoded."""
    path = damaged_at_23(tmp_path)
    looking = replace(model, sampler=Distinct(frames=4, seconds=0.04, alike=1.0))
    answer = ask(looking, watch(looking, open_video(path, options=ReadOptions(on_corrupt="skip"))), QUESTION, FEW)
    (look,) = answer.looks
    assert (look.asked_frames, look.candidates, len(look.numbers), look.visual_tokens) == (60, 53, 4, 4)
    assert answer.degraded and look.lost_s == ((pytest.approx(0.92), pytest.approx(1.2)),)
    assert "degraded: 53 of the 60 frames that were asked for came; not seen: 0:00:00.92 to 0:00:01.2" in answer.notes


def damaged_at_23(folder: Path) -> Path:
    """60 frames in groups of ten, the 24th torn."""
    path = folder / "damaged.mp4"
    numbered.write(path, Coding(options={"g": "10", "bf": "0", "sc_threshold": "0"}))
    places = open_video(path).table.packets.size_P
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4 + int(places[:23].sum())
    data[start + 6 : start + int(places[23])] = bytes(int(places[23]) - 6)
    path.write_bytes(data)
    return path


def test_a_manifest_tells_what_was_kept_and_what_was_lost(model: Model, tmp_path: Path) -> None:
    """Candidates that came and were left out are no part of what the answer rests on."""
    path, reading = damaged_at_23(tmp_path), ReadOptions(on_corrupt="skip", hash_pixels=True)
    looking = replace(model, sampler=Distinct(frames=4, seconds=0.04, alike=1.0))
    video = open_video(path, options=reading)
    answer = ask(looking, watch(looking, video), QUESTION, FEW)
    manifest = manifest_of(looking, video, answer)
    (told,) = manifest.files
    assert [frame.number for frame in told.frames] == answer.looks[0].numbers.tolist()
    assert (told.got_frames, told.missing, told.asked_frames) == (4, list(range(23, 30)), 11)
    assert verify(manifest, video, model).equal


def test_a_picture_has_nothing_to_choose_from(model: Model, tmp_path: Path) -> None:
    from PIL import Image

    still = tmp_path / "still.png"
    Image.new("RGB", (64, 48), (200, 30, 60)).save(still)
    looking = replace(model, sampler=Distinct(frames=2))
    (look,) = watch(looking, longtake.open_video(still)).looks
    assert (look.numbers.tolist(), look.candidates) == ([0], None)
    assert choose_frames(looking, longtake.open_video(still)).numbers.tolist() == [0]


@dataclass(frozen=True)
class Careless:
    """Keeps what it must not."""

    places: tuple[int, ...]
    frames: int = 2

    def pick(self, video: Video, question: str) -> list[int]:
        return [0, 10, 20, 30]

    def sift(self, features_TD: NDArray[np.float32], times_s: NDArray[np.float64]) -> list[int]:
        return list(self.places)


@pytest.mark.parametrize("places", [(), (0, 1, 2), (1, 0), (1, 1), (-1, 0), (0, 4)])
def test_a_sampler_that_keeps_what_it_must_not_is_found_out(path: Path, model: Model, places: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="want 1 to 2 places, ascending"):
        watch(replace(model, sampler=Careless(places)), longtake.open_video(path))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_the_sheet_shows_what_nano_would_see(cli: Cli, path: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    asked = ("frames", path, "-o", sheet, "--sampler", "distinct", "--frames", "8")
    found = cli.json(*asked)
    assert [frame["number"] for frame in found["frames"]] == [0, 60, 80, 82] and sheet.exists()
    assert (found["asked_frames"], found["candidates"], found["degraded"], found["lost_s"]) == (60, 60, False, [])
    assert cli.json(*asked, "--model", "nano")["frames"] == found["frames"]


def test_a_model_has_nothing_to_look_at_for_a_sampler_by_the_clock(cli: Cli, path: Path, tmp_path: Path) -> None:
    status, _, err = cli("frames", path, "-o", tmp_path / "sheet.png", "--model", "nano")
    assert status == 2 and ONE_LINE.fullmatch(err) and "--sampler distinct" in err


def test_ask_says_of_how_many_it_chose(cli: Cli, path: Path) -> None:
    status, out, err = cli("ask", path, "What number is on the red star?", "--sampler", "distinct")
    assert (status, out) == (0, "red star 417\n")
    assert "; 4 frames, chosen by looks at 60; 16 visual" in err
