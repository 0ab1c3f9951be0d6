"""pipeline: a model and a video in, an answer out: the whole story on one page. Knows no part by name.

video -> sampler.pick -> video.read -> encoder.encode -> layout.arrange -> prefix -> engine.prefill      watch()
                                                                question_ids -> engine.generate          ask()
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longtake import parts
from longtake.engines import Engine, GenerateOptions, Prefix
from longtake.families import Model
from longtake.plan import GREEDY, refuse_too_long, refuse_too_many_frames, text_need
from longtake.prompt import prefix, question_ids, stream_text
from longtake.video import Frames, LostSpan, Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen

READ_AHEAD_FRAMES = 32
"""So many small frames may wait for the encoder while the next are read."""

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total): "read" and "encode" count frames, "prefill" tokens."""


@dataclass(frozen=True)
class Watched:
    """A video that a model has read, ready for any number of questions.

    Attributes:
        path: the video, as the user named it.
        duration_s: of the video.
        asked_frames: how many the sampler picked; fewer were read only where damage may be skipped.
        numbers: (T,) numbers of the frames that were read.
        times_s: (T,) their presentation times in seconds.
        lost_s: stretches of the video that nobody could see.
        degraded: whether anything is missing that the video should show.
        visual_tokens: how many positions of the prefix show frames.
        prefix: what the engine keeps.
        engine: that read it; no other can read on.
        parts: sampler and layout by name, with their options.
        seconds: wall time by stage: read, encode, prefill.
        notes: what is worth saying about video and reading.
    """

    path: str
    duration_s: float
    asked_frames: int
    numbers: NDArray[np.int64]
    times_s: NDArray[np.float64]
    lost_s: tuple[LostSpan, ...]
    degraded: bool
    visual_tokens: int
    prefix: Prefix
    engine: Engine
    parts: Mapping[str, Mapping[str, object]]
    seconds: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a model says, and what that rests on.

    Attributes:
        text: the answer.
        frames: (number, time in seconds) of each frame that the model saw.
        asked_frames: how many were to be seen.
        lost_s: stretches of the video that nobody could see; an end of None is one that nobody knows.
        degraded: whether anything is missing that the video should show.
        tokens: counts: visual, text (template and question), new.
        seconds: wall time by stage: read, encode and prefill, spent once for all questions; generate for this one.
        peak_memory_bytes: the most that this process has held so far; None where the system does not tell.
        peak_device_memory_bytes: the same of the accelerator's memory; None without one.
        model: its name, as the user asked for it.
        parts: sampler and layout by name, with their options.
        beyond_trained_context: whether there were more tokens than the model was trained to read.
        notes: what is worth saying.
    """

    text: str
    frames: tuple[tuple[int, float], ...]
    asked_frames: int
    lost_s: tuple[LostSpan, ...]
    degraded: bool
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    peak_memory_bytes: int | None
    peak_device_memory_bytes: int | None
    model: str
    parts: Mapping[str, Mapping[str, object]]
    beyond_trained_context: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        return {
            "answer": self.text,
            "frames": [{"number": number, "time_s": time_s} for number, time_s in self.frames],
            "asked_frames": self.asked_frames,
            "degraded": self.degraded,
            "lost_s": [list(span) for span in self.lost_s],
            "tokens": dict(self.tokens),
            "seconds": {stage: round(spent_s, 4) for stage, spent_s in self.seconds.items()},
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_device_memory_bytes": self.peak_device_memory_bytes,
            "model": self.model,
            "parts": {room: dict(part) for room, part in self.parts.items()},
            "beyond_trained_context": self.beyond_trained_context,
            "notes": list(self.notes),
        }


def watch(
    model: Model,
    video: Video,
    question: str | None = None,
    *,
    options: GenerateOptions = GREEDY,
    progress: Progress | None = None,
) -> Watched:
    """Read a video, so that questions about it can be asked.

    Args:
        model: from `longtake.load`, perhaps with parts replaced.
        video: from `longtake.open_video`.
        question: the first question, for samplers that look at it; None if it is not known yet.
        options: of the first answer; room is kept for its tokens.
        progress: hears what is done of what.

    Raises:
        LongtakeError: before anything is decoded: `limit.context` if the frames make more tokens than the model was
            trained to read, `usage.blank_question`, `usage.bad_text`; then whatever the video's frames are refused for.
    """
    tell, clock = progress or _silent, _Clock()
    text = text_need(model, question, options)
    numbers = model.sampler.pick(video, question or "")
    visual_tokens = model.layout.count(len(numbers), model.encoder.grid_height, model.encoder.grid_width)
    refuse_too_many_frames(model, len(numbers), visual_tokens, text)

    seen = Seen(video, numbers)
    one_by_one = video.read(numbers, chunk=1, shrink=model.encoder.shrink)
    with clock.stage("encode", without="read"), closing(ahead(one_by_one, depth=READ_AHEAD_FRAMES)) as read:
        frames = _counted(clock.each("read", read), lambda done: tell("read", done, len(numbers)))
        grid = model.encoder.encode(seen.passing(frames), progress=lambda done: tell("encode", done, len(numbers)))
    prompt = prefix(model.template, model.tokenizer, model.layout.arrange(grid))
    visual_tokens = model.layout.count(len(seen.numbers), model.encoder.grid_height, model.encoder.grid_width)
    if (len(grid.times_s), len(prompt.visual_ND)) != (len(seen.numbers), visual_tokens):
        came = f"{len(grid.times_s)} frames and {len(prompt.visual_ND)} visual tokens"
        raise ValueError(f"{came} came where {len(seen.numbers)} and {visual_tokens} were announced")
    text = replace(text, opening_tokens=len(prompt.token_ids_L) - visual_tokens)
    refuse_too_many_frames(model, len(numbers), visual_tokens, text)
    with clock.stage("prefill"):
        kept = model.engine.prefill(prompt, progress=lambda done, total: tell("prefill", done, total))

    return Watched(
        path=video.path,
        duration_s=video.duration_s,
        asked_frames=len(numbers),
        numbers=np.asarray(seen.numbers, dtype=np.int64),
        times_s=grid.times_s,
        lost_s=seen.lost_s,
        degraded=seen.degraded,
        visual_tokens=visual_tokens,
        prefix=kept,
        engine=model.engine,
        parts={"sampler": _told(model.sampler, "samplers"), "layout": _told(model.layout, "layouts")},
        seconds=clock.seconds,
        notes=(*video.notes, *seen.notes()),
    )


def ask(
    model: Model,
    watched: Watched,
    question: str,
    options: GenerateOptions = GREEDY,
    *,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Answer a question about a video that `model` has watched. What was read is kept: the next question is cheap.

    Args:
        model: that watched it.
        watched: from `watch`.
        question: in plain words.
        options: how the answer's tokens are chosen.
        on_text: hears the answer's text as it comes.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`; `limit.context` if question and answer do not fit in
            what the video left; `model.nonfinite`.
    """
    token_ids = _ids_after(model, watched, question)
    refuse_too_long(model, watched.prefix.length, len(token_ids), options.max_new_tokens)
    new_ids: list[int] = []
    clock = _Clock()
    with clock.stage("generate"):
        generated = _noted(watched.engine.generate(watched.prefix, token_ids, options), new_ids)
        for text in stream_text(model.tokenizer, generated):
            if on_text:
                on_text(text)
    read_tokens = watched.prefix.length + len(token_ids)
    beyond = read_tokens + len(new_ids) > model.engine.trained_context
    return Answer(
        text=model.tokenizer.decode(new_ids),
        frames=tuple(zip(watched.numbers.tolist(), watched.times_s.tolist(), strict=True)),
        asked_frames=watched.asked_frames,
        lost_s=watched.lost_s,
        degraded=watched.degraded,
        tokens={"visual": watched.visual_tokens, "text": read_tokens - watched.visual_tokens, "new": len(new_ids)},
        seconds={**watched.seconds, **clock.seconds},
        peak_memory_bytes=_peak_memory_bytes(),
        peak_device_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        model=model.name,
        parts=watched.parts,
        beyond_trained_context=beyond,
        notes=(*watched.notes, *_notes(model, read_tokens, len(new_ids), options)),
    )


def logprobs(model: Model, watched: Watched, question: str, answer: str) -> torch.Tensor:
    """(A,) natural-log probability of each token of `answer`, were it given to `question`; their sum is the answer's.

    Raises:
        LongtakeError: as `ask`.
    """
    token_ids, answer_ids = _ids_after(model, watched, question), model.tokenizer.encode(answer)
    refuse_too_long(model, watched.prefix.length, len(token_ids), len(answer_ids))
    return watched.engine.logprobs(watched.prefix, token_ids, answer_ids)


def _ids_after(model: Model, watched: Watched, question: str) -> list[int]:
    if watched.engine is not model.engine:
        raise ValueError("this video was watched with another engine; watch it again with this model")
    return question_ids(model.template, model.tokenizer, question)


def _notes(model: Model, read_tokens: int, new_tokens: int, options: GenerateOptions) -> Iterator[str]:
    reads = model.engine.trained_context
    if read_tokens + new_tokens > reads:
        yield f"{read_tokens + new_tokens:,} tokens are more than the {reads:,} that this model was trained to read"
    if new_tokens == options.max_new_tokens:
        yield f"the answer was cut after {new_tokens:,} tokens"


def _told(part: Any, room: str) -> dict[str, object]:
    """A part by the name that finds it again, with its options."""
    home, own = type(part).__module__, f"longtake.{room}."
    name = home.removeprefix(own) if home.startswith(own) else f"{home}:{type(part).__qualname__}"
    return {"name": name, "options": parts.options(part)}


def _noted(token_ids: Iterable[int], kept: list[int]) -> Iterator[int]:
    for token_id in token_ids:
        kept.append(token_id)
        yield token_id


def _counted(chunks: Iterable[Frames], heard: Callable[[int], None]) -> Iterator[Frames]:
    done = 0
    for frames in chunks:
        done += len(frames.numbers)
        heard(done)
        yield frames


def _peak_memory_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class _Clock:
    """Wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, spent_s: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent_s

    @contextmanager
    def stage(self, name: str, *, without: str = "") -> Iterator[None]:
        """Time what is inside, but for what the stage `without` takes of it."""
        started_s, other_s = time.perf_counter(), self.seconds.get(without, 0.0)
        yield
        self.add(name, time.perf_counter() - started_s - (self.seconds.get(without, 0.0) - other_s))

    def each(self, stage: str, things: Iterable[Frames]) -> Iterator[Frames]:
        """The same frames; what waiting for them takes goes to `stage`."""
        waiting = iter(things)
        while True:
            started_s = time.perf_counter()
            thing = next(waiting, None)
            self.add(stage, time.perf_counter() - started_s)
            if thing is None:
                return
            yield thing
