"""pipeline: a model and a video in, an answer out: the whole story on one page. Knows no part by name.

video -> sampler.pick -> video.read -> encoder.encode -> layout.arrange -> prefix -> engine.prefill      watch()
                                                                question_ids -> engine.generate          ask()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from longtake import parts
from longtake.answer import Answer, Look, Offered, Watched
from longtake.choosing import Point, weigh_letters
from longtake.clock import Clock, peak_memory_bytes
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.layouts import Piece, view_of
from longtake.plan import GREEDY, Plan, is_still, plan_of, refuse_too_long, refuse_too_many_frames, text_need
from longtake.prompt import joined, prefix, question_ids, stream_text
from longtake.prompt.choices import choosing, letters_of, with_choices
from longtake.video import Frames, Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen
from longtake.vision.sheets import sheets

READ_AHEAD_FRAMES = 32
"""So many small frames may wait for the encoder while the next are read."""

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total): "read" and "encode" count frames, "prefill" tokens."""


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

    eye = _Eye(clock, tell, asked=sum(len(plan.numbers) for plan in plans))
    sights = [eye.look(video, plan) for video, plan in zip(videos, plans, strict=True)]
    looks = tuple(_look(*each) for each in zip(videos, plans, sights, strict=True))
    prompt = prefix(template, model.tokenizer, joined(template, [sight.pieces for sight in sights]))
    del sights  # the prompt has the tokens; pieces of several files would be held twice while it is read
    visual_tokens = sum(look.visual_tokens for look in looks)
    if len(prompt.visual_ND) != visual_tokens:
        raise ValueError(f"{len(prompt.visual_ND)} visual tokens came where {visual_tokens} were announced")
    text = replace(text, opening_tokens=len(prompt.token_ids_L) - visual_tokens)
    refuse_too_many_frames(model, plans, text)
    after_tokens = 0 if question is None else text.question_tokens
    with clock.stage("prefill"):
        kept = model.engine.prefill(
            prompt, after_tokens=after_tokens, progress=lambda done, total: tell("prefill", done, total)
        )

    return Watched(looks, template, kept, model.engine, clock.seconds)


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
    token_ids = _ids_after(model, watched, question)
    refuse_too_long(model, watched.prefix.length, len(token_ids), options.max_new_tokens)
    new_ids: list[int] = []
    clock = Clock()
    with clock.stage("generate"):
        generated = _noted(watched.engine.generate(watched.prefix, token_ids, options), new_ids)
        for text in stream_text(model.tokenizer, generated):
            if on_text:
                on_text(text)
    said = _Said(model.tokenizer.decode(new_ids), len(token_ids), len(new_ids), clock.seconds)
    cut = (f"the answer was cut after {len(new_ids):,} tokens",) if len(new_ids) == options.max_new_tokens else ()
    return _answer(model, watched, said, cut)


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
    said = _Said(choices[weighed.best], len(token_ids), weighed.new_tokens, clock.seconds)
    offered = tuple(Offered(*each) for each in zip(letters, choices, weighed.shares, strict=True))
    return replace(_answer(model, watched, said), choices=offered)


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
    """An answer's words, and what they cost."""

    text: str
    question_tokens: int
    new_tokens: int
    seconds: Mapping[str, float]


def _answer(model: Model, watched: Watched, said: _Said, notes: Sequence[str] = ()) -> Answer:
    read_tokens, reads = watched.prefix.length + said.question_tokens, model.engine.trained_context
    text_tokens, total = read_tokens - watched.visual_tokens, read_tokens + said.new_tokens
    told = [note for look in watched.looks for note in look.notes]
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
        tokens={"visual": watched.visual_tokens, "text": text_tokens, "new": said.new_tokens},
        seconds={**watched.seconds, **said.seconds},
        peak_memory_bytes=peak_memory_bytes(),
        peak_device_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        model=model.name,
        beyond_trained_context=beyond,
        notes=(*told, *notes),
    )


@dataclass(frozen=True)
class _Sight:
    """What the layout made of one file's features, which are let go, and how the file was read."""

    pieces: Sequence[Piece]
    seen: Seen
    visual_tokens: int


@dataclass
class _Eye:
    """Reads and encodes one file after the other; progress counts the frames of all."""

    clock: Clock
    tell: Progress
    asked: int
    done: int = 0

    def look(self, video: Video, plan: Plan) -> _Sight:
        """Read what was planned and encode it, a few frames at a time."""
        seen, view = Seen(video, plan.numbers), view_of(plan.layout)
        shrink = plan.encoder.shrinker(tiled=view.tiled)
        one_by_one = video.read(plan.numbers, chunk=1, shrink=shrink if view.frames == 1 else None)
        with self.clock.stage("encode", without="read"), closing(ahead(one_by_one, depth=READ_AHEAD_FRAMES)) as read:
            frames = self._counted(seen.passing(self.clock.each("read", read)))
            if view.frames > 1:
                frames = sheets(frames, view.rows, view.columns, shrink=shrink)
            grid = plan.encoder.encode(frames, tilings=plan.shape.tilings, progress=self._encoded(view.frames))
        self.done += len(plan.numbers)
        came = plan.with_frames(len(seen.numbers))
        if grid.shape != came.shape:
            raise ValueError(f"features are {grid.shape} where {came.shape} was announced")
        return _Sight(plan.layout.arrange(grid), seen, came.tokens)

    def _counted(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        read = self.done
        for frames in chunks:
            read += len(frames.numbers)
            self.tell("read", read, self.asked)
            yield frames

    def _encoded(self, frames_each: int) -> Callable[[int], None]:
        return lambda pictures: self.tell("encode", min(self.done + pictures * frames_each, self.asked), self.asked)


def _look(video: Video, plan: Plan, sight: _Sight) -> Look:
    told = {"sampler": parts.told(plan.sampler, "samplers"), "layout": parts.told(plan.layout, "layouts")}
    return Look.at(video, sight.seen, sight.visual_tokens, parts=told)


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
