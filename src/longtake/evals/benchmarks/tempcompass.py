"""evals.benchmarks.tempcompass: TempCompass's four files in, its questions out. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Place, Split, VideoName, bad_row
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import known_files
from longtake.evals.figures import Figure, Mark, by_category, by_facet, share_of, shares
from longtake.evals.judged import MATCH
from longtake.evals.records import MEND, Record, Records, items_from, json_members

CHOICE, YES_NO, MATCHING, CAPTIONING = TASKS = ("multi-choice", "yes_no", "caption_matching", "captioning")
FILES: Mapping[str, Sequence[str]] = {task: (f"{task}.json",) for task in TASKS}
DIMENSIONS = ("action", "direction", "speed", "order", "attribute_change")
_LETTERED = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)
_LABELLED = re.compile(r"^((?:Option|Sentence|Caption) [A-Z0-9]): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Tempcompass:
    """Action, speed, direction, order and change, asked in four ways (Liu et al., Findings of ACL 2024)."""

    card: ClassVar[Card] = Card(
        title="TempCompass",
        files="multi-choice.json, yes_no.json, caption_matching.json, captioning.json (any of them)",
        splits=(
            Split(
                "all",
                7_540,
                digest="6be1fb876c111ac1eacf22e302763bea5182ce1e503a4f8affd6a86a2c5bf38a",
                source="github.com/llyx97/TempCompass, questions",
            ),
            Split(
                CHOICE,
                1_580,
                digest="13aef05be1801f3cfd3e2e027dd4fb4a915fa343c8f6c17e52d7f68ab1e211b2",
                source="the same",
            ),
            Split(
                YES_NO,
                2_453,
                digest="71d97522fb666e263c07c77f826b143171727382637e2846a46650a15309ef19",
                source="the same",
            ),
            Split(
                MATCHING,
                1_503,
                digest="c31a216c9dd50c53f63bcc343c449ede55a5b2f1ab16ac72f587313e6f05c295",
                source="the same",
            ),
            Split(
                CAPTIONING,
                2_004,
                digest="4105db6f977181e82dd8937615c8f56b6ac4138e37302cb6ab58b6e49dbedb61",
                source="the same",
            ),
        ),
        metric="accuracy of each task, and of each dimension; captions are marked by a judge",
        source="arXiv 2403.00476; github.com/llyx97/TempCompass",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        for task, path in known_files(files, FILES):
            yield from items_from(_questions(task, path), _item)

    def asking(self, item: Item) -> Asking | None:
        """Its authors' (run_video_llava/inference_dataset.py)."""
        task = dict(item.facets)["task"]
        if task == CAPTIONING:
            return Asking()
        if task == YES_NO:
            return Asking(option="", after="Please answer yes or no:")
        option = "" if task == MATCHING else "{label}. {option}"
        return Asking(option=option, after="Please directly give the best option:")

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy over all questions, by task, and by dimension."""
        tasks = shares("task", by_facet(marks, "task"))
        return (share_of("accuracy", marks), *tasks, *shares("category", by_category(marks)))


def _questions(task: str, path: Path) -> Records:
    """{video: {dimension: [question, ...]}}: each question, with where it hangs and its number there."""
    for video, line, dimensions in json_members(path):
        place = Place(str(path), line)
        if not isinstance(dimensions, dict):
            yield bad_row(place, f"{video} holds {type(dimensions).__name__} where an object should be", MEND)
            continue
        for dimension, questions in dimensions.items():
            above = {"task": task, "video": video, "dim": dimension}
            try:
                for number, question in enumerate(Record({dimension: questions}, place).inner(dimension)):
                    if isinstance(question, LongtakeError):
                        yield question
                    else:
                        yield Record({**question.values, **above, "number": number}, question.place)
            except LongtakeError as error:
                yield error


def _item(record: Record) -> Item:
    task, video = record.text("task"), record.text("video")
    dimension = record.one_of("dim", DIMENSIONS)
    question, options, labels = _offered(task, record)
    return Item(
        id=f"{task}/{video}/{dimension}/{record.whole('number')}",
        video=VideoName((video,)),
        question=question,
        options=options,
        labels=labels,
        right=_right(record, options, labels) if options else None,
        reference=None if options else record.text("answer"),
        categories=(dimension,),
        facets=(("task", task),),
        aspects=() if options else (MATCH,),
        place=record.place,
    )


def _offered(task: str, record: Record) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The question, its options, and what they are called where the question says so itself."""
    words = record.text("question")
    if task == CAPTIONING:
        return words, (), ()
    if task == YES_NO:
        return words, ("yes", "no"), ("yes", "no")
    found = (_LETTERED if task == CHOICE else _LABELLED).findall(words)
    if len(found) < 2:
        raise record.bad("'question' has no lines of options")
    options = tuple(option for _, option in found)
    if task == MATCHING:
        return words, options, tuple(label for label, _ in found)
    return _LETTERED.split(words, maxsplit=1)[0].strip(), options, ()


def _right(record: Record, options: tuple[str, ...], labels: tuple[str, ...]) -> int:
    """Answers are written out: `B. a dog`, `Option 2: A dog.`, `yes`."""
    answer = record.text("answer")
    called = labels or tuple(chr(ord("A") + place) for place in range(len(options)))
    mark = ": " if labels else ". "
    written = [f"{label}{mark}{option}" for label, option in zip(called, options, strict=True)]
    known = options if labels == options else written
    return Record({"answer": answer}, record.place).among("answer", known)
