"""evals.benchmarks.video_mme: Video-MME's questions in, items out. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.figures import Figure, Mark, by_category, by_facet, by_length, share_of, shares
from longtake.evals.records import Record, Records, items_from, json_records, parquet_records

LENGTHS = ("short", "medium", "long")
"""Under 2 min, 4 to 15 min, 30 to 60 min."""
COLUMNS = ("video_id", "duration", "domain", "sub_category", "url", "videoID", "question_id", "task_type")
_LETTERED = re.compile(r"[A-D]\.\s*")
_WATCH = re.compile(r"(?:v=|youtu\.be/)([\w-]{11})")


@dataclass(frozen=True)
class VideoMme:
    """Multiple choice about videos of 11 s to an hour (Fu et al., CVPR 2025).

    Attributes:
        subtitles: whether a model is shown the videos' subtitles (subtitle/<YouTube id>.srt; some videos have none).
    """

    subtitles: bool = False

    card: ClassVar[Card] = Card(
        title="Video-MME",
        files="videomme/test-00000-of-00001.parquet; or the JSON of its website (video by video)",
        splits=(Split("test", 2_700, source="its README: 900 videos, 2,700 questions"),),
        metric="accuracy: overall, short, medium, long; with and without subtitles",
        source="arXiv 2405.21075; huggingface.co/datasets/lmms-lab/Video-MME",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        names = ("test-00000-of-00001.parquet", "Video-MME.json", "videomme.json")
        path = one_file(files, names)
        if path.suffix == ".parquet":
            records: Records = parquet_records(path, (*COLUMNS, "question", "options", "answer"))
            return items_from(records, partial(_from_table, self.subtitles))
        return items_from(_questions(path), partial(_from_website, self.subtitles))

    def asking(self, item: Item) -> Asking | None:
        """Its authors' (README, Evaluation Pipeline)."""
        return Asking(
            subtitles_lead="This video's subtitles are listed below:",
            before="Select the best answer to the following multiple-choice question based on the video. "
            "Respond with only the letter (A, B, C, or D) of the correct option.",
            after="The best answer is:",
        )

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Overall and by length; then by domain and kind of question."""
        return (
            share_of("accuracy", marks),
            *shares("length", by_length(marks)),
            *shares("domain", by_facet(marks, "domain")),
            *shares("category", by_category(marks)),
        )


def _questions(path: Path) -> Records:
    """The questions of each video, with what is said of the video."""
    for video in json_records(path):
        if isinstance(video, LongtakeError):
            yield video
            continue
        try:
            for question in video.inner("questions"):
                if isinstance(question, LongtakeError):
                    yield question
                else:
                    yield Record({**video.values, **question.values}, question.place)
        except LongtakeError as error:
            yield error


def _from_table(subtitles: bool, record: Record) -> Item:
    youtube = record.text("videoID")
    facets = (("domain", record.text("domain")), ("sub_category", record.text("sub_category")))
    return _item(record, (youtube, record.text("video_id")), "options", facets, subtitles)


def _from_website(subtitles: bool, record: Record) -> Item:
    """Fields have other names here; the YouTube id stands in the address only."""
    found = _WATCH.search(str(record.values.get("url", "")))
    names = (found.group(1), record.text("video_id")) if found else (record.text("video_id"),)
    narrow = "video_sub_category" if "video_sub_category" in record.values else "video_subcategory"
    facets = (("domain", record.text("video_category")), ("sub_category", record.text(narrow)))
    return _item(record, names, "choices", facets, subtitles)


def _item(
    record: Record, names: tuple[str, ...], options: str, facets: tuple[tuple[str, str], ...], subtitles: bool
) -> Item:
    offered = tuple(_LETTERED.sub("", option, count=1) for option in record.texts(options))
    youtube = names[0] if len(names) > 1 else ""
    return Item(
        id=record.text("question_id"),
        video=VideoName(names, youtube),
        question=record.text("question"),
        options=offered,
        right=record.letter("answer", len(offered)),
        categories=(record.text("task_type"),),
        length_class=record.one_of("duration" if "duration" in record.values else "duration_category", LENGTHS),
        facets=facets,
        subtitles=f"subtitle/{names[0]}.srt" if subtitles else "",
        place=record.place,
    )
