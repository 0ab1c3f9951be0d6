"""evals.benchmarks.longvideobench: LongVideoBench's files in, its questions out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import LETTER_DIRECTLY, Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.figures import Figure, Mark, choice_figures
from longtake.evals.records import Record, items_from, json_records, parquet_records

LENGTHS = {15: "8-15 s", 60: "15-60 s", 600: "180-600 s", 3600: "900-3600 s"}
"""duration_group -> the lengths of its videos."""
COLUMNS = ("video_id", "id", "video_path", "subtitle_path", "correct_choice", "question", "option0", "duration_group")
NO_OPTION = "N/A"
"""Fills the columns of a table whose question has fewer options than five."""


@dataclass(frozen=True)
class Longvideobench:
    """Multiple choice about moments that the question refers to, in up to an hour (Wu et al., NeurIPS 2024).

    Attributes:
        subtitles: whether a model is shown the videos' subtitles.
    """

    subtitles: bool = False

    card: ClassVar[Card] = Card(
        title="LongVideoBench",
        files="lvb_val.json or validation-00000-of-00001.parquet (or those of the test set, which have no answers)",
        splits=(
            Split("val", 1_337, source="huggingface.co/datasets/longvideobench/LongVideoBench-Meta"),
            Split("test", 5_341, source="huggingface.co/datasets/longvideobench/LongVideoBench-Meta"),
        ),
        metric="accuracy: overall, by length class and kind of question",
        source="arXiv 2407.15754; huggingface.co/datasets/longvideobench/LongVideoBench",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        names = (
            "lvb_val.json",
            "lvb_test_wo_gt.json",
            "validation-00000-of-00001.parquet",
            "test-00000-of-00001.parquet",
        )
        path = one_file(files, names)
        if path.suffix == ".parquet":
            return items_from(parquet_records(path, COLUMNS), partial(_item, self.subtitles))
        return items_from(json_records(path), partial(_item, self.subtitles))

    def asking(self, item: Item) -> Asking | None:
        """Its authors' (longvideobench_dataset.py); subtitles stand before the question, not between the frames."""
        return Asking(
            subtitles_lead="This video's subtitles are listed below:",
            asked="Question: {question}",
            after=LETTER_DIRECTLY,
        )

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy, by length class and by kind of question."""
        return choice_figures(marks)


def _item(subtitles: bool, record: Record) -> Item:
    options = record.texts("candidates") if "candidates" in record.values else _offered(record)
    group = record.whole("duration_group")
    if group not in LENGTHS:
        raise record.bad(f"'duration_group' is {group}, which is none of {', '.join(map(str, LENGTHS))}")
    # The files without answers have no such key, or -1 under it.
    known = record.values.get("correct_choice", -1) != -1
    offset = record.number("starting_timestamp_for_subtitles") if subtitles else 0.0
    return Item(
        id=record.text("id"),
        video=VideoName((record.text("video_path"), record.text("video_id")), record.text("video_id")),
        question=record.text("question"),
        options=options,
        right=record.whole("correct_choice", below=len(options)) if known else None,
        categories=(record.text("question_category"),),
        length_class=LENGTHS[group],
        facets=(("topic", record.text("topic_category")),),
        subtitles=f"subtitles/{record.text('subtitle_path')}" if subtitles else "",
        subtitles_from_s=offset,
        place=record.place,
    )


def _offered(record: Record) -> tuple[str, ...]:
    columns = [f"option{number}" for number in range(5)]
    return tuple(record.text(name) for name in columns if record.values.get(name, NO_OPTION) != NO_OPTION)
