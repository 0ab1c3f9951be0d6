"""What do nano's captions carry? Fifteen questions about the demo's hour, from all frames at once and by each method.

    python benchmarks/methods.py            value, colour and shape of five scenes (minutes)
    python benchmarks/methods.py --smoke    a minute of the film, one scene

The last line is one JSON object. There is no target: nano was not taught to read captions with times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

import longtake
from longtake import demo
from longtake.answer import Answer
from longtake.methods import Query, Team
from longtake.methods.captions import Captions
from longtake.methods.tree import Tree
from longtake.video import Video
from longtake.world.vocabulary import COLOURS, NUMBERS, SHAPES, WORDS

SCENES = (
    ("orange", "moon", "258"),
    ("red", "triangle", "pirate"),
    ("pink", "moon", "onion"),
    ("red", "heart", "98"),
    ("green", "heart", "896"),
)
"""All that the demo's film shows beside scenery."""
POOLS: tuple[tuple[str, ...], ...] = (tuple(COLOURS), SHAPES, NUMBERS, WORDS)
METHODS = {
    "captions": Captions(clip_s=8.0, frames=16, caption_tokens=8),
    "tree": Tree(caption_tokens=8),
    "tree, depth 1": Tree(caption_tokens=8, depth=1),
}

Asked = tuple[str, str, tuple[str, ...]]
"""A question, its answer, and four choices."""
Way = Callable[[Query], Answer]


def questions(scenes: tuple[tuple[str, str, str], ...]) -> list[Asked]:
    """Value, colour and shape of each scene; the choices are drawn from words of the same kind."""
    rng = np.random.default_rng(0)
    found = []
    for colour, shape, value in scenes:
        kind = "number" if value.isdigit() else "word"
        for question, answer in (
            (f"What {kind} is on the {colour} {shape}?", value),
            (f"What colour is the {shape} with {value}?", colour),
            (f"What shape is next to {value}?", shape),
        ):
            pool = next(pool for pool in POOLS if answer in pool)
            choices = [word for word in rng.permutation(pool).tolist() if word != answer][:3]
            choices.insert(int(rng.integers(4)), answer)
            found.append((question, answer, tuple(choices)))
    return found


def ways(film: Video) -> Iterator[tuple[str, Way]]:
    """Each way to an answer, ready to be asked."""
    nano = longtake.load("nano")
    looking = demo.looking(nano)
    seen = longtake.watch(looking, film)

    def straight(query: Query) -> Answer:
        if query.choices:
            return longtake.choose(looking, seen, query.question, query.choices)
        return longtake.ask(looking, seen, query.question)

    yield "all frames at once", straight
    for name, method in METHODS.items():
        watched = method.watch(Team(nano), [film])
        yield name, lambda query, method=method, watched=watched: method.ask(watched, query)


def main() -> int:
    """Ask, print a table and the JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--smoke", action="store_true")
    smoke = arguments.parse_args().smoke
    torch.set_num_threads(1)
    film = longtake.open_video(demo.FILM)
    film, scenes = (film.stretch(960, 1020), SCENES[:1]) if smoke else (film, SCENES)
    figures = {}
    for name, way in ways(film):
        begin_s = time.perf_counter()
        told = [
            (way(Query(question)), way(Query(question, choices)), answer)
            for question, answer, choices in questions(scenes)
        ]
        read = [len(one.reading.captions) for one, _, _ in told if one.reading]
        figures[name] = {
            "asked": len(told),
            "right": sum(answer in demo.words(one.text) for one, _, answer in told),
            "chosen_right": sum(chosen.text == answer for _, chosen, answer in told),
            "captions_read": [min(read), max(read)] if read else None,
            "seconds": round(time.perf_counter() - begin_s, 1),
        }
        print(f"{name:<20}" + "  ".join(f"{key} {value}" for key, value in figures[name].items()))
    print(json.dumps({"figures": figures, "targets": {}, "ok": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
