"""doctor/running: a model in; whether it answers about drawn films as one that sees and speaks, out. Knows no family.

Three things are held against it, and nothing more is claimed: its numbers are finite; what it says is text, and not one
token over and over; of four answers to a question that a child could answer, it finds the right one likelier than the
others more often than guessing would.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake import parts
from longtake.answer import Watched
from longtake.doctor import Finding
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.loading import load
from longtake.pipeline import logprobs, watch
from longtake.prompt import question_ids
from longtake.video.opening import open_video
from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.scenes import Scene

FILMS = 12
FRAMES = 4
"""Of each film, a second apart; all show the same."""
COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "star", "square", "heart", "triangle", "cross")
ENOUGH = 7
"""Right ones of FILMS: who guesses among four gets as many in 1.4 of 100 tries (binomial)."""
SAID_TOKENS = 16
REPEATED_TOKENS = 4
"""So many new tokens that are all the same are no answer."""
NO_TEXT = "\N{REPLACEMENT CHARACTER}"
CUT_CHARACTERS = 3
"""Of the last character the answer's end may have cut off so many bytes."""
MAY_BE_SOUND = "a model that was never shown such drawings may be sound; for another copy it again, try --dtype float32"
COPY_AGAIN = "copy the checkpoint again; try --dtype float32"


@dataclass(frozen=True)
class _Film:
    """A drawn film, and its question with the answers offered, the right one first."""

    scene: Scene
    question: str
    answers: Sequence[str]


def examine_running(name: str, *, device: str, dtype: str) -> Iterator[Finding]:
    """Load a checkpoint and ask it about drawn films, one finding after the other.

    Args:
        name, device, dtype: as `load` takes them.
    """
    started_s = time.perf_counter()
    try:
        model = load(name, device=device, dtype=dtype)
    except LongtakeError as error:
        yield Finding("loading", False, f"{error.subject} {error.reason}".strip(), error.advice)
        return
    yield Finding("loading", True, f"{time.perf_counter() - started_s:.1f} s")
    yield from examine_answers(model)


def examine_answers(model: Model) -> Iterator[Finding]:
    """Draw films, watch them and ask about each, one finding after the other."""
    right = 0
    try:
        for number, film in enumerate(_films()):
            watched = _watch(model, film.scene, number)
            if not number:
                yield _speech(model, watched, film.question)
            chances = [float(logprobs(model, watched, film.question, answer).sum()) for answer in film.answers]
            right += chances[0] > max(chances[1:])
    except LongtakeError as error:
        subject = "numbers" if error.code is ErrorCode.MODEL_NONFINITE else "answering"
        yield Finding(subject, False, f"{error.subject} {error.reason}".strip(), error.advice)
        return
    yield Finding("numbers", True, f"finite in {FILMS} drawn films of {FRAMES} frames")
    found = f"the right one of {len(COLOURS)} colours is the likeliest in {right} of {FILMS} films"
    told = f"{found}; guessing gets {FILMS // len(COLOURS)}, and {ENOUGH} or more once in 70 tries"
    yield Finding("sight", right >= ENOUGH, told, "" if right >= ENOUGH else MAY_BE_SOUND)


def _films() -> Iterator[_Film]:
    for number in range(FILMS):
        colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
        others = [other for other in COLOURS if other != colour]
        scene = Scene(colour, shape, str(100 + 7 * number), "meadow")
        yield _Film(scene, f"What colour is the {shape}?", [colour, *others])


def _watch(model: Model, scene: Scene, seed: int) -> Watched:
    """Film the scene and let the model see every frame."""
    staging = random_staging(np.random.default_rng(seed), places=20)
    picture = draw(scene, staging, width=320, height=180)
    with tempfile.TemporaryDirectory(prefix="longtake-doctor-") as folder:
        path = Path(folder) / "film.mp4"
        write_film(path, [picture] * FRAMES, fps=Fraction(1))
        sampler = parts.find("samplers", "every")(seconds=1.0)
        return watch(replace(model, sampler=sampler), open_video(str(path)))


def _speech(model: Model, watched: Watched, question: str) -> Finding:
    """Whether what it generates is text."""
    after = question_ids(watched.template, model.tokenizer, question)
    options = GenerateOptions(max_new_tokens=SAID_TOKENS)
    new_ids = list(watched.engine.generate(watched.prefix, after, options))
    text = model.tokenizer.decode(new_ids)
    told, fault = f"{question!r}: {text!r}", ""
    if not text.replace(NO_TEXT, "").strip():
        fault = "says nothing"
    elif len(new_ids) >= REPEATED_TOKENS and len(set(new_ids)) == 1:
        fault = "says one token over and over"
    elif NO_TEXT in text[:-CUT_CHARACTERS]:
        fault = "says bytes that are no text"
    return Finding("speech", not fault, f"{fault}: {told}" if fault else told, COPY_AGAIN if fault else "")
