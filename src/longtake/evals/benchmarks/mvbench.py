"""evals.benchmarks.mvbench: MVBench's twenty files in, its questions out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split, VideoName
from longtake.evals.asking import LETTER_DIRECTLY, Asking
from longtake.evals.benchmarks._files import known_files
from longtake.evals.figures import Figure, Mark, by_category, combined, shares
from longtake.evals.records import Record, items_from, json_records

_STAR = ("star/Charades_v1_480", "star/Charades_segment", "data0613/star/Charades_v1_480")
_CLEVRER = ("clevrer/video_validation", "data0613/clevrer/video_validation")
FOLDERS: Mapping[str, Sequence[str]] = {
    "action_sequence": _STAR,
    "action_prediction": _STAR,
    "action_antonym": ("ssv2_video", "ssv2_video_mp4"),
    "fine_grained_action": ("Moments_in_Time_Raw/videos",),
    "unexpected_action": ("FunQA_test/test",),
    "object_existence": _CLEVRER,
    "object_interaction": _STAR,
    "object_shuffle": ("perception/videos",),
    "moving_direction": _CLEVRER,
    "action_localization": ("sta/sta_video", "sta/sta_video_segment"),
    "scene_transition": ("scene_qa/video",),
    "action_count": ("perception/videos",),
    "moving_count": _CLEVRER,
    "moving_attribute": _CLEVRER,
    "state_change": ("perception/videos",),
    "fine_grained_pose": ("nturgbd", "nturgbd_convert"),
    "character_order": ("perception/videos",),
    "egocentric_navigation": ("vlnqa",),
    "episodic_reasoning": ("tvqa/frames_fps3_hq", "tvqa/video_fps3_hq_segment"),
    "counterfactual_inference": _CLEVRER,
}
"""Task -> where its videos lie (github.com/OpenGVLab/Ask-Anything, video_chat2/mvbench.ipynb; lmms-eval's from the
second name on). What lies in a folder `..._segment` is cut to the stretch that is asked about already."""
FILES: Mapping[str, Sequence[str]] = {task: (f"{task}.json",) for task in FOLDERS}


@dataclass(frozen=True)
class Mvbench:
    """Twenty tasks that one frame does not answer: multiple choice about short clips (Li et al., CVPR 2024)."""

    card: ClassVar[Card] = Card(
        title="MVBench",
        files="json/action_sequence.json and the other nineteen",
        splits=(Split("all", 4_000, source="arXiv 2311.17005: 20 tasks of 200 questions"),),
        metric="the mean of the tasks' accuracies",
        source="arXiv 2311.17005; huggingface.co/datasets/OpenGVLab/MVBench",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`."""
        for task, path in known_files(files, FILES):
            yield from items_from(json_records(path), partial(_item, task))

    def asking(self, item: Item) -> Asking | None:
        """lmms-eval's (tasks/mvbench)."""
        return Asking(asked="Question:{question}", lead="Option:", option="({label}) {option}", after=LETTER_DIRECTLY)

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """The mean over the tasks, and each of them."""
        tasks = shares("category", by_category(marks))
        return (combined("mean of tasks", tasks), *tasks)


def _item(task: str, record: Record) -> Item:
    video, options = record.text("video"), record.texts("candidates")
    cut = record.has("start") and record.has("end")
    return Item(
        id=f"{task}/{record.place.row}",
        video=VideoName((*(f"{folder}/{video}" for folder in FOLDERS[task]), video)),
        question=record.text("question"),
        options=options,
        right=record.among("answer", options),
        categories=(task,),
        span_s=(record.number("start"), record.number("end")) if cut else None,
        place=record.place,
    )
