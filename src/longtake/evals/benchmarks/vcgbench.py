"""evals.benchmarks.vcgbench: Video-ChatGPT's three files in, its questions out. Knows no model.

Five scores, each a judge's from 0 to 5: correctness, detail and context of answers to the generic questions, temporal
understanding in answers to the temporal ones, and consistency of two answers to one question put in two ways. A judge
sees both answers of such a pair and gives one score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName, bad_row
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import known_files
from longtake.evals.figures import Figure, Mark, combined, mean_of
from longtake.evals.records import MEND, Record, csv_records, indexed, items_from, json_records

ASPECTS = {
    "generic": ("correctness", "detail", "context"),
    "temporal": ("temporal",),
    "consistency": ("consistency",),
}
FILES: Mapping[str, Sequence[str]] = {
    "generic": ("generic_qa.json", "Generic_QA.csv"),
    "temporal": ("temporal_qa.json", "Temporal_QA.csv"),
    "consistency": ("consistency_qa.json", "Consistency_QA1.csv"),
}
_SOURCE = "IG-VLM's copies; the authors' own files were not at hand"
_TWIN = "Consistency_QA2.csv"
_COLUMNS = ("video_name", "question", "question_id", "answer")


@dataclass(frozen=True)
class Vcgbench:
    """Long answers about ActivityNet's videos, five scores by a judge (Maaz et al., Video-ChatGPT, ACL 2024)."""

    card: ClassVar[Card] = Card(
        title="VCGBench",
        files=f"generic_qa.json, temporal_qa.json and consistency_qa.json; or IG-VLM's CSV of them ({_TWIN} too)",
        splits=(
            Split(
                "all", 2_994, digest="1e0d172caf159a9a8d46bf8c6e674e5063e667df485ff8e300674be63c3d8c75", source=_SOURCE
            ),
            Split(
                "generic",
                1_996,
                digest="51cb9e43d2b5abce064862ce385a1e34c057d004661235713bcc4d85b316cc43",
                source=_SOURCE,
            ),
            Split(
                "temporal",
                499,
                digest="91b051f9b62e2bdd6aba0c64891d07d86241d4bf70e44dd6dd3729636b029ae3",
                source=_SOURCE,
            ),
            Split(
                "consistency",
                499,
                digest="76d6a96a04d271a8019c4aae438455a851c7be5446aceaabae6010d6b5009af6",
                source=_SOURCE,
            ),
        ),
        metric="five scores of 0 to 5: correctness, detail, context, temporal, consistency; and their mean",
        source="arXiv 2306.05424; github.com/mbzuai-oryx/Video-ChatGPT",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        for kind, path in known_files(files, FILES):
            yield from items_from(_records(kind, path), _Maker(kind))

    def asking(self, item: Item) -> Asking | None:
        """The question alone (lmms-eval, tasks/videochatgpt)."""
        return Asking()

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """The mean of the five scores, and each of them."""
        five = [mean_of(aspect, marks, aspect) for aspects in ASPECTS.values() for aspect in aspects]
        return (combined("mean", five), *five)


class _Maker:
    """Makes items of one file. Neither file has ids of its own: a question is known by its place among its video's."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._times: Counter[str] = Counter()

    def __call__(self, record: Record) -> Item:
        official = "Q" in record.values or "Q1" in record.values
        video = record.text("video_name").removeprefix("v_")
        number = self._times[video]
        self._times[video] += 1
        asked = ("Q1" if "Q1" in record.values else "Q") if official else "question"
        twin = record.text("Q2" if official else "twin") if self._kind == "consistency" else ""
        return Item(
            id=f"{self._kind}/{video}/{number}",
            video=VideoName((f"v_{video}", video), video),
            question=record.text(asked),
            reference=record.text("A" if official else "answer"),
            categories=(self._kind,),
            twin=twin,
            aspects=ASPECTS[self._kind],
            place=record.place,
        )


def _records(kind: str, path: Path) -> Iterator[Record | LongtakeError]:
    if path.suffix != ".csv":
        return json_records(path)
    records = csv_records(path, _COLUMNS)
    return _paired(records, path.with_name(_TWIN)) if kind == "consistency" else records


def _paired(records: Iterator[Record | LongtakeError], path: Path) -> Iterator[Record | LongtakeError]:
    """The rows of the first file with the question of the second's that has the same id."""
    twins, wrong = indexed(csv_records(path, _COLUMNS), "question_id")
    yield from wrong
    for record in records:
        try:
            yield record if isinstance(record, LongtakeError) else _with_twin(record, twins, path)
        except LongtakeError as error:
            yield error
    for left in twins.values():
        yield bad_row(left.place, "has no twin in the first file", MEND)


def _with_twin(record: Record, twins: dict[str, Record], path: Path) -> Record:
    found = twins.pop(record.text("question_id"), None)
    if found is None:
        raise record.bad(f"has no twin in {path}")
    for name in ("video_name", "answer"):
        if found.text(name) != record.text(name):
            raise found.bad(f"{name!r} is not that of its twin at {record.place}")
    return Record({**record.values, "twin": found.text("question")}, record.place)
