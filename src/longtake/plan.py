"""plan: what a video would cost in tokens, before anything is decoded; refuses what does not fit. Knows no video.

The context is shared by the video (template and frames), the question and the answer:

    | opening | frames ................ | question | answer |
    0                                                     trained_context
"""

from __future__ import annotations

import bisect

from longtake import parts
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import question_ids

GREEDY = GenerateOptions()

QUESTION_ROOM_TOKENS = 64
"""Kept free for a question that is not known yet when a video is watched."""


def question_room(model: Model, question: str | None) -> int:
    """How many tokens to keep free for a question and its answer; None where the question is not known yet.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`.
    """
    if question is None:
        return QUESTION_ROOM_TOKENS + GREEDY.max_new_tokens
    return len(question_ids(model.template, model.tokenizer, question)) + GREEDY.max_new_tokens


def refuse_too_many_frames(model: Model, frames: int, visual_tokens: int, text_tokens: int) -> None:
    """Check that frames and text fit in what the model was trained to read, unless it may go beyond.

    Raises:
        LongtakeError: `limit.context`, telling how many frames fit and which layout would take them all.
    """
    reads = model.engine.trained_context
    free_tokens = reads - text_tokens
    if visual_tokens <= free_tokens or model.beyond_trained_context:
        return
    grid = model.encoder.grid_height, model.encoder.grid_width
    most = bisect.bisect_right(range(1, frames + 1), free_tokens, key=lambda count: model.layout.count(count, *grid))
    ways = [f"sample at most {most:,} frames"] if most else []
    ways += [f"take --layout {name}" for name in _layouts_that_fit(frames, grid, free_tokens)[:1]]
    reason = (
        f"{frames:,} frames make {visual_tokens:,} tokens and text needs {text_tokens:,}; this model reads {reads:,}"
    )
    advice = ", or ".join([*ways, "go on with --beyond-trained-context"])
    raise LongtakeError(ErrorCode.LIMIT_CONTEXT, "", reason, advice)


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
