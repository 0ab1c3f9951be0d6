"""plan: what a video would cost in tokens, before anything is decoded; refuses what does not fit. Knows no video.

The context is shared by the video (template and frames), the question and the answer:

    | opening | frames ................ | question | answer |
    0                                                     trained_context
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from longtake import parts
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import question_ids, segment_ids

GREEDY = GenerateOptions()

QUESTION_ROOM_TOKENS = 64
"""Kept free for a question that is not known yet when a video is watched."""


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


def text_need(model: Model, question: str | None, options: GenerateOptions) -> TextNeed:
    """What a question and its answer may need beside the frames; None where the question is not known yet.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`.
    """
    opening = segment_ids(model.tokenizer, model.template.opening)
    question_tokens = (
        QUESTION_ROOM_TOKENS if question is None else len(question_ids(model.template, model.tokenizer, question))
    )
    return TextNeed(len(opening), question_tokens, options.max_new_tokens)


def refuse_too_many_frames(model: Model, frames: int, visual_tokens: int, text: TextNeed) -> None:
    """Check that frames and text fit in what the model was trained to read, unless it may go beyond.

    Raises:
        LongtakeError: `limit.context`, telling how many frames fit and which layout would take them all; where the
            text leaves room for none, which part of the text is longest.
    """
    reads = model.engine.trained_context
    free_tokens = reads - text.tokens
    if visual_tokens <= free_tokens or model.beyond_trained_context:
        return
    grid = model.encoder.grid_height, model.encoder.grid_width
    most = bisect.bisect_right(range(1, frames + 1), free_tokens, key=lambda count: model.layout.count(count, *grid))
    ways = [f"sample at most {most:,} frames"] if most else [_smaller(text, model.layout.count(1, *grid), reads)]
    ways += [f"take --layout {name}" for name in _layouts_that_fit(frames, grid, free_tokens)[:1]]
    reason = (
        f"{frames:,} frames make {visual_tokens:,} tokens, the question {text.question_tokens:,}, and the answer may "
        f"have {text.answer_tokens:,}; this model reads {reads:,}"
    )
    advice = ", or ".join([*ways, "go on with --beyond-trained-context"])
    raise LongtakeError(ErrorCode.LIMIT_CONTEXT, "", reason, advice)


def _smaller(text: TextNeed, frame_tokens: int, reads: int) -> str:
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


def _layouts_that_fit(frames: int, grid: tuple[int, int], free_tokens: int) -> list[str]:
    """The layouts whose default options make few enough tokens of so many frames."""
    return [name for name in parts.names("layouts") if _fits(name, frames, grid, free_tokens)]


def _fits(layout: str, frames: int, grid: tuple[int, int], free_tokens: int) -> bool:
    try:
        return bool(parts.build("layouts", layout, {}, label="layout").count(frames, *grid) <= free_tokens)
    except LongtakeError:
        # It cannot lay out such a grid at all.
        return False
