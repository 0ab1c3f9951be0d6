"""evals.benchmarks.worldqa: the questions that `longtake eval make worldqa` writes in, items out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.figures import Figure, Mark, by_facet, choice_figures, shares
from longtake.evals.records import Record, items_from, jsonl_records

OPTIONS: Mapping[str, int] = {"recognition": 4, "counting": 6, "order": 2, "motion": 2, "long range": 4}
"""Kind -> how many options such a question has."""
LISTED = ("recognition", "counting", "motion")
"""Kinds whose options stand behind the question. `order` names its two in the question; `long range` asks for two
values, and an option is known by both, as nano says them."""


@dataclass(frozen=True)
class Worldqa:
    """Five kinds of questions about drawn films of 8 s to as long as one likes, made anywhere (docs/evals.md)."""

    card: ClassVar[Card] = Card(
        title="worldqa",
        files="worldqa.jsonl, with its films in videos/: longtake eval make worldqa",
        splits=(
            Split(
                "seed 0",
                1_000,
                digest="c0291e262fe4cb3ee743cc5b1739f6468308024a956722ee7afb3a67b7e95eed",
                source="longtake eval make worldqa, as it is without options",
            ),
        ),
        metric="accuracy, of each kind and length; a guess is right in 1 of 4, 6, 2, 2 and 4 questions",
        source="longtake.quiz, from the drawn world that nano learned; held-out scenes",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        yield from items_from(jsonl_records(one_file(files, ("worldqa.jsonl",))), _item)

    def asking(self, item: Item) -> Asking | None:
        """The wording that nano learned (`world.questions`). For models that choose letters `plain` is fairer."""
        option = "({label}) {option}" if set(item.categories) & set(LISTED) else ""
        return Asking(option=option, joint=" ")

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy, that of each length and kind, of each kind by length, and of what recognition asks for."""
        return (
            *choice_figures(marks),
            *shares("kind, length", by_facet(marks, "kind, length")),
            *shares("recognition of", by_facet(marks, "recognition of")),
        )


def _item(record: Record) -> Item:
    kind = record.one_of("kind", list(OPTIONS))
    options, seconds = record.texts("options"), record.whole("seconds")
    if not len(options) == len(set(options)) == OPTIONS[kind]:
        raise record.bad(f"'options' holds {options!r} where {OPTIONS[kind]} different ones should be")
    facets = [("kind, length", f"{kind}, {seconds} s")]
    if kind == "recognition":
        facets.append(("recognition of", record.one_of("asks_for", ("value", "colour", "shape"))))
    return Item(
        id=record.text("id"),
        video=VideoName((record.text("video"),)),
        question=record.text("question"),
        options=options,
        right=record.among("answer", options),
        categories=(kind,),
        length_class=f"{seconds} s",
        facets=tuple(facets),
        place=record.place,
    )
