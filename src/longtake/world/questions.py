"""world/questions: shots in, questions in plain English with their right answers out. Knows nothing of pixels.

Answers are short and begin with what they rest on: `red star 417`, `417 red`, `red star 417 (B)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.world.scenes import Scene, Shot, draw_scene, draw_scenery
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
}

KINDS = ("value", "colour", "shape", "letter", "count", "order", "missing")


@dataclass(frozen=True)
class Asked:
    """A question about some shots, and its right answer, word for word."""

    kind: str
    question: str
    answer: str


SceneSource = Callable[[np.random.Generator, Scene | None], Scene]
"""Draws a scene; where one is given, a lookalike that shares its colour or its shape."""


def draw_shots(rng: np.random.Generator, frames: int, source: SceneSource, *, most_scenes: int = 16) -> list[Shot]:
    """What each of `frames` frames shows: some scenes for one to three frames each, scenery between them.

    No two scenes have the same value, or the same colour and shape. About half of them are lookalikes of another.
    """
    wanted = int(rng.integers(1, min(frames, most_scenes) + 1))
    scenes: list[Scene] = []
    while len(scenes) < wanted:
        scene = source(rng, scenes[-1] if scenes and rng.random() < 0.5 else None)
        if all(s.value != scene.value and (s.colour, s.shape) != (scene.colour, scene.shape) for s in scenes):
            scenes.append(scene)
    lasting = np.ones(wanted, dtype=int)
    for place in rng.integers(0, wanted, int(rng.integers(0, wanted + 1))):
        if lasting.sum() < frames and lasting[place] < 3:
            lasting[place] += 1
    gaps = rng.multinomial(frames - int(lasting.sum()), np.full(wanted + 1, 1 / (wanted + 1)))
    shots: list[Shot] = [draw_scenery(rng) for _ in range(gaps[0])]
    for scene, frames_long, gap in zip(rng.permutation(np.array(scenes, dtype=object)), lasting, gaps[1:], strict=True):
        shots += [scene] * int(frames_long)
        shots += [draw_scenery(rng) for _ in range(gap)]
    return shots


def scenes_of(shots: Sequence[Shot]) -> list[Scene]:
    """The different scenes among `shots`, in order of appearance."""
    return [shot for shot in dict.fromkeys(shots) if isinstance(shot, Scene)]


def ask_about(rng: np.random.Generator, shots: Sequence[Shot], kind: str) -> Asked:
    """A question of `kind` (one of KINDS) about `shots`, which hold at least one scene (two for `order`)."""
    scenes = scenes_of(shots)
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
    attribute = "colour" if rng.random() < 0.5 else "shape"
    word: str = getattr(scene, attribute)
    many = sum(getattr(other, attribute) == word for other in scenes)
    question = _worded(rng, f"count_{attribute}", **{attribute: word})
    return Asked("count", question, f"{word} {COUNT_WORDS[many] if many < len(COUNT_WORDS) else 'many'}")


def _about_order(rng: np.random.Generator, scenes: list[Scene], scene: Scene) -> Asked:
    one, two = sorted(rng.choice(len(scenes), 2, replace=False).tolist())
    names = [f"{scenes[place].colour} {scenes[place].shape}" for place in (one, two)]
    first, second = names if rng.random() < 0.5 else names[::-1]
    return Asked("order", _worded(rng, "order", first=first, second=second), names[0])


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
}
