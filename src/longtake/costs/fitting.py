"""costs.fitting: a sampler and what may be spent in; the largest number of its frames that fits out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from longtake.costs import Cost
from longtake.costs.counting import Counter
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.plan import Plan, TextNeed, is_still, plan_of, text_need
from longtake.video import Video


@dataclass(frozen=True)
class Case:
    """What is asked of a model: which files, and how much text.

    Attributes:
        videos: the files.
        question: None where it is not known yet.
        options: of the answer.
    """

    videos: Sequence[Video]
    question: str | None
    options: GenerateOptions

    def plans(self, model: Model) -> list[Plan]:
        """What the model will see of each file."""
        pictures = sum(is_still(video) for video in self.videos)
        return [plan_of(model, video, self.question or "", pictures=pictures) for video in self.videos]

    def text(self, model: Model) -> TextNeed:
        """Tokens beside the frames."""
        template = model.image_template if any(map(is_still, self.videos)) else model.template
        return text_need(model, template, self.question, self.options)

    def cost(self, counter: Counter, model: Model) -> Cost:
        """What it takes."""
        return counter.cost(self.videos, self.plans(model), self.text(model))

    def tokens(self, model: Model) -> int:
        """All positions, the answer's among them."""
        return self.text(model).tokens + sum(plan.tokens for plan in self.plans(model))


def with_frames(model: Model, frames: int) -> Model:
    """The model looking at so many frames.

    Raises:
        LongtakeError: `usage.bad_option` if its sampler is not told how many.
    """
    sampler: Any = model.sampler
    if "frames" not in {field.name for field in dataclasses.fields(sampler)}:
        reason = f"{type(sampler).__name__} is not told how many frames it takes"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--fit", reason, "take --sampler uniform")
    return dataclasses.replace(model, sampler=dataclasses.replace(sampler, frames=frames))


def most_frames(model: Model, case: Case, fits: Callable[[Model], bool]) -> int:
    """The largest number of frames that fits, of at most those that the files have; 0 if not even one does.

    What costs more with each frame is assumed to: of numbers that fit, the last before one that does not.
    """
    low, high = 0, max(len(video.numbers) for video in case.videos)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(with_frames(model, middle)) else (low, middle - 1)
    return low


def in_context(model: Model, case: Case) -> bool:
    """Whether the model was trained to read so much, or may go beyond."""
    return model.beyond_trained_context or case.tokens(model) <= model.engine.trained_context
