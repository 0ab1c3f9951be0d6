"""evals.benchmarks.tgif_frameqa: TGIF-QA's questions about one frame in, items out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.benchmarks._files import one_file
from longtake.evals.benchmarks._open import IG_VLM, METRIC, JudgedOpen
from longtake.evals.judged import OPEN
from longtake.evals.records import Record, csv_columns, csv_records, items_from

OFFICIAL = ("gif_name", "question", "answer", "type", "vid_id", "key", "description")
TYPES = ("object", "number", "color", "location")
"""Of the answer, by the number in the files (its dataset/README.md)."""


@dataclass(frozen=True)
class TgifFrameqa(JudgedOpen):
    """Short open questions about animated GIFs (Jang et al., CVPR 2017)."""

    card: ClassVar[Card] = Card(
        title="TGIF-FrameQA",
        files="Test_frameqa_question.csv (separated by tabs); or IG-VLM's TGIF_FrameQA.csv",
        splits=(
            Split(
                "test",
                13_691,
                digest="934201edee7d89ef10b0c084b78b934641f39f7ba3cb4ec4c27e230ca3f23fa3",
                source="github.com/YunseokJANG/tgif-qa, dataset",
            ),
        ),
        metric=METRIC,
        source="arXiv 1704.04497; github.com/YunseokJANG/tgif-qa",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("Test_frameqa_question.csv", "TGIF_FrameQA.csv"))
        if "video_name" in csv_columns(path):
            return items_from(csv_records(path, IG_VLM), _from_ig_vlm)
        return items_from(csv_records(path, OFFICIAL, delimiter="\t"), _official)


def _from_ig_vlm(record: Record) -> Item:
    """Its question ids come several times; its video ids are those of the questions."""
    return _item(record, record.text("video_id"), record.text("video_name"), "question_type")


def _official(record: Record) -> Item:
    return _item(record, record.text("vid_id"), record.text("gif_name"), "type")


def _item(record: Record, name: str, video: str, kind: str) -> Item:
    return Item(
        id=name,
        video=VideoName((video,)),
        question=record.text("question"),
        reference=record.text("answer"),
        categories=(TYPES[record.whole(kind, below=len(TYPES))],),
        aspects=OPEN,
        place=record.place,
    )
