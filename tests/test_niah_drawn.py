"""niah.drawn: trials whose answers hold at every depth, and other pictures that leave them as they are."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.niah import Cell, Trial
from longtake.niah.drawn import TASKS, DrawnTrials, draw_symbols, draw_trials, film_symbols
from longtake.world import vocabulary
from longtake.world.questions import COUNT_WORDS
from longtake.world.scenes import Scene
from longtake.world.vocabulary import COLOURS, SHAPES

SIDES = list(vocabulary.SIDES)
DEPTHS = (0.0, 0.2, 0.5, 1.0)
FRAMES = (8, 200)


def look(scene: Scene) -> str:
    return f"{scene.colour} {scene.shape}"


def in_time(trial: Trial, frames: int, depth: float) -> list[int]:
    """The insertions in the order in which a viewer sees them."""
    places = Cell(frames, depth, trial).places
    return sorted(range(len(places)), key=lambda insertion: places[insertion])


@pytest.mark.parametrize("task", TASKS)
def test_nothing_that_is_put_in_was_in_training(task: str) -> None:
    drawn = draw_trials(task, 7, seed=5)
    assert [len(trial.insertions) > 0 for trial in drawn.trials] == [True] * 7
    assert len(drawn.shown) == 7
    assert all(scene.held_out for scene in drawn.needles)


@pytest.mark.parametrize("task", ["find", "count"])
def test_a_trial_is_the_same_however_many_there_are(task: str) -> None:
    few, many = draw_trials(task, 1, seed=3), draw_trials(task, 2, seed=3)
    assert few.shown == many.shown[:1]
    assert few.trials[0].question == many.trials[0].question
    pictures = [trial.insertions[0].pictures[0] for trial in (few.trials[0], many.trials[0])]
    assert np.array_equal(*pictures)
    assert draw_trials(task, 1, seed=4).shown != few.shown


def test_one_needle_is_asked_for_in_four_ways() -> None:
    for kind in ("value", "colour", "shape", "letter"):
        drawn = draw_trials("find", 4, seed=1, kind=kind)
        for trial, (scene,) in zip(drawn.trials, drawn.shown, strict=True):
            assert trial.name.startswith(f"find-{kind}-")
            right = {
                "value": f"{look(scene)} {scene.value}",
                "colour": f"{scene.value} {scene.colour}",
                "shape": f"{scene.value} {scene.shape}",
            }
            assert trial.answer == right[kind] if kind in right else trial.answer[-3:] in trial.question
            assert trial.chance is not None and trial.chance <= 0.25


def test_which_came_first_is_right_at_every_depth() -> None:
    drawn = draw_trials("order", 12, seed=2)
    for trial, scenes in zip(drawn.trials, drawn.shown, strict=True):
        for frames in FRAMES:
            for depth in DEPTHS:
                first = in_time(trial, frames, depth)[0]
                assert look(scenes[first]) == trial.answer, (trial.name, frames, depth)
                assert int(depth * frames) in Cell(frames, depth, trial).places
    # One who always says the thing asked for first, or the one at the cell's depth, is right in half of them.
    at_depth_first = [trial.insertions[0].depth is None for trial in drawn.trials]
    named_first = [
        trial.question.index(trial.answer) == min(trial.question.index(look(scene)) for scene in scenes)
        for trial, scenes in zip(drawn.trials, drawn.shown, strict=True)
    ]
    assert 0 < sum(at_depth_first) < 12 and 0 < sum(named_first) < 12


def test_numbers_to_count_take_turns_and_are_right() -> None:
    drawn = draw_trials("count", 12, seed=8)
    counts = []
    for trial, scenes in zip(drawn.trials, drawn.shown, strict=True):
        word, number = trial.answer.split()
        assert word in trial.question and word in drawn.counted
        alike = [scene for scene in scenes if word in (scene.colour, scene.shape)]
        assert COUNT_WORDS[len(alike)] == number
        assert 1 <= len(scenes) - len(alike) <= 3
        assert [len(insertion.pictures) for insertion in trial.insertions] == [1] * len(scenes)
        counts.append(len(alike))
    assert sorted(counts) == sorted([0, 1, 2, 3, 4, 5] * 2)


def test_two_are_read_in_the_order_in_which_they_are_asked_for() -> None:
    drawn = draw_trials("several", 6, seed=4)
    for trial, scenes in zip(drawn.trials, drawn.shown, strict=True):
        asked = sorted(scenes, key=lambda scene: trial.question.index(look(scene)))
        assert trial.answer == " ".join(f"{look(scene)} {scene.value}" for scene in asked)
        at_depth, elsewhere = trial.insertions
        assert at_depth.depth is None and elsewhere.depth is not None and elsewhere.beside == ""


def test_only_the_shape_moves_in_a_clip() -> None:
    drawn = draw_trials("clip", 4, seed=6)
    for trial, scenes in zip(drawn.trials, drawn.shown, strict=True):
        (clip,) = trial.insertions
        assert trial.answer == f"{look(scenes[0])} {scenes[-1].value}" and trial.chance == 0.5
        first, middle, last = (picture.astype(int) for picture in clip.pictures)
        changed = np.abs(first - last).max(axis=2) > 24
        columns = np.flatnonzero(changed.any(axis=0))
        # What changes is on both sides, and most of the picture stays as it is.
        assert columns[0] < 160 < columns[-1] and changed.mean() < 0.5
        assert np.abs(first - middle).max() > 24


@pytest.mark.parametrize("task", TASKS)
def test_distractors_leave_every_answer_as_it_is(task: str) -> None:
    beside = draw_trials(task, 20, seed=9, in_words=True)
    events = draw_symbols(beside, 300, seed=9)
    symbols = [event[0] for event in events]
    if task == "clip":
        # Nothing else that moves looks like what is asked for; all of it moves.
        assert all([scene.value for scene in event] in (SIDES, SIDES[::-1]) for event in events)
        assert len(set(events)) > 100
    else:
        assert len(set(events)) > 200 and all(len(event) == 1 and event[0].held_out for event in events)
    for trial, needles in zip(beside.trials, beside.shown, strict=True):
        for symbol in symbols:
            if task == "count":
                assert trial.answer.split()[0] not in (symbol.colour, symbol.shape)
            else:
                assert all(look(symbol) != look(one) for one in needles)
                assert task == "clip" or all(symbol.value != one.value for one in needles)
    colours, shapes = {one.colour for one in beside.needles}, {one.shape for one in beside.needles}
    alike = sum(symbol.colour in colours or symbol.shape in shapes for symbol in symbols)
    assert alike > 0.4 * len(symbols)


def test_words_instead_of_pictures_are_the_captions_of_the_same_scenes() -> None:
    filmed, written = draw_trials("clip", 2, seed=7), draw_trials("clip", 2, seed=7, in_words=True)
    assert written.shown == filmed.shown
    for trial, scenes in zip(written.trials, written.shown, strict=True):
        (insertion,) = trial.insertions
        assert insertion.text.split() == [word for scene in scenes for word in scene.caption]
        assert insertion.pictures == ()


def test_a_symbol_is_filmed_in_its_colour() -> None:
    beside = draw_trials("find", 1, seed=0)
    symbols = draw_symbols(beside, 6, seed=0)
    for (symbol,), (picture,) in zip(symbols, film_symbols(symbols, seed=0), strict=True):
        assert picture.shape == (180, 320, 3)
        near = np.abs(picture.astype(int) - COLOURS[symbol.colour]).max(axis=2) < 12
        assert near.mean() > 0.02, symbol


def test_too_many_needles_leave_nothing_to_hide_them_among() -> None:
    every = tuple(
        (Scene(colour, shape, str(number), "sea"),)
        for number, (colour, shape) in enumerate((colour, shape) for colour in COLOURS for shape in SHAPES)
    )
    with pytest.raises(LongtakeError) as refused:
        draw_symbols(DrawnTrials((), every), 1, seed=0)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION and refused.value.subject == "--trials"


def test_unknown_tasks_and_questions_that_do_not_fit_are_refused() -> None:
    for task, kind in (("hunt", "value"), ("order", "letter")):
        with pytest.raises(LongtakeError) as refused:
            draw_trials(task, 1, seed=0, kind=kind)  # type: ignore[arg-type]
        assert refused.value.code is ErrorCode.USAGE_BAD_OPTION
