"""world: its size, its split into trained and held out, its drawings, and whether its questions have right answers."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from longtake.video.opening import open_video
from longtake.world.drawing import Staging, draw, random_staging
from longtake.world.film import write_film
from longtake.world.films import (
    HELD_OUT,
    MOST_COUNTED,
    TRAINING,
    Hay,
    draw_counted,
    draw_haystack,
    draw_needles,
    draw_shots,
    moves_of,
    scenes_of,
)
from longtake.world.hour import SCENE_S, film, plan_film, questions_about
from longtake.world.outlines import outlines
from longtake.world.places import PANORAMA_WIDTH_PX, panorama
from longtake.world.questions import COUNT_WORDS, KINDS, LETTERS, WORDINGS, Asked, ask_about, can_ask
from longtake.world.scenes import HELD_OUT_SHARE, SCENERY, Clutter, Scene, Scenery, Shot, draw_move, draw_scene
from longtake.world.vocabulary import COLOURS, NOWHERE, NUMBERS, PLACES, SHAPES, SIDES, WORDS


def films(count: int, *, seed: int, frames: int = 24) -> list[list[Shot]]:
    rng = np.random.default_rng(seed)
    drawn = [draw_shots(rng, frames, HELD_OUT) for _ in range(4 * count)]
    return [shots for shots in drawn if len(scenes_of(shots)) > 1][:count]


def test_the_world_is_as_large_as_promised_and_its_words_are_all_different() -> None:
    assert len(COLOURS) >= 12
    assert len(SHAPES) >= 20
    assert len(WORDS) == 200
    assert NUMBERS[0] == "0"
    assert NUMBERS[-1] == "999"
    everything = [*COLOURS, *SHAPES, *WORDS, *NUMBERS, *PLACES, *SIDES]
    assert len(set(everything)) == len(everything)


def test_every_kind_of_question_has_several_wordings() -> None:
    assert all(len(wordings) >= 3 and len(set(wordings)) == len(wordings) for wordings in WORDINGS.values())


def test_a_tenth_of_all_combinations_is_held_out_and_the_parts_do_not_meet() -> None:
    rng = np.random.default_rng(0)
    combinations = [
        Scene(colour, shape, value, PLACES[0])
        for colour in COLOURS
        for shape in SHAPES
        for value in rng.choice([*NUMBERS, *WORDS], 40)
    ]
    share = np.mean([scene.held_out for scene in combinations])
    assert share == pytest.approx(HELD_OUT_SHARE, abs=0.01)
    trained = {draw_scene(rng, held_out=False) for _ in range(2000)}
    kept = {draw_scene(rng, held_out=True) for _ in range(2000)}
    assert not any(scene.held_out for scene in trained)
    assert all(scene.held_out for scene in kept)


def test_the_place_does_not_decide_what_is_held_out() -> None:
    assert len({Scene("red", "star", "417", place).held_out for place in PLACES}) == 1


def test_a_lookalike_shares_colour_or_shape() -> None:
    rng = np.random.default_rng(1)
    scene = draw_scene(rng, held_out=False)
    alike = [draw_scene(rng, held_out=False, like=scene) for _ in range(200)]
    assert all(other.colour == scene.colour or other.shape == scene.shape for other in alike)
    assert any(other.colour != scene.colour for other in alike)
    assert any(other.shape != scene.shape for other in alike)


def test_shots_fill_the_film_and_no_question_about_them_is_ambiguous() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        frames = int(rng.integers(1, 65))
        shots = draw_shots(rng, frames, HELD_OUT)
        scenes = scenes_of(shots)
        assert len(shots) == frames
        assert 1 <= len(scenes) <= 16
        assert len({scene.value for scene in scenes}) == len(scenes)
        assert len({(scene.colour, scene.shape) for scene in scenes}) == len(scenes)
        assert all(1 <= shots.count(scene) <= 3 for scene in scenes)
        assert not {(m.colour, m.shape) for m in moves_of(shots)} & {(s.colour, s.shape) for s in scenes}


def test_a_film_for_counting_shows_each_scene_for_one_frame_and_every_number_is_asked_for() -> None:
    rng = np.random.default_rng(11)
    asked = []
    for _ in range(300):
        shots = draw_counted(rng, int(rng.integers(1, 33)), HELD_OUT)
        scenes = scenes_of(shots)
        assert all(shots.count(scene) == 1 for scene in scenes)
        assert len({(scene.colour, scene.shape) for scene in scenes}) == len(scenes)
        asked.append(ask_about(rng, shots, "count").answer.split()[1])
    assert all(asked.count(COUNT_WORDS[number]) > 15 for number in range(MOST_COUNTED + 1))


def test_a_haystack_has_each_needle_once_and_nothing_that_could_be_taken_for_it() -> None:
    rng = np.random.default_rng(12)
    for symbols in (0.0, 0.5, 1.0):
        needles = draw_needles(rng, 6, HELD_OUT)
        shots = draw_haystack(rng, [[needle] for needle in needles], TRAINING, Hay(400, symbols))
        others = [shot for shot in shots if isinstance(shot, Scene) and shot not in needles]
        assert len(shots) == 400
        assert all(shots.count(needle) == 1 for needle in needles)
        assert len(others) == pytest.approx(400 * symbols, abs=45)
        assert not {(s.colour, s.shape) for s in others} & {(n.colour, n.shape) for n in needles}
        assert not {s.value for s in others} & {n.value for n in needles}


def test_a_shape_moves_from_one_side_to_the_other_and_is_trained_or_held_out_as_a_whole() -> None:
    rng = np.random.default_rng(13)
    for held_out in (True, False):
        for _ in range(50):
            move = draw_move(rng, held_out=held_out)
            assert [scene.value for scene in move] in (["left", "middle", "right"], ["right", "middle", "left"])
            assert {scene.held_out for scene in move} == {held_out}
    staging = Staging(place_seed=0, pan_px=0)
    middles = []
    for side in SIDES:
        shown = draw(Scene("red", "square", side, "night"), staging, width=320, height=180).astype(int)
        middles.append(float(np.nonzero(np.abs(shown - COLOURS["red"]).max(-1) < 4)[1].mean()) / 320)
    assert middles == pytest.approx([0.2, 0.5, 0.8], abs=0.03)


def answer_by_hand(asked: Asked, scenes: list[Scene], moves: list[Scene]) -> str:
    """Find the answer from the words of the question alone: a second road to it."""
    stem, *options = re.split(r" \([ABCD]\) ", asked.question)
    words = set(re.findall(r"\w+", stem.lower()))
    by_value = [scene for scene in scenes if scene.value in words]
    by_look = [scene for scene in scenes if f" {scene.colour} {scene.shape}" in stem]
    if asked.kind == "missing":
        return "not shown" if not by_value and not by_look else "shown"
    if asked.kind == "motion":
        (move,) = [scene for scene in moves if f" {scene.colour} {scene.shape}" in stem]
        return f"{move.colour} {move.shape} {move.value}"
    if asked.kind == "several":
        by_look.sort(key=lambda scene: stem.index(f" {scene.colour} {scene.shape}"))
        return " ".join(f"{scene.colour} {scene.shape} {scene.value}" for scene in by_look)
    if asked.kind == "order":
        return f"{by_look[0].colour} {by_look[0].shape}"
    if asked.kind == "count":
        (word,) = words & {*COLOURS, *SHAPES}
        return f"{word} {COUNT_WORDS[sum(word in (scene.colour, scene.shape) for scene in scenes)]}"
    if by_value:
        (scene,) = by_value
        fits = scene.shape if asked.answer.split()[1] in SHAPES else scene.colour
        answer = f"{scene.value} {fits}"
    else:
        (scene,) = by_look
        answer = f"{scene.colour} {scene.shape} {scene.value}"
    if asked.kind == "letter":
        answer += f" {LETTERS[options.index(answer.split()[-1])]}"
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_right(kind: str) -> None:
    rng = np.random.default_rng(3)
    for shots in films(150, seed=4):
        if not can_ask(shots, kind):
            continue
        asked = ask_about(rng, shots, kind)
        if kind != "count" or asked.answer.split()[1] != "many":
            assert asked.answer == answer_by_hand(asked, scenes_of(shots), moves_of(shots)), asked


def test_letters_are_equally_often_right() -> None:
    rng = np.random.default_rng(5)
    letters = [ask_about(rng, shots, "letter").answer.split()[-1] for shots in films(400, seed=6, frames=8)]
    assert all(letters.count(letter) > 60 for letter in LETTERS)


def test_there_is_an_outline_for_every_shape_and_no_two_look_the_same() -> None:
    assert set(outlines()) == set(SHAPES)
    staging = Staging(place_seed=0, pan_px=0)
    drawn = [draw(Scene("red", shape, "7", "sea"), staging, width=96, height=96) for shape in SHAPES]
    for one in range(len(SHAPES)):
        for other in range(one):
            assert (drawn[one] != drawn[other]).mean() > 0.01, (SHAPES[one], SHAPES[other])


def test_the_middle_of_a_shape_has_its_colour() -> None:
    for colour, rgb in COLOURS.items():
        picture = draw(Scene(colour, "square", "7", "night"), Staging(place_seed=0, pan_px=0), width=320, height=180)
        middle = picture[int(180 * 0.5) - 20, 160]
        assert np.abs(middle.astype(int) - rgb).max() <= 2, colour


def test_a_panorama_repeats_without_a_seam() -> None:
    for place in PLACES:
        picture = panorama(place, 1).astype(float)
        seam = np.abs(picture[:, 0] - picture[:, -1]).mean()
        steps = np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2))
        assert picture.shape[1] == PANORAMA_WIDTH_PX
        assert seam <= np.quantile(steps, 0.995) + 2, place


def test_a_written_film_has_the_frames_that_were_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    shots = draw_shots(rng, 5, HELD_OUT)
    pictures = [draw(shot, random_staging(rng, places=3), width=160, height=90) for shot in shots]
    write_film(tmp_path / "film.mp4", pictures, fps=Fraction(2), crf=10)
    video = open_video(str(tmp_path / "film.mp4"))
    assert video.times_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    (frames,) = video.read([0, 1, 2, 3, 4])
    for drawn, read in zip(pictures, frames.pixels_TCHW, strict=True):
        assert np.abs(drawn.astype(int) - read.transpose(1, 2, 0)).mean() < 12


def test_an_hour_has_no_gap_and_whoever_looks_each_second_sees_each_scene_once() -> None:
    for seed in range(20):
        takes = plan_film(seed, fps=5)
        scenes = [take for take in takes if isinstance(take.shot, Scene)]
        assert takes[0].start_s == 0.0
        assert takes[-1].end_s == 3600.0
        assert all(one.end_s == two.start_s for one, two in zip(takes, takes[1:], strict=False))
        assert len(scenes) == 5
        for take in scenes:
            frames = range(round(take.start_s * 5), round(take.end_s * 5))
            assert len(frames) == 5 * SCENE_S and take.end_s - take.start_s == pytest.approx(SCENE_S)
            for first_look in range(5):
                assert sum(frame % 5 == first_look for frame in frames) == 1
        assert all(take.shot.held_out for take in scenes if isinstance(take.shot, Scene))
        assert any(isinstance(take.shot, Scenery) for take in takes)
    assert plan_film(1, fps=5) != plan_film(2, fps=5)
    assert len({round(take.start_s * 5) % 5 for take in takes if isinstance(take.shot, Scene)}) > 1


def test_the_bundled_questions_are_those_of_the_bundled_film() -> None:
    takes = plan_film(5, fps=2)
    asked = questions_about(takes, ("value", "colour", "letter"), seed=5)
    assert len({take.start_s for _, take in asked}) == 3
    first_seconds = [take for take in takes if take.end_s <= 30.0]
    pictures = list(film(first_seconds, fps=2, width=64, height=36))
    assert len(pictures) == round(first_seconds[-1].end_s * 2)
    assert (pictures[0] != pictures[4]).any()


def test_what_is_told_of_nowhere_may_look_like_a_scene_but_never_like_the_needle() -> None:
    rng = np.random.default_rng(11)
    needles = draw_needles(rng, 3, TRAINING)
    told = draw_haystack(rng, [[needle] for needle in needles], TRAINING, Hay(20_000, clutter=1.0, nowhere=0.5))
    clutter = [shot for shot in told if isinstance(shot, Clutter)]
    whole = [shot for shot in clutter if shot.words[0] in COLOURS and shot.words[1] in SHAPES]
    assert 4_000 < len(whole) < 6_000 and all(shot.place == NOWHERE for shot in whole)
    assert 8_000 < sum(shot.place == NOWHERE for shot in clutter) < 12_000
    assert not {(shot.words[0], shot.words[1]) for shot in whole} & {(one.colour, one.shape) for one in needles}
    assert not {shot.words[2] for shot in clutter} & {one.value for one in needles}
    told_all = [Scene(*shot.caption) for shot in whole if shot.words[2] != SCENERY[2]]
    assert len(told_all) > 2_000 and not any(scene.held_out for scene in told_all)
