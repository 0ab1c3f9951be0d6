"""plan: what files would cost in tokens, before anything is decoded; refuses what does not fit. Decodes nothing.

The context is shared by the files (template and frames), the question and the answer:

    | opening | frames ................ | question | answer |
    0                                                     trained_context
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from longtake import parts
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.families import Model
from longtake.layouts import Layout, view_of
from longtake.prompt import ChatTemplate, question_ids, segment_ids
from longtake.samplers import Sampler, Sifter, sifter_of
from longtake.video import Video
from longtake.vision import GridShape, VisionEncoder
from longtake.vision.glancing import Glancing

GREEDY = GenerateOptions()

QUESTION_ROOM_TOKENS = 64
"""Kept free for a question that is not known yet when a video is watched."""


def is_still(video: Video) -> bool:
    """Whether a file is one picture."""
    return len(video.times_s) == 1


@dataclass(frozen=True)
class Plan:
    """What of a file will be seen, and in what form.

    Attributes:
        sampler, encoder, layout: that chose, will encode and will arrange.
        numbers: of the frames; where the sampler looks before it chooses, of its candidates.
        size_px: (height, width) of a displayed frame.
        shape: of the feature grid that will come, of as many frames as are kept at most.
        most: how many of the frames are kept at most, where they are candidates; else None: all.
    """

    sampler: Sampler
    encoder: VisionEncoder
    layout: Layout
    numbers: list[int]
    size_px: tuple[int, int]
    shape: GridShape
    most: int | None = None

    @cached_property
    def tokens(self) -> int:
        """How many visual tokens that makes."""
        return self.layout.count(self.shape)

    @property
    def sifter(self) -> Sifter | None:
        """The sampler, if it is to choose among the frames."""
        return None if self.most is None else sifter_of(self.sampler)

    @property
    def frames(self) -> int:
        """How many frames the model will see, at most."""
        return len(self.numbers) if self.most is None else min(len(self.numbers), self.most)

    def with_frames(self, frames: int) -> Plan:
        """The same for the first so many of the frames."""
        return self.of(self.numbers[:frames])

    def of(self, numbers: list[int]) -> Plan:
        """The same for these frames, all of which are kept."""
        shape = _shape(self.encoder, self.layout, len(numbers), self.size_px)
        return replace(self, numbers=numbers, shape=shape, most=None)

    def with_layout(self, layout: Layout) -> Plan:
        """The same frames in another layout."""
        return replace(self, layout=layout, shape=_shape(self.encoder, layout, self.frames, self.size_px))

    def glance(self) -> Plan:
        """A look at all the frames, each of them whole and as one vector."""
        whole = parts.find("layouts", "grid")(pool=1)
        return replace(self, encoder=Glancing(self.encoder), layout=whole).of(self.numbers)


def plan_of(model: Model, video: Video, question: str, *, pictures: int = 1) -> Plan:
    """What `model` will see of a file, and by what: its sampler's frames, or a picture by its parts for pictures.

    Args:
        model: with the parts.
        video: the file.
        question: for samplers that look at it.
        pictures: how many files of one frame are asked about together.

    Raises:
        LongtakeError: `usage.bad_option` if an option of sampler or layout does not fit this file.
    """
    numbers = model.sampler.pick(video, question)
    encoder, layout = model.encoder, model.layout
    if is_still(video):
        encoder, layout = model.image_encoder or model.encoder, model.image_layout
        if pictures > 1 and model.several_layout is not None:
            layout = model.several_layout
    size_px = video.height_px, video.width_px
    sifter = sifter_of(model.sampler) if len(numbers) > 1 else None
    most = None if sifter is None else sifter.frames
    shape = _shape(encoder, layout, min(len(numbers), most or len(numbers)), size_px)
    return Plan(model.sampler, encoder, layout, numbers, size_px, shape, most)


def _shape(encoder: VisionEncoder, layout: Layout, frames: int, size_px: tuple[int, int]) -> GridShape:
    view = view_of(layout)
    height_px, width_px = size_px
    pictures = math.ceil(frames / view.frames)
    return encoder.shape_of(pictures, (view.rows * height_px, view.columns * width_px), tiled=view.tiled)


@dataclass(frozen=True)
class TextNeed:
    """Tokens of a prompt that are not frames: of the template's opening (and a layout's words), question, answer."""

    opening_tokens: int
    question_tokens: int
    answer_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.opening_tokens + self.question_tokens + self.answer_tokens


def text_need(model: Model, template: ChatTemplate, question: str | None, options: GenerateOptions) -> TextNeed:
    """What a question and its answer may need beside the frames; None where the question is not known yet.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`.
    """
    opening = segment_ids(model.tokenizer, template.opening)
    question_tokens = (
        QUESTION_ROOM_TOKENS if question is None else len(question_ids(template, model.tokenizer, question))
    )
    return TextNeed(len(opening), question_tokens, options.max_new_tokens)


def refuse_too_many_frames(model: Model, plans: Sequence[Plan], text: TextNeed) -> None:
    """Check that frames and text fit in what the model was trained to read, unless it may go beyond.

    Raises:
        LongtakeError: `limit.context`, telling how many frames fit and which layout would take them all; where the
            text leaves room for none, which part of the text is longest.
    """
    reads = model.engine.trained_context
    free_tokens = reads - text.tokens
    visual_tokens = sum(plan.tokens for plan in plans)
    if visual_tokens <= free_tokens or model.beyond_trained_context:
        return
    largest = max(plans, key=lambda plan: plan.tokens)
    left_tokens = free_tokens - (visual_tokens - largest.tokens)
    ways = _ways(largest, text, left_tokens)
    frames = sum(plan.frames for plan in plans)
    what = counted(frames, "frame") + (f" of {len(plans)} files" if len(plans) > 1 else "")
    makes = "makes" if frames == 1 else "make"
    reason = (
        f"{what} {makes} {visual_tokens:,} tokens, the question {text.question_tokens:,}, and the answer may "
        f"have {text.answer_tokens:,}; this model reads {reads:,}"
    )
    advice = ", or ".join([*ways, "go on with --beyond-trained-context"])
    raise LongtakeError(ErrorCode.LIMIT_CONTEXT, "", reason, advice)


def _ways(plan: Plan, text: TextNeed, left_tokens: int) -> list[str]:
    """What would make the file of `plan` fit in so many tokens."""
    frames = plan.frames
    most = bisect.bisect_right(range(1, frames + 1), left_tokens, key=lambda count: plan.with_frames(count).tokens)
    fewer = f"sample at most {counted(most, 'frame')}"
    ways = [fewer if most else _smaller(text, plan.with_frames(1).tokens)]
    fitting = _layouts_that_fit(plan, left_tokens)
    if fitting:
        ways.append(f"take --layout {max(fitting, key=lambda name: fitting[name])}")
    return ways


def _smaller(text: TextNeed, frame_tokens: int) -> str:
    """What to do where not even one frame fits: the larger of frame and text gives way."""
    if frame_tokens > text.tokens:
        return f"choose options of the layout that make less than {frame_tokens:,} tokens of one frame"
    longer_question = text.question_tokens > text.answer_tokens
    return "ask in fewer words" if longer_question else "ask for a shorter answer with --max-new-tokens"


def refuse_too_long(model: Model, video_tokens: int, question_tokens: int, new_tokens: int) -> None:
    """Check that question and answer fit in what the video left, unless the model may go beyond.

    Raises:
        LongtakeError: `limit.context`, telling which of the two is too long.
    """
    reads = model.engine.trained_context
    free_tokens = reads - video_tokens
    if question_tokens + new_tokens <= free_tokens or model.beyond_trained_context:
        return
    context = f"this model reads {reads:,} and the video took {video_tokens:,}"
    if question_tokens < free_tokens:
        reason = f"the question makes {question_tokens:,} tokens and the answer may have {new_tokens:,}; {context}"
        advice = f"ask for an answer of at most {free_tokens - question_tokens:,} tokens, or sample fewer frames"
    else:
        reason = f"the question is too long: it makes {question_tokens:,} tokens; {context}"
        advice = "ask in fewer words, or sample fewer frames"
    raise LongtakeError(ErrorCode.LIMIT_CONTEXT, "", reason, advice)


def _layouts_that_fit(plan: Plan, free_tokens: int) -> dict[str, int]:
    """The layouts that see the same frames and, as they are, make few enough tokens of them; with how many.

    One that makes no more of many frames than of half of them is left out: it fits by melting frames into each other.
    """
    found = {}
    half = max(1, plan.frames // 2)
    for name in parts.names("layouts"):
        layout: Layout = parts.build("layouts", name, {}, label="layout")
        if view_of(layout) != view_of(plan.layout):
            continue
        # A layout that cannot lay out such a grid at all refuses to count.
        with suppress(LongtakeError):
            other = plan.with_layout(layout)
            if half == plan.frames or other.with_frames(half).tokens < other.tokens:
                found[name] = other.tokens
    return {name: tokens for name, tokens in found.items() if tokens <= free_tokens}
