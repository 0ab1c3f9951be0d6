"""evals.benchmarks.msrvtt_qa: MSRVTT-QA's files in, its questions out. Knows no model."""

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
from longtake.evals.records import Record, csv_records, items_from, json_records

_IDS = "ids run on through train, val and test; val and test compared with the copies of github.com/JoseponLee/IntentQA"


@dataclass(frozen=True)
class MsrvttQa(JudgedOpen):
    """Short open questions about clips of 10 to 30 s (Xu et al., ACM Multimedia 2017)."""

    card: ClassVar[Card] = Card(
        title="MSRVTT-QA",
        files="val_qa.json or test_qa.json; or IG-VLM's MSRVTT_QA.csv",
        splits=(
            Split("train", 158_581, numbers=range(158_581), source=_IDS),
            Split("val", 12_278, numbers=range(158_581, 170_859), source=_IDS),
            Split("test", 72_821, numbers=range(170_859, 243_680), source=_IDS),
        ),
        metric=METRIC,
        source="Xu et al. 2017; github.com/xudejing/video-question-answering",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("train_qa.json", "val_qa.json", "test_qa.json", "MSRVTT_QA.csv"))
        if path.suffix == ".csv":
            return items_from(csv_records(path, IG_VLM), _from_ig_vlm)
        return items_from(json_records(path), _official)


def _from_ig_vlm(record: Record) -> Item:
    return _item(record, record.text("question_id"), record.text("video_name"), record.text("question_type"))


def _official(record: Record) -> Item:
    number, video = record.whole("id"), record.whole("video_id")
    return _item(record, str(number), f"video{video}", str(record.whole("category_id")))


def _item(record: Record, number: str, video: str, category: str) -> Item:
    return Item(
        id=number,
        video=VideoName((video,)),
        question=record.text("question"),
        reference=record.text("answer"),
        categories=(category,),
        aspects=OPEN,
        place=record.place,
    )
