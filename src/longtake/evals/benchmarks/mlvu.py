"""evals.benchmarks.mlvu: MLVU's nine files in, its questions out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import Asking
from longtake.evals.benchmarks._files import known_files
from longtake.evals.figures import Figure, Mark, by_category, combined, mean_of, share_of
from longtake.evals.records import Record, items_from, json_records

TASKS = {
    "plotQA": "PQA",
    "findNeedle": "NQA",
    "ego": "ER",
    "count": "AC",
    "order": "AO",
    "anomaly_reco": "AR",
    "topic_reasoning": "TR",
    "subPlot": "SSC",
    "summary": "VS",
    "needleQA": "NQA",
    "sportsQA": "SQA",
    "tutorialQA": "TQA",
}
"""question_type -> its name in the paper's tables; the last three are the test set's."""
SPOKEN = {"SSC": ("accuracy", "relevance"), "VS": ("completeness", "reliability")}
"""The tasks of generation, and what a judge gives 1 to 5 for: a task's score is the sum, 2 to 10."""
FILES: Mapping[str, Sequence[str]] = {
    "1_plotQA": ("1_plotQA.json",),
    "2_needle": ("2_needle.json",),
    "3_ego": ("3_ego.json",),
    "4_count": ("4_count.json",),
    "5_order": ("5_order.json",),
    "6_anomaly_reco": ("6_anomaly_reco.json",),
    "7_topic_reasoning": ("7_topic_reasoning.json",),
    "8_sub_scene": ("8_sub_scene.json",),
    "9_summary": ("9_summary.json",),
    "test": ("test_question.json",),
}


@dataclass(frozen=True)
class Mlvu:
    """Seven tasks of choice and two of telling, about videos of 3 minutes to 2 hours (Zhou et al., CVPR 2025)."""

    card: ClassVar[Card] = Card(
        title="MLVU",
        files="the nine files 1_plotQA.json ... 9_summary.json (dev); or test_question.json, which has no answers",
        splits=(
            Split(
                "dev",
                2_593,
                digest="1dbbec082439a0483657dfbcee04da55034d0aaaf8428922ff89ad989478b428",
                source="github.com/FlagOpen/FlagEmbedding, research/MLVU/data; without its five faulty rows",
            ),
            Split(
                "dev, multiple choice",
                2_175,
                digest="565f7395fd0deb8253322092f30911ccc2c0a62ad1960cdfb7f0308d0769a666",
                source="the same, files 1 to 7",
            ),
            Split(
                "dev, generation",
                418,
                digest="2c4ec0de99250001da857ff7ad809e7d677b3da53f157b00ab86d37aa53c5427",
                source="the same, files 8 and 9",
            ),
        ),
        metric="M-Avg: the mean of the tasks' accuracies; G-Avg: the mean of two tasks' scores of 2 to 10 by a judge",
        source="arXiv 2406.04264; github.com/JUNJIE99/MLVU",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`. Five rows of dev are not as they should be: see docs/evals.md."""
        for name, path in known_files(files, FILES):
            yield from items_from(json_records(path), partial(_item, name))

    def asking(self, item: Item) -> Asking | None:
        """Its authors' (evaluation/multiple_choice_evaluation); what is told freely is asked as it stands."""
        if not item.options:
            return Asking()
        return Asking(
            asked="Question: {question}",
            lead="Options:",
            option="({label}) {option}",
            after="Only give the best option.",
            opening="Best Option: (",
        )

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """M-Avg and G-Avg, and what they are the means of. Tasks weigh the same, however many questions they have."""
        groups = by_category(marks)
        chosen = [share_of(name, some) for name, some in groups.items() if name not in SPOKEN]
        told = [_told(name, groups[name]) for name in SPOKEN if name in groups]
        means = [combined("M-Avg", chosen)] if chosen else []
        means += [combined("G-Avg", told)] if told else []
        return (*means, *chosen, *told)


def _told(name: str, marks: Sequence[Mark]) -> Figure:
    return combined(name, [mean_of(aspect, marks, aspect) for aspect in SPOKEN[name]], total=True)


def _item(folder: str, record: Record) -> Item:
    kind = record.one_of("question_type", list(TASKS))
    task, video = TASKS[kind], record.text("video")
    name = record.text("question_id") if folder == "test" else f"{folder}/{record.place.row}"
    told = task in SPOKEN
    # Four rows of 1_plotQA.json have empty candidates, which keep their letters.
    options = () if told else record.texts("candidates", blanks=True)
    known = record.has("answer") and not told
    return Item(
        id=name,
        video=VideoName((f"{folder}/{video}", f"{kind}/{video}", video)),
        question=record.text("question"),
        options=options,
        right=record.among("answer", options) if known or (not told and folder != "test") else None,
        reference=record.text("answer") if told else None,
        categories=(task,),
        facets=(("duration_s", f"{record.number('duration'):g}"),) if record.has("duration") else (),
        points=record.texts("scoring_points") if task == "SSC" else (),
        aspects=SPOKEN.get(task, ()),
        place=record.place,
    )
