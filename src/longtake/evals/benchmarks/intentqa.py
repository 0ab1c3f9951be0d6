"""evals.benchmarks.intentqa: IntentQA's files in, its questions out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import one_file
from longtake.evals.figures import Figure, Mark, choice_figures
from longtake.evals.records import Record, csv_columns, csv_records, items_from

OPTIONS = ("a0", "a1", "a2", "a3", "a4")
KINDS = {"CW": "CW", "CH": "CH", "TP": "TP&TN", "TN": "TP&TN"}
"""What its authors report by."""
_SOURCE = "github.com/JoseponLee/IntentQA, datasets/IntentQA"


@dataclass(frozen=True)
class IntentQA:
    """What people intend: multiple choice over NExT-QA's videos (Li et al., ICCV 2023)."""

    card: ClassVar[Card] = Card(
        title="IntentQA",
        files="val.csv or test.csv; or IG-VLM's IntentQA.csv",
        splits=(
            Split(
                "val", 2_044, digest="710912122652887f56e9abdbeef4f031195db4869d963d915b1c9cfae77b03f3", source=_SOURCE
            ),
            Split(
                "test", 2_134, digest="f88e092c4165fe711a25f4e4141b497788f6a6b3a822ca1968c40c095a475de3", source=_SOURCE
            ),
        ),
        metric="accuracy, and that of CW, CH and TP&TN",
        source="Li et al. 2023; github.com/JoseponLee/IntentQA",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("val.csv", "test.csv", "IntentQA.csv"))
        if "question_id" in csv_columns(path):
            columns = ("video_name", "question", "question_id", "answer", "question_type", *OPTIONS)
            return items_from(csv_records(path, columns), _from_ig_vlm)
        return items_from(csv_records(path, ("video_id", "question", "answer", "qid", "type", *OPTIONS)), _official)

    def asking(self, item: Item) -> Asking | None:
        """Nothing is published but what a model's own template says."""
        return None

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy, and that of each kind."""
        return choice_figures(marks)


def _from_ig_vlm(record: Record) -> Item:
    """Its ids are video_type_number, its answers the option's words."""
    right = record.among("answer", [record.text(name) for name in OPTIONS])
    return _item(record, record.text("question_id"), "video_name", "question_type", right)


def _official(record: Record) -> Item:
    name = f"{record.text('video_id')}_{record.text('type')}_{record.text('qid')}"
    return _item(record, name, "video_id", "type", record.whole("answer", below=len(OPTIONS)))


def _item(record: Record, name: str, video: str, kind: str, right: int) -> Item:
    return Item(
        id=name,
        video=VideoName((record.text(video),)),
        question=record.text("question"),
        options=tuple(record.text(option) for option in OPTIONS),
        right=right,
        categories=(KINDS[record.one_of(kind, list(KINDS))],),
        place=record.place,
    )
