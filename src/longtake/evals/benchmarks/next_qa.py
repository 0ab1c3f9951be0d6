"""evals.benchmarks.next_qa: NExT-QA's multiple choice in, items out. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import LETTER_DIRECTLY, Asking
from longtake.evals.benchmarks._files import beside, one_file
from longtake.evals.figures import Figure, Mark, by_category, by_facet, share_of, shares
from longtake.evals.records import Record, csv_columns, csv_records, items_from

OPTIONS = ("a0", "a1", "a2", "a3", "a4")
FAMILIES = {"C": "causal", "T": "temporal", "D": "descriptive"}
"""What its authors report by, from the first letter of a type: Acc@C, Acc@T, Acc@D."""
TYPES = ("CW", "CH", "TN", "TC", "TP", "DC", "DL", "DO", "DB")
MAPPING = "map_vid_vidorID.json"
"""Beside the tables: a video's name -> folder and name in VidOR."""
_SOURCE = "github.com/doc-doc/NExT-QA, dataset/nextqa"


@dataclass(frozen=True)
class NextQa:
    """Why, how, before and after: multiple choice about home videos (Xiao et al., CVPR 2021)."""

    card: ClassVar[Card] = Card(
        title="NExT-QA (multiple choice)",
        files=f"val.csv or test.csv, with {MAPPING} beside for VidOR's folders; or IG-VLM's NExT_QA.csv",
        splits=(
            Split(
                "val", 4_996, digest="03aefb3366ae283fffa06da4b7b611bdeeb5ec3c1a88905d04e8b6de9128f646", source=_SOURCE
            ),
            Split(
                "test", 8_564, digest="55e5271de4edfdd0b0291d12de08c83024b9de7d548a14d00cad65c0c1b516e0", source=_SOURCE
            ),
        ),
        metric="accuracy, and that of causal, temporal and descriptive questions",
        source="arXiv 2105.08276; github.com/doc-doc/NExT-QA",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("val.csv", "test.csv", "NExT_QA.csv"))
        if "answer_number" in csv_columns(path):
            columns = ("video_name", "question", "answer_number", "question_id", "question_type", "answer", *OPTIONS)
            return items_from(csv_records(path, columns), _from_ig_vlm)
        mapping = beside(path, MAPPING)
        folders = json.loads(mapping.read_text(encoding="utf-8")) if mapping else {}
        official = csv_records(path, ("video", "question", "answer", "qid", "type", *OPTIONS))
        return items_from(official, partial(_official, folders))

    def asking(self, item: Item) -> Asking | None:
        """Options as lmms-eval writes them, and the closing sentence that it ends most multiple choice with."""
        return Asking(after=LETTER_DIRECTLY)

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy, by family and by type."""
        families = shares("family", by_facet(marks, "family"))
        return (share_of("accuracy", marks), *families, *shares("category", by_category(marks)))


def _from_ig_vlm(record: Record) -> Item:
    """Its ids are video and question number without a mark between; its videos are the official ones."""
    video = record.text("video_name")
    item = _item(record, video, record.text("question_id").removeprefix(video), "answer_number")
    if item.right is not None and item.options[item.right] != record.text("answer"):
        raise record.bad(f"'answer' is not the option that 'answer_number' names, {item.options[item.right]!r}")
    return item


def _official(folders: Mapping[str, str], record: Record) -> Item:
    video = record.text("video")
    return _item(record, video, record.text("qid"), "answer", folders.get(video, ""))


def _item(record: Record, video: str, number: str, answer: str, folder: str = "") -> Item:
    kind = record.one_of("question_type" if "question_type" in record.values else "type", TYPES)
    return Item(
        id=f"{video}_{number}",
        video=VideoName((video, folder) if folder else (video,)),
        question=record.text("question"),
        options=tuple(record.text(name) for name in OPTIONS),
        right=record.whole(answer, below=len(OPTIONS)),
        categories=(kind,),
        facets=(("family", FAMILIES[kind[0]]),),
        place=record.place,
    )
