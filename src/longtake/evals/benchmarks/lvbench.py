"""evals.benchmarks.lvbench: LVBench's file in, its questions out. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.figures import Figure, Mark, by_category, by_facet, share_of, shares
from longtake.evals.records import Record, Records, items_from, jsonl_records

TYPES = {
    "key information retrieval": "KIR",
    "event understanding": "EU",
    "summarization": "Sum",
    "entity recognition": "ER",
    "reasoning": "Rea",
    "temporal grounding": "TG",
}
_OPTION = re.compile(r"^\(([A-Z])\)\s*(.*?)\s*$", re.MULTILINE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d)")


@dataclass(frozen=True)
class Lvbench:
    """Multiple choice about videos of over an hour (Wang et al., 2024)."""

    card: ClassVar[Card] = Card(
        title="LVBench",
        files="video_info.meta.jsonl",
        splits=(Split("test", 1_549, source="arXiv 2406.08035: 103 videos, 1,549 questions"),),
        metric="accuracy, and that of six capabilities (a question may be of several)",
        source="arXiv 2406.08035; huggingface.co/datasets/THUDM/LVBench",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        return items_from(_questions(one_file(files, ("video_info.meta.jsonl",))), _item)

    def asking(self, item: Item) -> Asking | None:
        """lmms-eval's (tasks/lvbench)."""
        return Asking(option="({label}) {option}", after="Answer the question with the option letter.")

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy, by capability and by kind of video."""
        videos = shares("video", by_facet(marks, "video"))
        return (share_of("accuracy", marks), *shares("category", by_category(marks)), *videos)


def _questions(path: Path) -> Records:
    """The questions of each line, with what is said of its video."""
    for video in jsonl_records(path):
        if isinstance(video, LongtakeError):
            yield video
            continue
        try:
            above = {"key": video.text("key"), "type": video.text("type")}
            for question in video.inner("qa"):
                if isinstance(question, LongtakeError):
                    yield question
                else:
                    yield Record({**above, **question.values}, question.place)
        except LongtakeError as error:
            yield error


def _item(record: Record) -> Item:
    words = record.text("question")
    offered = _OPTION.findall(words)
    options = tuple(option for _, option in offered)
    if len(options) < 2 or [letter for letter, _ in offered] != [
        chr(ord("A") + place) for place in range(len(options))
    ]:
        raise record.bad("'question' does not end in lines '(A) ...', '(B) ...'")
    types = record.texts("question_type")
    unknown = [kind for kind in types if kind not in TYPES]
    if unknown:
        raise record.bad(f"'question_type' has {unknown[0]!r}, which is none of {', '.join(TYPES)}")
    return Item(
        id=record.text("uid"),
        video=VideoName((record.text("key"),), record.text("key")),
        question=words[: words.index("(A)")].strip(),
        options=options,
        right=record.letter("answer", len(options)),
        categories=tuple(TYPES[kind] for kind in types),
        facets=(("video", record.text("type")),),
        span_s=_span(str(record.values.get("time_reference", ""))),
        place=record.place,
    )


def _span(words: str) -> tuple[float, float] | None:
    """The seconds of `00:15-00:19`; None where it is not one stretch (some say so in words)."""
    times = _CLOCK.findall(words)
    if len(times) != 2:
        return None
    start, end = (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) for hours, minutes, seconds in times)
    return (float(start), float(end)) if start <= end else None
