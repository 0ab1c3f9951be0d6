"""pipeline: a model and a video in, an answer out: the whole story on one page. Knows no part by name.

video -> sampler.pick -> video.read -> encoder.encode -> layout.arrange -> prefix -> engine.prefill      watch()
                                                                question_ids -> engine.generate          ask()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from longtake import parts
from longtake.answer import Answer, Asked, Look, Offered, Shown, Watched
from longtake.choosing import Point, weigh_letters
from longtake.clock import Clock, peak_memory_bytes
from longtake.engines import GenerateOptions
from longtake.errors import counted
from longtake.eye import Reading, Saw, open_eye
from longtake.eye.choosing import glance, looks
from longtake.eye.choosing import look as look_at
from longtake.families import Model
from longtake.layouts import frames_shown
from longtake.plan import GREEDY, is_still, plan_of, refuse_too_long, refuse_too_many_frames, text_need
from longtake.prompt import ChatTemplate, joined, prefix, question_ids, stream_text
from longtake.prompt.choices import choosing, letters_of, with_choices
from longtake.recalling import Recall, Recalled
from longtake.samplers import sifter_of
from longtake.video import Video

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total): "read" and "encode" count frames, "prefill" tokens, "hash" bytes."""


def watch(
    model: Model,
    files: Video | Sequence[Video],
    question: str | None = None,
    *,
    options: GenerateOptions = GREEDY,
    progress: Progress | None = None,
) -> Watched:
    """Read videos and pictures, so that questions about them can be asked.

    Args:
        model: from `longtake.load`, perhaps with parts replaced.
        files: from `longtake.open_video`: one, or several in the order in which the model is to see them. A file of one
            frame is a picture, for which a model may have a layout and a template of its own.
        question: the first question, for samplers that look at it; None if it is not known yet.
        options: of the first answer; room is kept for its tokens.
        progress: hears what is done of what.

    Raises:
        LongtakeError: before anything is decoded: `limit.context` if the frames make more tokens than the model was
            trained to read, `usage.blank_question`, `usage.bad_text`; then whatever the files' frames are refused for.
    """
    tell, clock = progress or _silent, Clock()
    videos = list(files) if isinstance(files, Sequence) else [files]
    pictures = sum(is_still(video) for video in videos)
    template = model.image_template if pictures else model.template
    text = text_need(model, template, question, options)
    plans = [plan_of(model, video, question or "", pictures=pictures) for video in videos]
    refuse_too_many_frames(model, plans, text)
    reading = Reading(clock, tell, asked=sum(map(looks, plans)))
    recall = Recall(model, list(zip(videos, plans, strict=True)), template, reading)
    recalled = recall.found()
    if recalled.prefix is not None:
        return _watched(model, template, videos, recalled, clock)

    eye = open_eye(model, reading)
    saw, arranged = [], []
    for video, plan in zip(videos, plans, strict=True):
        sight = look_at(eye, reading, video, plan)
        arranged.append(plan.layout.arrange(sight.grid))
        saw.append(sight.saw)
        del sight  # the pieces have the features; grids of several files would be held twice
    prompt = prefix(template, model.tokenizer, joined(template, arranged))
    del arranged
    visual_tokens = sum(one.came.tokens for one in saw)
    if len(prompt.visual_ND) != visual_tokens:
        raise ValueError(f"{len(prompt.visual_ND)} visual tokens came where {visual_tokens} were announced")
    text = replace(text, opening_tokens=len(prompt.token_ids_L) - visual_tokens)
    refuse_too_many_frames(model, plans, text)
    after_tokens = 0 if question is None else text.question_tokens
    with clock.stage("prefill"):
        kept = model.engine.prefill(
            prompt, after_tokens=after_tokens, progress=lambda done, total: tell("prefill", done, total)
        )

    recalled = recall.keep(kept, saw, prompt.token_ids_L.numpy())
    return _watched(model, template, videos, recalled, clock)


def look(model: Model, files: Video | Sequence[Video], *, progress: Progress | None = None) -> tuple[Look, ...]:
    """Only look: read and encode, so that the features are in the model's store when somebody asks.

    The language model reads nothing, so there may be more frames than it could read at once.

    Args:
        model, files, progress: as for `watch`.

    Raises:
        LongtakeError: whatever the files' frames are refused for.
    """
    videos = list(files) if isinstance(files, Sequence) else [files]
    pictures = sum(is_still(video) for video in videos)
    plans = [plan_of(model, video, "", pictures=pictures) for video in videos]
    reading = Reading(Clock(), progress or _silent, asked=sum(map(looks, plans)))
    eye = open_eye(model, reading)
    return tuple(
        _look(video, look_at(eye, reading, video, plan).saw) for video, plan in zip(videos, plans, strict=True)
    )


def choose_frames(model: Model, video: Video, *, progress: Progress | None = None) -> Look:
    """Which frames of `video` the model's sampler keeps, where it looks before it chooses; they are not watched.

    Raises:
        LongtakeError: as `watch`.
        ValueError: the sampler chooses without looking; its `pick` says which.
    """
    sifter = sifter_of(model.sampler)
    if sifter is None:
        raise ValueError("this sampler chooses without looking")
    plan = plan_of(model, video, "")
    reading = Reading(Clock(), progress or _silent, asked=len(plan.numbers))
    return _look(video, glance(open_eye(model, reading), video, plan, sifter).saw)


def ask(
    model: Model,
    watched: Watched,
    question: str,
    options: GenerateOptions = GREEDY,
    *,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Answer a question about what `model` has watched. What was read is kept: the next question is cheap.

    Args:
        model: that watched it.
        watched: from `watch`.
        question: in plain words.
        options: how the answer's tokens are chosen.
        on_text: hears the answer's text as it comes.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`; `limit.context` if question and answer do not fit in
            what the files left; `model.nonfinite`.
    """
    put = Put(question, options, _ids_after(model, watched, question))
    refuse_too_long(model, watched.prefix.length, len(put.token_ids), options.max_new_tokens)
    return answer_to(model, watched, put, on_text=on_text)


@dataclass(frozen=True)
class Put:
    """A question that is put to a model.

    Attributes:
        question: in plain words.
        options: how the answer's tokens are chosen.
        token_ids: that are read after what was watched.
        turn: which question of a conversation it is, from 0.
    """

    question: str
    options: GenerateOptions
    token_ids: Sequence[int]
    turn: int = 0


def answer_to(model: Model, watched: Watched, put: Put, *, on_text: Callable[[str], None] | None = None) -> Answer:
    """What the model says when it reads `put.token_ids` after what was watched; whether that fits is not looked at.

    Raises:
        LongtakeError: `model.nonfinite`.
    """
    new_ids: list[int] = []
    clock = Clock()
    with clock.stage("generate"), closing(watched.engine.generate(watched.prefix, put.token_ids, put.options)) as ids:
        for text in stream_text(model.tokenizer, _noted(ids, new_ids)):
            if on_text:
                on_text(text)
    return _told(model, watched, put, new_ids, clock)


def ask_all(
    model: Model, watched: Watched, questions: Sequence[str], options: GenerateOptions = GREEDY
) -> list[Answer]:
    """Answer many questions about what `model` has watched, together: what was read is gone through once for all.

    Args:
        model, watched, options: as for `ask`, which would give each of them this answer.
        questions: in plain words; they know nothing of each other.

    Returns:
        An answer for each; `seconds["generate"]` of each is what all of them took.

    Raises:
        LongtakeError: as `ask`, before any is answered.
    """
    asked = [Put(question, options, _ids_after(model, watched, question)) for question in questions]
    for put in asked:
        refuse_too_long(model, watched.prefix.length, len(put.token_ids), options.max_new_tokens)
    clock = Clock()
    with clock.stage("generate"):
        said = watched.engine.generate_many(watched.prefix, [put.token_ids for put in asked], options)
    return [_told(model, watched, put, new_ids, clock) for put, new_ids in zip(asked, said, strict=True)]


def choose(
    model: Model, watched: Watched, question: str, choices: Sequence[str], options: GenerateOptions = GREEDY
) -> Answer:
    """Answer a question of multiple choice about what `model` has watched: with one of the choices, and how likely each
    is. They are offered by letters, as the model's template writes them.

    Args:
        model, watched: as for `ask`.
        question: in plain words.
        choices: 2 to 26.
        options: how the model says what a letter rests on, if it was taught to; else nothing is drawn.

    Raises:
        LongtakeError: as `ask`; `usage.bad_option` for choices that cannot be offered.
    """
    template = choosing(watched.template)
    asked = with_choices(template, question, choices)
    token_ids, letters, clock = _ids_after(model, watched, asked), letters_of(choices), Clock()
    refuse_too_long(model, watched.prefix.length, len(token_ids), options.max_new_tokens)
    with clock.stage("choose"):
        weighed = weigh_letters(model, Point(watched.prefix, token_ids, template), letters, options)
    said = _Said(choices[weighed.best], weighed.said_ids, clock.seconds)
    offered = tuple(Offered(*each) for each in zip(letters, choices, weighed.shares, strict=True))
    return replace(_answer(model, watched, Put(question, options, token_ids), said), choices=offered)


def logprobs(model: Model, watched: Watched, question: str, answer: str) -> torch.Tensor:
    """(A,) natural-log probability of each token of `answer`, were it given to `question`; their sum is the answer's.

    Raises:
        LongtakeError: as `ask`.
    """
    token_ids, answer_ids = _ids_after(model, watched, question), model.tokenizer.encode(answer)
    refuse_too_long(model, watched.prefix.length, len(token_ids), len(answer_ids))
    return watched.engine.logprobs(watched.prefix, token_ids, answer_ids)


@dataclass(frozen=True)
class _Said:
    """An answer's words, the ids that the model generated, and what they cost."""

    text: str
    new_ids: Sequence[int]
    seconds: Mapping[str, float]


def _told(model: Model, watched: Watched, put: Put, new_ids: Sequence[int], clock: Clock) -> Answer:
    """The answer that was generated to a question."""
    cut = len(new_ids) == put.options.max_new_tokens
    notes = (f"the answer was cut after {counted(len(new_ids), 'token')}",) if cut else ()
    return _answer(model, watched, put, _Said(model.tokenizer.decode(new_ids), new_ids, clock.seconds), notes)


def _answer(model: Model, watched: Watched, put: Put, said: _Said, notes: Sequence[str] = ()) -> Answer:
    read_tokens, reads = watched.prefix.length + len(put.token_ids), model.engine.trained_context
    text_tokens, total = read_tokens - watched.visual_tokens, read_tokens + len(said.new_ids)
    told = [*(note for look in watched.looks for note in look.notes), *watched.notes]
    rope = model.engine.rope
    if rope is not None:
        options = ", ".join(f"{name} {value}" for name, value in parts.options(rope).items())
        told.append(f"positions are turned by {parts.told(rope, 'ropes')['name']} ({options})")
    beyond = total > reads
    if beyond:
        told.append(f"{total:,} tokens are more than the {reads:,} that this model was trained to read")
    return Answer(
        text=said.text,
        looks=watched.looks,
        tokens={"visual": watched.visual_tokens, "text": text_tokens, "new": len(said.new_ids)},
        seconds={**watched.seconds, **said.seconds},
        peak_memory_bytes=peak_memory_bytes(),
        peak_device_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        model=model.name,
        beyond_trained_context=beyond,
        notes=(*told, *notes),
        asked=_asked(watched, put, said),
        asides=watched.asides,
    )


def _asked(watched: Watched, put: Put, said: _Said) -> Asked:
    read_L = np.concatenate([watched.prompt_ids_L, np.array(put.token_ids, dtype=np.int64)])
    return Asked(put.question, put.options, watched.template, read_L, tuple(said.new_ids), put.turn)


def _watched(
    model: Model, template: ChatTemplate, videos: Sequence[Video], recalled: Recalled, clock: Clock
) -> Watched:
    assert recalled.prefix is not None
    return Watched(
        looks=tuple(map(_look, videos, recalled.of_files)),
        template=template,
        prefix=recalled.prefix,
        engine=model.engine,
        seconds=clock.seconds,
        prompt_ids_L=recalled.ids_L,
        shown=_shown(recalled.of_files, recalled.ids_L),
        notes=recalled.notes,
        kept=recalled.kept,
    )


def _look(video: Video, saw: Saw) -> Look:
    came = saw.came
    told = {"sampler": parts.told(came.sampler, "samplers"), "layout": parts.told(came.layout, "layouts")}
    look = Look.at(video, saw.seen, came.tokens, kept=came.numbers if saw.chosen else None, parts=told)
    return replace(look, kept=saw.kept, notes=(*look.notes, *(saw.kept.notes() if saw.kept else ())))


def _shown(saw: Sequence[Saw], ids_L: NDArray[np.int64]) -> Shown:
    """Which positions of a prompt show which of the frames that came."""
    came = [one.came for one in saw]
    return Shown.by(ids_L, [frames_shown(plan.layout, plan.shape, len(plan.numbers)) for plan in came])


def _ids_after(model: Model, watched: Watched, question: str) -> list[int]:
    if watched.engine is not model.engine:
        raise ValueError("this was watched with another engine; watch it again with this model")
    return question_ids(watched.template, model.tokenizer, question)


def _noted(token_ids: Iterable[int], kept: list[int]) -> Iterator[int]:
    for token_id in token_ids:
        kept.append(token_id)
        yield token_id


def _silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""
