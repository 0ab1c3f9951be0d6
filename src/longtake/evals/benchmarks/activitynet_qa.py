"""evals.benchmarks.activitynet_qa: ActivityNet-QA's files in, its questions out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.benchmarks._open import IG_VLM, METRIC, JudgedOpen
from longtake.evals.judged import OPEN
from longtake.evals.records import Record, csv_records, indexed, items_from, json_records

TYPES = ("motion", "spatial", "temporal", "yes/no", "color", "object", "location", "number", "other")
"""By the number in the files (its dataset/README.md)."""
_SOURCE = "github.com/MILVLG/activitynet-qa, dataset"


@dataclass(frozen=True)
class ActivitynetQa(JudgedOpen):
    """Short open questions about videos of three minutes (Yu et al., AAAI 2019)."""

    card: ClassVar[Card] = Card(
        title="ActivityNet-QA",
        files="test_q.json with test_a.json beside (or val_*); or IG-VLM's ActivityNet_QA.csv",
        splits=(
            Split(
                "val", 18_000, digest="6f891dadab3eea2966687d7ba23284ee68abc481275b89d7dbfcff46f901b5f8", source=_SOURCE
            ),
            Split(
                "test", 8_000, digest="870e2708a8aed0ca493e779daa95822eb429fd0cd0a9a7db1cf10450a55e35db", source=_SOURCE
            ),
        ),
        metric=METRIC,
        source="arXiv 1906.02467; github.com/MILVLG/activitynet-qa",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("val_q.json", "test_q.json", "ActivityNet_QA.csv"))
        if path.suffix == ".csv":
            yield from items_from(csv_records(path, IG_VLM), _from_ig_vlm)
            return
        answers, wrong = indexed(json_records(path.with_name(path.name.replace("_q.json", "_a.json"))), "question_id")
        yield from wrong
        yield from items_from(json_records(path), partial(_official, answers))

    def asking(self, item: Item) -> Asking | None:
        """lmms-eval's (tasks/activitynetqa), which LongVA and LLaVA were measured with."""
        return Asking(glue=" ", after="Answer the question using a single word or phrase.")


def _from_ig_vlm(record: Record) -> Item:
    return _item(record, record, "question_type", record.text("video_name").removeprefix("v_"))


def _official(answers: Mapping[str, Record], record: Record) -> Item:
    answer = answers.get(record.text("question_id"))
    if answer is None:
        raise record.bad(f"the question {record.text('question_id')} has no answer in the other file")
    return _item(record, answer, "type", record.text("video_name"))


def _item(record: Record, answer: Record, kind: str, youtube: str) -> Item:
    return Item(
        id=record.text("question_id"),
        video=VideoName((f"v_{youtube}", youtube), youtube),
        question=record.text("question"),
        reference=answer.text("answer"),
        categories=(TYPES[answer.whole(kind, below=len(TYPES))],),
        aspects=OPEN,
        place=record.place,
    )
