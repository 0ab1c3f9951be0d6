"""world/questions: shots in, questions in plain English with their right answers out. Knows nothing of pixels.

Answers are short and begin with what they rest on: `red star 417`, `417 red`, `red star 417 (B)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.world.films import moves_of, scenes_of
from longtake.world.scenes import Scene, Shot, draw_scene
from longtake.world.vocabulary import COLOURS, NUMBERS, SHAPES, WORDS

LETTERS = ("(A)", "(B)", "(C)", "(D)")
COUNT_WORDS = ("none", "one", "two", "three", "four", "five")
NOT_SHOWN = "not shown"

WORDINGS: dict[str, tuple[str, ...]] = {
    "number": (
        "What number is on the {colour} {shape}?",
        "Which number is shown with the {colour} {shape}?",
        "What number does the {colour} {shape} have?",
        "Read the number next to the {colour} {shape}.",
        "Find the {colour} {shape}. What number is it?",
        "Tell me the number of the {colour} {shape}.",
        "There is a {colour} {shape} in the video. Which number belongs to it?",
    ),
    "word": (
        "What word is on the {colour} {shape}?",
        "Which word is shown with the {colour} {shape}?",
        "What word does the {colour} {shape} have?",
        "Read the word next to the {colour} {shape}.",
        "Find the {colour} {shape}. What word is it?",
        "Tell me the word of the {colour} {shape}.",
        "There is a {colour} {shape} in the video. Which word belongs to it?",
    ),
    "either": (
        "What is written next to the {colour} {shape}?",
        "What does the {colour} {shape} say?",
        "What can be read with the {colour} {shape}?",
    ),
    "colour": (
        "What colour is the {shape} with {value}?",
        "What color is the shape that says {value}?",
        "Which colour has the {shape} next to {value}?",
        "Find {value}. What colour is the shape?",
        "What is the colour of the shape with {value}?",
        "Tell me the color of the thing with {value}.",
    ),
    "shape": (
        "What shape is next to {value}?",
        "Which shape has {value}?",
        "What shape is the {colour} thing with {value}?",
        "Find {value}. What shape is it?",
        "Which shape is shown with {value}?",
        "Tell me the shape that says {value}.",
    ),
    "count_colour": (
        "How many shapes are {colour}?",
        "How many {colour} shapes are there?",
        "Count the {colour} shapes.",
        "In how many scenes is there a {colour} shape?",
    ),
    "count_shape": (
        "How many times is there a {shape}?",
        "In how many scenes is there a {shape}?",
        "How often is a {shape} shown?",
        "Count the scenes with a {shape}.",
    ),
    "order": (
        "Which came first, the {first} or the {second}?",
        "What is shown first, the {first} or the {second}?",
        "Which one is earlier, the {first} or the {second}?",
    ),
    "several": (
        "What is on the {first} and what is on the {second}?",
        "What do the {first} and the {second} say?",
        "Read what is next to the {first} and the {second}.",
    ),
    "motion": (
        "Which way does the {colour} {shape} move?",
        "Where does the {colour} {shape} move to?",
        "In which direction does the {colour} {shape} go?",
    ),
}

KINDS = ("value", "colour", "shape", "letter", "count", "order", "missing", "several", "motion")


TWO = ("order", "several")
"""Kinds that are about two scenes."""


@dataclass(frozen=True)
class Asked:
    """A question about some shots, and its right answer, word for word."""

    kind: str
    question: str
    answer: str


def can_ask(shots: Sequence[Shot], kind: str) -> bool:
    """Whether a question of `kind` has an answer about `shots`: some want two scenes, or a shape that moves."""
    return bool(moves_of(shots)) if kind == "motion" else len(scenes_of(shots)) >= (2 if kind in TWO else 1)


def ask_about(rng: np.random.Generator, shots: Sequence[Shot], kind: str) -> Asked:
    """A question of `kind` (one of KINDS) about `shots`; see `can_ask`."""
    scenes = moves_of(shots) if kind == "motion" else scenes_of(shots)
    return _ASKERS[kind](rng, scenes, scenes[int(rng.integers(len(scenes)))])


def _worded(rng: np.random.Generator, key: str, **words: str) -> str:
    wordings = WORDINGS[key]
    return wordings[int(rng.integers(len(wordings)))].format(**words)


def _some(rng: np.random.Generator, things: Sequence[str], many: int) -> list[str]:
    return [things[place] for place in rng.permutation(len(things))[:many]]


def _about_value(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    key = "either" if rng.random() < 0.25 else scene.value_kind
    question = _worded(rng, key, colour=scene.colour, shape=scene.shape)
    return Asked("value", question, f"{scene.colour} {scene.shape} {scene.value}")


def _about_colour(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    question = _worded(rng, "colour", shape=scene.shape, value=scene.value)
    return Asked("colour", question, f"{scene.value} {scene.colour}")


def _about_shape(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    question = _worded(rng, "shape", colour=scene.colour, value=scene.value)
    return Asked("shape", question, f"{scene.value} {scene.shape}")


def _about_letter(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    attribute = ("value", "colour", "shape")[int(rng.integers(3))]
    asked = _ASKERS[attribute](rng, scenes, scene)
    right: str = getattr(scene, attribute)
    everything = {
        "value": NUMBERS if scene.value_kind == "number" else WORDS,
        "colour": tuple(COLOURS),
        "shape": SHAPES,
    }[attribute]
    seen = [getattr(other, attribute) for other in scenes if other.value_kind == scene.value_kind]
    pool = dict.fromkeys([*_some(rng, seen, 2), *_some(rng, everything, 4)])
    options = [option for option in pool if option != right][:3]
    place = int(rng.integers(4))
    options.insert(place, right)
    listed = " ".join(f"{letter} {option}" for letter, option in zip(LETTERS, options, strict=True))
    return Asked("letter", f"{asked.question} {listed}", f"{asked.answer} {LETTERS[place]}")


def _about_count(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    """Large numbers are asked for more often than small ones: there are always words that fit none or one."""
    many = {
        (attribute, word): sum(getattr(other, attribute) == word for other in scenes)
        for attribute, words in (("colour", tuple(COLOURS)), ("shape", SHAPES))
        for word in words
    }
    numbers = sorted(set(many.values()))
    weights = np.array(numbers) + 1.0
    number = int(rng.choice(numbers, p=weights / weights.sum()))
    asked = [key for key, found in many.items() if found == number]
    attribute, word = asked[int(rng.integers(len(asked)))]
    question = _worded(rng, f"count_{attribute}", **{attribute: word})
    return Asked("count", question, f"{word} {COUNT_WORDS[number] if number < len(COUNT_WORDS) else 'many'}")


def _about_order(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    one, two = (scenes[place] for place in sorted(_two(rng, scenes)))
    names = [_look(one), _look(two)]
    first, second = names if rng.random() < 0.5 else names[::-1]
    return Asked("order", _worded(rng, "order", first=first, second=second), names[0])


def _about_several(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    one, two = (scenes[place] for place in _two(rng, scenes))
    question = _worded(rng, "several", first=_look(one), second=_look(two))
    return Asked("several", question, f"{_look(one)} {one.value} {_look(two)} {two.value}")


def _about_motion(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    question = _worded(rng, "motion", colour=scene.colour, shape=scene.shape)
    return Asked("motion", question, f"{_look(scene)} {scene.value}")


def _two(rng: np.random.Generator, scenes: list[Scene]) -> list[int]:
    places: list[int] = rng.choice(len(scenes), 2, replace=False).tolist()
    return places


def _look(scene: Scene) -> str:
    return f"{scene.colour} {scene.shape}"


def _about_missing(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    """A question about something that is not there, most often a lookalike of something that is."""
    while True:
        other = draw_scene(rng, held_out=False, like=scene if rng.random() < 0.6 else None)
        same = any(s.value == other.value or (s.colour, s.shape) == (other.colour, other.shape) for s in scenes)
        if not same:
            break
    kind = ("value", "value", "colour", "shape")[int(rng.integers(4))]
    return Asked("missing", _ASKERS[kind](rng, scenes, other).question, NOT_SHOWN)


_ASKERS: dict[str, Callable[[np.random.Generator, list[Scene], Scene], Asked]] = {
    "value": _about_value,
    "colour": _about_colour,
    "shape": _about_shape,
    "letter": _about_letter,
    "count": _about_count,
    "order": _about_order,
    "missing": _about_missing,
    "several": _about_several,
    "motion": _about_motion,
}
