"""evals.benchmarks.msvd_qa: MSVD-QA's files in, its questions out. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.benchmarks._files import beside, one_file
from longtake.evals.benchmarks._open import IG_VLM, METRIC, JudgedOpen
from longtake.evals.judged import OPEN
from longtake.evals.records import Record, csv_records, items_from, json_records

MAPPING = "youtube_mapping.txt"
"""Beside the JSON files: lines `bQJQGoJF7_k_162_169 vid1201`."""
_IDS = "ids run on through train, val and test: Xu et al. 2017, whose 50,505 pairs these are"


@dataclass(frozen=True)
class MsvdQa(JudgedOpen):
    """Short open questions about short clips (Xu et al., ACM Multimedia 2017)."""

    card: ClassVar[Card] = Card(
        title="MSVD-QA",
        files=f"val_qa.json or test_qa.json, with {MAPPING} beside; or IG-VLM's MSVD_QA.csv",
        splits=(
            Split("train", 30_933, numbers=range(30_933), source=_IDS),
            Split("val", 6_415, numbers=range(30_933, 37_348), source=_IDS),
            Split("test", 13_157, numbers=range(37_348, 50_505), source=_IDS),
        ),
        metric=METRIC,
        source="Xu et al. 2017; github.com/xudejing/video-question-answering",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("train_qa.json", "val_qa.json", "test_qa.json", "MSVD_QA.csv"))
        if path.suffix == ".csv":
            return items_from(csv_records(path, IG_VLM), _from_ig_vlm)
        mapping = beside(path, MAPPING)
        return items_from(json_records(path), partial(_official, _mapped(mapping) if mapping else {}))


def _from_ig_vlm(record: Record) -> Item:
    """Its ids are 1201_30933: video and question."""
    number = record.text("question_id").rpartition("_")[2]
    return _item(record, number, (record.text("video_name"), f"vid{record.text('video_id')}"))


def _official(mapping: Mapping[str, str], record: Record) -> Item:
    name = f"vid{record.whole('video_id')}"
    names = (mapping[name], name) if name in mapping else (name,)
    return _item(record, str(record.whole("id")), names)


def _item(record: Record, number: str, names: tuple[str, ...]) -> Item:
    return Item(
        id=number,
        video=VideoName(names),
        question=record.text("question"),
        reference=record.text("answer"),
        # Its authors report by the question's first word.
        categories=(record.text("question").split()[0].lower(),),
        aspects=OPEN,
        place=record.place,
    )


def _mapped(path: Path) -> dict[str, str]:
    pairs = re.findall(r"^(\S+)\s+(vid\d+)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: clip for clip, name in pairs}
