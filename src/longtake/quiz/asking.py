"""quiz.asking: a film before it is drawn in, five questions about it out. Knows nothing of pictures or files.

The words are those of the drawn world (`world.questions`), which nano learned. Which place the right option has, or
which answer is right where the options stand in a fixed order, goes by turns: no place and no answer is more frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from longtake.quiz import KINDS, OPTIONS, Question, Spot
from longtake.quiz.casting import ASKS_FOR, WRONG, AsksFor, alternatives, cast
from longtake.quiz.staging import Staged, scenes_in, stage
from longtake.world.questions import COUNT_WORDS, WORDINGS
from longtake.world.scenes import Scene

DIRECTIONS = ("left", "right")


def film_at(spot: Spot) -> tuple[Staged, tuple[Question, ...]]:
    """The film of that place, and one question of each of KINDS about it."""
    rng = spot.rng
    alike, asks_for = spot.turn("counting", OPTIONS["counting"]), ASKS_FOR[spot.turn("asks for", len(ASKS_FOR))]
    found = cast(rng, scenes_in(spot.length_s), alike=alike, asks_for=asks_for)
    if found.move[-1].value != DIRECTIONS[spot.turn("motion", OPTIONS["motion"])]:
        found = replace(found, move=found.move[::-1])
    staged = stage(rng, found, spot.length_s)
    asked = {
        "recognition": _recognition(rng, staged, asks_for, spot.turn("recognition", OPTIONS["recognition"])),
        "counting": _counting(rng, staged, alike),
        "order": _order(rng, staged, spot.turn("order", OPTIONS["order"])),
        "motion": _motion(rng, staged),
        "long range": _long_range(rng, staged, spot.turn("long range", OPTIONS["long range"])),
    }
    return staged, tuple(asked[kind] for kind in KINDS)


def _recognition(rng: np.random.Generator, staged: Staged, asks_for: AsksFor, place: int) -> Question:
    """One scene's value, colour or shape; wrong options that are on screen elsewhere come first."""
    paired = [scene for pair in staged.cast.pairs for scene in pair]
    scene = paired[int(rng.integers(len(paired)))] if asks_for == "value" else staged.cast.lone
    possible = alternatives(scene, asks_for)
    if asks_for == "value":
        # Both stand in a pair: the value of the other one is the wrong option that is certainly on screen.
        wrong = [_partner(staged, scene).value]
    else:
        shown = {getattr(other, asks_for) for other in staged.cast.scenes}
        wrong = [word for word in possible if word in shown][: WRONG - 1]
    wrong += _some(rng, [word for word in possible if word not in wrong], WRONG - len(wrong))
    key = scene.value_kind if asks_for == "value" else asks_for
    text = _worded(rng, key, colour=scene.colour, shape=scene.shape, value=scene.value)
    options = _with(getattr(scene, asks_for), _some(rng, wrong, WRONG), place)
    return Question("recognition", text, options, place, (staged.seen_s(scene),), asks_for)


def _counting(rng: np.random.Generator, staged: Staged, alike: int) -> Question:
    """How many scenes have a colour or a shape."""
    counted = staged.cast.counted
    text = _worded(rng, f"count_{counted.attribute}", **{counted.attribute: counted.word})
    seen_s = [staged.seen_s(scene) for scene in staged.cast.scenes if counted.fits((scene.colour, scene.shape))]
    return Question("counting", text, COUNT_WORDS, alike, tuple(sorted(seen_s)))


def _order(rng: np.random.Generator, staged: Staged, place: int) -> Question:
    """Which of two scenes came first; the options stand as they are named."""
    scenes = [staged.cast.scenes[int(number)] for number in rng.permutation(len(staged.cast.scenes))[:2]]
    first, second = sorted(scenes, key=staged.seen_s)
    named = _with(_look(first), [_look(second)], place)
    text = _worded(rng, "order", first=named[0], second=named[1])
    return Question("order", text, named, place, (staged.seen_s(first), staged.seen_s(second)))


def _motion(rng: np.random.Generator, staged: Staged) -> Question:
    """Which way a shape moves."""
    last = staged.cast.move[-1]
    text = _worded(rng, "motion", colour=last.colour, shape=last.shape)
    return Question("motion", text, DIRECTIONS, DIRECTIONS.index(last.value), (staged.moves_s,))


def _long_range(rng: np.random.Generator, staged: Staged, place: int) -> Question:
    """What is on two scenes that are far apart; each has its own value or its partner's."""
    one, other = staged.far if rng.random() < 0.5 else staged.far[::-1]
    values = [(scene.value, _partner(staged, scene).value) for scene in (one, other)]
    pairs = [f"{_look(one)} {first}, {_look(other)} {second}" for first in values[0] for second in values[1]]
    text = _worded(rng, "several", first=_look(one), second=_look(other))
    options = _with(pairs[0], _some(rng, pairs[1:], WRONG), place)
    return Question("long range", text, options, place, tuple(sorted(staged.seen_s(scene) for scene in (one, other))))


def _partner(staged: Staged, scene: Scene) -> Scene:
    return next(other for pair in staged.cast.pairs if scene in pair for other in pair if other != scene)


def _with(right: str, wrong: Sequence[str], place: int) -> tuple[str, ...]:
    return (*wrong[:place], right, *wrong[place:])


def _look(scene: Scene) -> str:
    return f"{scene.colour} {scene.shape}"


def _some(rng: np.random.Generator, things: Sequence[str], many: int) -> list[str]:
    return [things[int(place)] for place in rng.permutation(len(things))[:many]]


def _worded(rng: np.random.Generator, key: str, **words: str) -> str:
    wordings = WORDINGS[key]
    return wordings[int(rng.integers(len(wordings)))].format(**words)
