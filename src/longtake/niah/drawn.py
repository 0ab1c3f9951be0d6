"""niah.drawn: a seed in, trials of the drawn world out, and pictures to hide them among. Knows no models or files.

What is put in is held out: no training saw its combinations of colour, shape and value, nor the places behind them.

    find     one scene, asked for its value, colour or shape, or for the letter of one of these
    several  two scenes, one question about both
    order    two scenes, asked which came first
    count    none to five scenes of one colour or shape, and others; asked how many
    clip     three frames of a shape that moves, asked which way
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.niah import Beside, Insertion, Trial
from longtake.world.drawing import Staging, draw, random_staging
from longtake.world.films import HELD_OUT, MOST_COUNTED, TRAINING, draw_needles
from longtake.world.questions import COUNT_WORDS, LETTERS, WORDINGS, Asked, ask_about
from longtake.world.scenes import Scene
from longtake.world.vocabulary import COLOURS, NUMBERS, SHAPES, WORDS

FindKind = Literal["value", "colour", "shape", "letter"]
Picture = NDArray[np.uint8]
Event = tuple[Scene, ...]
"""What is seen, frame by frame: one scene, or a shape that moves."""
Depth = tuple[float | None, Beside]
"""Of an insertion: its fields `depth` and `beside`."""
AT_DEPTH: Depth = (None, "")

FIRST_PLACE = 2**21
"""Panoramas of needles are numbered from here: none was in training, in the exam or in the bundled film."""
FIRST_SYMBOL_PLACE = 2**22
"""Panoramas behind distractors are numbered from here."""
PLACES_EACH = 4
SYMBOL_PLACES_EACH = 4
WIDTH_PX, HEIGHT_PX = 320, 180
"""As a user's video has them; the model's own encoder makes them small."""

MOST_SYMBOLS = 600
"""So many different distractors are drawn at most; a long haystack shows each several times."""
LIKE_SHARE = 0.4
"""So many distractors share the colour or the shape of something that is asked for."""
MOST_OTHERS = 3
"""At most so many scenes that are not counted stand beside those that are."""
COUNTED_COLOURS, COUNTED_SHAPES = 3, 4
"""A run counts things of so many colours and shapes only, which no distractor has."""
_TRIES = 2000
_DrawOther = Callable[[np.random.Generator, Scene | None], Event]


@dataclass(frozen=True, eq=False)
class DrawnTrials:
    """Trials of one task, and what other pictures must not show if answers are to stay right.

    Attributes:
        trials: in order.
        shown: for each trial the scenes that it puts in, in the order of its insertions.
        counted: the colours and shapes whose number is asked for; empty where nothing is counted.
    """

    trials: tuple[Trial, ...]
    shown: tuple[tuple[Scene, ...], ...] = ()
    counted: frozenset[str] = frozenset()

    @cached_property
    def needles(self) -> tuple[Scene, ...]:
        """Every scene that some trial puts in."""
        return tuple(scene for scenes in self.shown for scene in scenes)

    def may_stand_beside(self, scene: Scene) -> bool:
        """Whether `scene` leaves every answer as it is: it has no needle's value, and no needle's colour and shape
        together; where things are counted it has no colour and no shape that is. Values of moving shapes do not count.
        """
        if self.counted:
            return scene.colour not in self.counted and scene.shape not in self.counted
        return all(_unlike(scene, needle) for needle in self.needles)


@dataclass(frozen=True)
class _Drawn:
    """One trial before it is filmed: groups of shots, each with the depth where it goes (see `Insertion`)."""

    asked: Asked
    chance: float
    events: Sequence[Sequence[Scene]]
    depths: Sequence[Depth] = (AT_DEPTH,)


@dataclass(frozen=True)
class _Wanted:
    """What trial number `number` of a run asks for: `kind` where one needle is looked for, else one of `counted`."""

    number: int
    kind: FindKind
    counted: Sequence[str]


def draw_trials(task: str, count: int, *, seed: int, kind: FindKind = "value", in_words: bool = False) -> DrawnTrials:
    """`count` trials of one of TASKS; trial k is the same however many there are.

    Where several things are put in, the first is at the cell's depth and the others elsewhere: at depths of their own
    (`several`, `count`), or anywhere on that side of the cell's depth on which the answer wants them (`order`).

    Args:
        task: one of TASKS.
        count: how many.
        seed: draws all.
        kind: what `find` asks for; the other tasks know one question only.
        in_words: put in captions, one for each picture, instead of pictures.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    if task not in TASKS:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--task", f"there is no {task!r}", f"take {', '.join(TASKS)}")
    if kind != "value" and task != "find":
        reason, advice = f"{kind!r} is asked for one needle alone", "leave it out, or take --task find"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--kind", reason, advice)
    counted = _counted_words(seed)
    trials, shown = list[Trial](), list[tuple[Scene, ...]]()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        drawn = _DRAWING[task](rng, _Wanted(number, kind, counted))
        stem = f"{task}-{kind}" if task == "find" else task
        insertions = _captioned(drawn) if in_words else _filmed(rng, drawn)
        asked = drawn.asked
        trials.append(Trial(f"{stem}-{number:02}", insertions, asked.question, asked.answer, drawn.chance))
        shown.append(tuple(scene for event in drawn.events for scene in event))
    return DrawnTrials(tuple(trials), tuple(shown), frozenset(counted) if task == "count" else frozenset())


def draw_symbols(beside: DrawnTrials, count: int, *, seed: int) -> list[Event]:
    """`count` other things to see, which leave the answers of `beside` as they are: held-out scenes of one frame each;
    beside clips other shapes that move, which may have been in training, for only 25 are held out.

    Two in five are lookalikes, with the colour or the shape of something that is asked for.

    Raises:
        LongtakeError: `usage.bad_option` where so many needles are asked for that nothing else is left.
    """
    rng = np.random.default_rng([seed, MOST_SYMBOLS])
    draw_other = _other_move if any(needle.moving for needle in beside.needles) else _other_scene
    return [_symbol(rng, beside, draw_other) for _ in range(count)]


def film_symbols(symbols: Sequence[Event], *, seed: int) -> list[tuple[Picture, ...]]:
    """Pictures of each, one for each of its frames."""
    rng = np.random.default_rng([seed, MOST_SYMBOLS, 1])
    stagings = [random_staging(rng, places=SYMBOL_PLACES_EACH, first_place=FIRST_SYMBOL_PLACE) for _ in symbols]
    return [_film(event, staging) for event, staging in zip(symbols, stagings, strict=True)]


def _symbol(rng: np.random.Generator, beside: DrawnTrials, draw_other: _DrawOther) -> Event:
    like = beside.needles[int(rng.integers(len(beside.needles)))] if beside.needles else None
    like = like if rng.random() < LIKE_SHARE else None
    for attempt in range(_TRIES):
        # A lookalike may be ruled out by what all the others ask for.
        event = draw_other(rng, like if attempt < _TRIES // 2 else None)
        if beside.may_stand_beside(event[0]):
            return event
    reason = f"with {len(beside.trials):,} of them hardly anything else is left to hide them among"
    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--trials", reason, "ask for fewer")


def _other_scene(rng: np.random.Generator, like: Scene | None) -> Event:
    return (HELD_OUT.scene(rng, like),)


def _other_move(rng: np.random.Generator, like: Scene | None) -> Event:
    while True:
        move = TRAINING.move(rng)
        if like is None or like.colour == move[0].colour or like.shape == move[0].shape:
            return move


def _find(rng: np.random.Generator, wanted: _Wanted) -> _Drawn:
    scene = HELD_OUT.scene(rng)
    chances = {"value": _value_chance(scene), "colour": 1 / len(COLOURS), "shape": 1 / len(SHAPES)}
    return _Drawn(ask_about(rng, [scene], wanted.kind), chances.get(wanted.kind, 1 / len(LETTERS)), [[scene]])


def _several(rng: np.random.Generator, wanted: _Wanted) -> _Drawn:
    one, two = draw_needles(rng, 2, HELD_OUT)
    asked = ask_about(rng, [one, two], "several")
    chance = _value_chance(one) * _value_chance(two)
    return _Drawn(asked, chance, [[one], [two]], (AT_DEPTH, (float(rng.random()), "")))


def _order(rng: np.random.Generator, wanted: _Wanted) -> _Drawn:
    """The answer must not turn with the cell's depth, so the other scene stands on one side of it."""
    one, two = draw_needles(rng, 2, HELD_OUT)
    asked, share = ask_about(rng, [one, two], "order"), float(rng.random())
    depths: Sequence[Depth] = (AT_DEPTH, (share, "behind")) if rng.random() < 0.5 else ((share, "before"), AT_DEPTH)
    return _Drawn(asked, 1 / 2, [[one], [two]], depths)


def _count(rng: np.random.Generator, wanted: _Wanted) -> _Drawn:
    """Numbers take turns, so that none is asked for more often; each scene lasts one frame."""
    word = wanted.counted[int(rng.integers(len(wanted.counted)))]
    attribute = "colour" if word in COLOURS else "shape"
    alike, others = wanted.number % (MOST_COUNTED + 1), int(rng.integers(1, MOST_OTHERS + 1))
    scenes: list[Scene] = []
    while len(scenes) < alike + others:
        scene = HELD_OUT.scene(rng)
        counts = len(scenes) < alike
        if (getattr(scene, attribute) == word) == counts and all(_unlike(scene, other) for other in scenes):
            scenes.append(scene)
    wordings = WORDINGS[f"count_{attribute}"]
    question = wordings[int(rng.integers(len(wordings)))].format(**{attribute: word})
    asked = Asked("count", question, f"{word} {COUNT_WORDS[alike]}")
    depths = (AT_DEPTH, *((float(depth), "") for depth in rng.random(len(scenes) - 1)))
    return _Drawn(asked, 1 / (MOST_COUNTED + 1), [[scene] for scene in scenes], depths)


def _counted_words(seed: int) -> list[str]:
    rng = np.random.default_rng([seed, MOST_SYMBOLS, MOST_COUNTED])
    colours, shapes = rng.permutation(list(COLOURS))[:COUNTED_COLOURS], rng.permutation(SHAPES)[:COUNTED_SHAPES]
    return [str(word) for word in (*colours, *shapes)]


def _clip(rng: np.random.Generator, wanted: _Wanted) -> _Drawn:
    move = HELD_OUT.move(rng)
    return _Drawn(ask_about(rng, move, "motion"), 1 / 2, [move])


_DRAWING: dict[str, Callable[[np.random.Generator, _Wanted], _Drawn]] = {
    "find": _find,
    "several": _several,
    "order": _order,
    "count": _count,
    "clip": _clip,
}
TASKS = tuple(_DRAWING)


def _filmed(rng: np.random.Generator, drawn: _Drawn) -> tuple[Insertion, ...]:
    insertions = []
    for event, (depth, beside) in zip(drawn.events, drawn.depths, strict=True):
        # One camera for all frames of a clip: only the shape moves.
        staging = random_staging(rng, places=PLACES_EACH, first_place=FIRST_PLACE)
        insertions.append(Insertion(_film(event, staging), depth, beside))
    return tuple(insertions)


def _film(event: Sequence[Scene], staging: Staging) -> tuple[Picture, ...]:
    return tuple(draw(scene, staging, width=WIDTH_PX, height=HEIGHT_PX) for scene in event)


def _captioned(drawn: _Drawn) -> tuple[Insertion, ...]:
    captions = [" ".join(word for scene in event for word in scene.caption) for event in drawn.events]
    return tuple(
        Insertion((), depth, beside, text=caption)
        for caption, (depth, beside) in zip(captions, drawn.depths, strict=True)
    )


def _value_chance(scene: Scene) -> float:
    """Of one who guesses and knows that a number or a word is asked for."""
    return 1 / len(NUMBERS if scene.value_kind == "number" else WORDS)


def _unlike(one: Scene, other: Scene) -> bool:
    # Of two shapes that move the values are sides of the picture.
    return (one.moving or one.value != other.value) and (one.colour, one.shape) != (other.colour, other.shape)
