"""measure.foreseeing: questions by video and a model without its weights in; what asking takes, out. Decodes nothing.

Videos that are not there are counted one by one; tokens and seconds are those of some videos, evenly taken, times as
many as there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from longtake.costs.counting import Counter
from longtake.costs.fitting import Case
from longtake.engines import GenerateOptions
from longtake.errors import LongtakeError
from longtake.families import Model
from longtake.measure import Scoring
from longtake.measure.asking import Manner
from longtake.measure.grouping import Group, Groups
from longtake.measure.running import Opener
from longtake.prompt import question_ids

LOOKED_AT = 8
"""Videos that are opened for a plan: their packets are read, as those of each will be."""
ONCE, A_VIDEO, A_QUESTION = ("start", "load"), ("read", "encode", "prefill"), ("question", "answer")
"""Stages of `longtake.costs`, by how often they come."""


@dataclass(frozen=True)
class Counted:
    """What can be said of a run without a model.

    Attributes:
        questions: all, with rows of the files that are none.
        videos: that they are about.
        missing: of these the ones that have no file, and why.
        lost: how many questions are about those.
        faulty: rows that are no questions: where they stand, and why.
        subtitles: how many videos have them, of how many they are asked for.
    """

    questions: int
    videos: int
    missing: Mapping[str, str]
    lost: int
    faulty: Mapping[str, str]
    subtitles: tuple[int, int]


def counted_of(groups: Groups, data: Path) -> Counted:
    """Count what is there and what is missing."""
    wanted = {one.item.subtitles for group in groups.all for one in group.questions if one.item.subtitles}
    return Counted(
        questions=groups.count,
        videos=len(groups.videos),
        missing={video: error.reason for video, error in groups.missing.items()},
        lost=sum(len(group.questions) for group in groups.all if group.refused),
        faulty={group.faulty[1].id: group.faulty[1].error.reason for group in groups.all if group.faulty},
        subtitles=(sum((data / one).is_file() for one in wanted), len(wanted)),
    )


@dataclass(frozen=True)
class Foreseen:
    """What asking takes.

    Attributes:
        looked_at: how many videos were opened.
        refused: of these the ones that cannot be asked about, and why.
        frames: of a video, in the mean.
        visual_tokens: of a video, in the mean.
        read_tokens: of all videos and questions together.
        longest_tokens: of a prompt with its answer, the longest of those looked at.
        trained_context: that the model reads.
        processor_s: of all; None where nobody has measured what would compute.
    """

    looked_at: int
    refused: Mapping[str, str]
    frames: float
    visual_tokens: float
    read_tokens: int
    longest_tokens: int
    trained_context: int
    processor_s: float | None


@dataclass(frozen=True)
class Forecast:
    """What a run will ask, and of which model.

    Attributes:
        counter: of the model without weights.
        model: the same, with the parts that the user chose.
        manner: in which questions are put.
        scoring: of multiple choice; each likelihood reads the question once more.
        options: how answers' tokens are chosen.
        opener: of video files.
    """

    counter: Counter
    model: Model
    manner: Manner
    scoring: tuple[Scoring, ...]
    options: GenerateOptions
    opener: Opener

    def of(self, groups: Groups) -> Foreseen:
        """What asking all of `groups` takes."""
        there = [group for group in groups.all if group.path is not None]
        looks, refused = [], {}
        for group in _some(there):
            try:
                looks.append(self._look(group))
            except LongtakeError as error:
                refused[group.video] = error.reason
        asked = sum(len(group.questions) for group in there)
        seconds = [look.seconds for look in looks if look.seconds is not None]
        return Foreseen(
            looked_at=len(looks) + len(refused),
            refused=refused,
            frames=_mean([look.frames for look in looks]),
            visual_tokens=_mean([look.visual_tokens for look in looks]),
            read_tokens=round(
                len(there) * _mean([look.prefix_tokens for look in looks])
                + asked * _mean([look.question_tokens for look in looks])
            ),
            longest_tokens=max((look.longest_tokens for look in looks), default=0),
            trained_context=self.model.engine.trained_context,
            processor_s=self._total(seconds, len(there), asked) if seconds and len(seconds) == len(looks) else None,
        )

    def _look(self, group: Group) -> _Look:
        """What one group takes."""
        assert group.path is not None
        texts = [self.manner.words(question.item) for question in group.questions]
        lengths = [len(question_ids(self.model.template, self.model.tokenizer, words.text)) for words in texts]
        longest = texts[max(range(len(lengths)), key=lengths.__getitem__)].text
        times = [1 + len(words.called) * ("likelihood" in self.scoring) for words in texts]
        with self.opener(group.path) as opened:
            video = opened if group.span_s is None else opened.stretch(*group.span_s)
            case = Case([video], longest, self.options)
            plans, text = case.plans(self.model), case.text(self.model)
            cost = case.cost(self.counter, self.model)
        visual_tokens = sum(plan.tokens for plan in plans)
        read = [length * often for length, often in zip(lengths, times, strict=True)]
        return _Look(
            frames=sum(plan.frames for plan in plans),
            visual_tokens=visual_tokens,
            prefix_tokens=visual_tokens + text.opening_tokens,
            question_tokens=_mean(read),
            longest_tokens=visual_tokens + text.tokens,
            seconds=_repeated(cost.processor_s, _mean(times)),
        )

    @staticmethod
    def _total(seconds: Sequence[Mapping[str, float]], videos: int, questions: int) -> float:
        def mean(stages: Sequence[str]) -> float:
            return _mean([sum(one.get(stage, 0.0) for stage in stages) for one in seconds])

        return mean(ONCE) + videos * mean(A_VIDEO) + questions * mean(A_QUESTION)


@dataclass(frozen=True)
class _Look:
    """What one group takes; question_tokens in the mean over its questions, with those read again for likelihoods."""

    frames: int
    visual_tokens: int
    prefix_tokens: int
    question_tokens: float
    longest_tokens: int
    seconds: Mapping[str, float] | None


def _repeated(seconds: Mapping[str, float] | None, times: float) -> Mapping[str, float] | None:
    """The same where each question is read so many times."""
    return seconds and {**seconds, "question": times * seconds.get("question", 0.0)}


def _some(groups: Sequence[Group]) -> Iterator[Group]:
    """Some of them, evenly taken."""
    step = max(1.0, len(groups) / LOOKED_AT)
    for place in range(min(len(groups), LOOKED_AT)):
        yield groups[int(place * step)]


def _mean(numbers: Sequence[Any]) -> float:
    return float(fmean(numbers)) if numbers else 0.0
