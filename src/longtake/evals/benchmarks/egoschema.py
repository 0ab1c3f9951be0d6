"""evals.benchmarks.egoschema: EgoSchema's files in, its questions out. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Card, Item, Split, VideoName, bad_row
from longtake.evals.asking import LETTER_DIRECTLY, Asking
from longtake.evals.benchmarks._files import beside, one_file
from longtake.evals.figures import Figure, Mark, choice_figures
from longtake.evals.records import Record, Records, csv_records, items_from, json_records

ANSWERS = "subset_answers.json"
OFFICIAL = tuple(f"option {number}" for number in range(5))
IG_VLM = tuple(f"a{number}" for number in range(5))


@dataclass(frozen=True)
class EgoSchema:
    """What a wearer of a camera is about for three minutes: multiple choice (Mangalam et al., NeurIPS 2023).

    Attributes:
        subset: only the 500 questions whose answers are public; else all 5,031, most of them without an answer here.
    """

    subset: bool = True

    card: ClassVar[Card] = Card(
        title="EgoSchema",
        files=f"questions.json with {ANSWERS} beside; or IG-VLM's EgoSchema.csv",
        splits=(
            Split(
                "subset",
                500,
                digest="eea0b3b048d68aaa92910d52b0483e4b16cbc67d3e488056d6ed2a54927c5c8e",
                source=f"github.com/egoschema/EgoSchema, {ANSWERS}",
            ),
            Split("full", 5_031, source="its Kaggle page; most answers are kept back"),
        ),
        metric="accuracy",
        source="arXiv 2308.09126; github.com/egoschema/EgoSchema",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        path = one_file(files, ("questions.json", "EgoSchema.csv"))
        if path.suffix == ".csv":
            return items_from(
                csv_records(path, ("video_name", "question_id", "question", "answer", *IG_VLM)), _from_ig_vlm
            )
        answers = _answers(beside(path, ANSWERS))
        records = json_records(path)
        if self.subset:
            if not answers:
                advice = "put it there, or take all questions with --set benchmark.subset=false"
                raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path.parent / ANSWERS), "is not there", advice)
            records = _public(records, answers, path.parent / ANSWERS)
        return items_from(records, partial(_official, answers))

    def asking(self, item: Item) -> Asking | None:
        """lmms-eval's (tasks/egoschema)."""
        return Asking(after=LETTER_DIRECTLY)

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """Accuracy."""
        return choice_figures(marks)


def _from_ig_vlm(record: Record) -> Item:
    right = record.among("answer", [record.text(name) for name in IG_VLM])
    return _item(record, record.text("video_name"), record.text("question_id"), IG_VLM, right)


def _official(answers: Mapping[str, int], record: Record) -> Item:
    uid = record.text("q_uid")
    right = answers.get(uid)
    if right is not None and not 0 <= right < len(OFFICIAL):
        raise record.bad(f"{ANSWERS} has {right} for it, which is none of 0 to 4")
    return _item(record, uid, record.text("google_drive_id"), OFFICIAL, right)


def _public(records: Records, answers: Mapping[str, int], place: Path) -> Records:
    """The questions that have an answer; those without an id too, to be told."""
    left = set(answers)
    for record in records:
        uid = None if isinstance(record, LongtakeError) else record.values.get("q_uid")
        left.discard(str(uid))
        if uid in answers or not isinstance(uid, str):
            yield record
    for uid in sorted(left):
        yield bad_row(str(place), f"answers {uid}, which no question has", "take both files of one release")


def _item(record: Record, uid: str, drive: str, options: tuple[str, ...], right: int | None) -> Item:
    return Item(
        id=uid,
        video=VideoName((uid, drive)),
        question=record.text("question"),
        options=tuple(record.text(name) for name in options),
        right=right,
        place=record.place,
    )


def _answers(path: Path | None) -> dict[str, int]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise bad_row(str(path), f"is not JSON: {error}", "fetch it again") from error
    if not isinstance(found, dict) or not all(type(place) is int for place in found.values()):
        raise bad_row(str(path), "is no object of whole numbers", 'want {"<q_uid>": 3, ...}')
    return found
