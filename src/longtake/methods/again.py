"""methods.again: a coarse look over all of a video, then more frames around what that answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from longtake import parts
from longtake.answer import Answer, Span, Watched
from longtake.errors import ErrorCode, LongtakeError
from longtake.evidence import refuse_untold, reply_of, rested
from longtake.families import Model
from longtake.methods import NOBODY, Cost, Hear, Query, Team
from longtake.methods._captioning import summed
from longtake.pipeline import ask, choose, watch
from longtake.plan import is_still, plan_of, refuse_too_many_frames, text_need
from longtake.prompt.choices import choosing, with_choices
from longtake.video import Video

Chosen = tuple[tuple[int, ...], ...]
"""For each file the numbers of the frames that are looked at, ascending."""


@dataclass(frozen=True, eq=False)
class Picked:
    """Frames that were chosen already, for each of some files.

    Attributes:
        files: by identity: one file may be there twice, cut to different stretches.
        numbers: for each.
    """

    files: tuple[Video, ...]
    numbers: Chosen

    def pick(self, video: Video, question: str) -> list[int]:
        """These, whatever is asked."""
        return next(list(own) for file, own in zip(self.files, self.numbers, strict=True) if file is video)


@dataclass(frozen=True)
class Glanced:
    """Files after the first look; any number of questions may be asked of them.

    Attributes:
        team: whose model looked.
        files: as they were given.
        numbers: of the frames of the first look.
        watched: what was made of them.
    """

    team: Team
    files: tuple[Video, ...]
    numbers: Chosen
    watched: Watched


@dataclass(frozen=True)
class Again:
    """Look again: a coarse look over all of it, then more frames around what that answer rests on, then the answer.

    Coarse and dense frames lie before the model together, in order of time, so that nothing it saw at first is lost. No
    training, and no other model; what lies between two coarse frames and leaves no trace in them is not found. The idea
    of a second look where the first one points is VideoAgent's (arXiv 2403.10517) and VideoTree's (arXiv 2405.19209),
    which take captions and another model for it; here the model's own attention and removal say where.

    Attributes:
        frames: of each video in the second look, coarse and dense together; a still picture is always one.
        coarse: of these, those of the first look, evenly spread.
        every_s: the first look takes a frame every so many seconds instead.
        spans: around so many times at most there is a closer look.
    """

    frames: int = 64
    coarse: int = 32
    every_s: float | None = None
    spans: int = 3

    def __post_init__(self) -> None:
        if self.every_s is None and not 1 <= self.coarse < self.frames:
            raise ValueError(f"coarse is {self.coarse}; want at least 1, and less than frames, {self.frames}")
        if self.every_s is not None:
            parts.find("samplers", "every")(seconds=self.every_s)
        if self.frames < 2 or self.spans < 1:
            raise ValueError(f"frames is {self.frames}, spans {self.spans}; want at least 2 and 1")

    def cost(self, team: Team, files: Sequence[Video], query: Query) -> Cost:
        """What `watch` and one `ask` will cost at most; decodes nothing.

        Raises:
            LongtakeError: `limit.context` if the second look is too much for the model; `usage.bad_option` for a model
                that does not tell its attention; `usage.*` for the query.
        """
        refuse_untold(team.model)
        question = _asked(team.model, files, query)
        coarse = self._coarse(files)
        most = tuple(tuple(video.numbers[: self._room(video)].tolist()) for video in files)
        frames = tokens = 0
        for numbers in (coarse, most):
            model = _looking(team.model, files, numbers)
            pictures = sum(map(is_still, files))
            plans = [plan_of(model, video, question, pictures=pictures) for video in files]
            template = model.image_template if pictures else model.template
            refuse_too_many_frames(model, plans, text_need(model, template, question, query.options))
            frames += sum(map(len, numbers))
            tokens += sum(plan.tokens for plan in plans)
        return Cost(captions=0, frames=frames, visual_tokens=tokens, reader_tokens=0)

    def watch(self, team: Team, files: Sequence[Video], *, hear: Hear = NOBODY) -> Glanced:
        """The first look.

        Raises:
            LongtakeError: as `pipeline.watch`; `usage.bad_option` for a model that does not tell its attention.
        """
        refuse_untold(team.model)
        numbers = self._coarse(files)
        watched = watch(_looking(team.model, files, numbers), files, progress=hear.progress)
        return Glanced(team, tuple(files), numbers, watched)

    def ask(self, watched: Glanced, query: Query, *, hear: Hear = NOBODY) -> Answer:
        """The answer after the second look, which is told with where that was and why.

        Raises:
            LongtakeError: as `pipeline.ask`.
        """
        model, files = watched.team.model, watched.files
        first = rested(model, watched.watched, query.question, _answered(model, watched.watched, query))
        spans, why = list(first.evidence or ()), "what that rests on"
        if not spans:
            reply = reply_of(model, watched.watched, query.question, first)
            # Nothing was looked at for the sake of an answer without words.
            peaks = reply.peaks(reply.asked_about_F) if reply.answer_ids else []
            spans = [reply.span(peak, 0.0) for peak in peaks]
            why = "what the question looked at, for nothing in the first look stood out"
        spans = spans[: self.spans]
        numbers = tuple(
            self._closer(video, coarse, [span for span in spans if span.file == file])
            for file, (video, coarse) in enumerate(zip(files, watched.numbers, strict=True))
        )
        looking = _looking(model, files, numbers)
        closer = watch(looking, files, _asked(model, files, query), options=query.options, progress=hear.progress)
        second = _answered(looking, closer, query, hear)
        return self._told(rested(looking, closer, query.question, second), first, f"{_times(spans, files)} ({why})")

    def _told(self, second: Answer, first: Answer, where: str) -> Answer:
        """The second answer with what came of the first look."""
        part = {"method": parts.told(self, "methods")}
        layouts = [{room: told for room, told in look.parts.items() if room != "sampler"} for look in second.looks]
        looks = [replace(look, parts={**part, **own}) for look, own in zip(second.looks, layouts, strict=True)]
        frames = sum(len(look.numbers) for look in first.looks)
        said = " ".join(first.text.split())
        note = f"the first look, at {frames:,} frames, said {said!r}; looked again around {where}"
        return replace(
            second,
            looks=tuple(looks),
            tokens={**second.tokens, "first_visual": first.tokens["visual"], "first_new": first.tokens["new"]},
            seconds=summed([first.seconds, second.seconds]),
            notes=(*second.notes, note),
        )

    def _room(self, video: Video) -> int:
        return 1 if is_still(video) else self.frames

    def _coarse(self, files: Sequence[Video]) -> Chosen:
        """The frames of the first look."""
        by_clock = self.every_s is not None
        sampler: Any = parts.find("samplers", "every" if by_clock else "uniform")(self.every_s or self.coarse)
        chosen = tuple(tuple(sampler.pick(video, "")) for video in files)
        for video, numbers in zip(files, chosen, strict=True):
            if len(numbers) > self._room(video):
                reason = f"a frame every {self.every_s:g} s makes {len(numbers):,}, and there are to be {self.frames:,}"
                advice = f"look less often at first, or set method.frames to more than {len(numbers):,}"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "method.every_s", reason, advice)
        return chosen

    def _closer(self, video: Video, coarse: tuple[int, ...], spans: Sequence[Span]) -> tuple[int, ...]:
        """The coarse frames and, around the spans, as many others as there is room for, evenly spread; the windows grow
        by a coarse frame on both sides until they hold so many.
        """
        free = np.setdiff1d(video.numbers, coarse)
        room = min(self._room(video) - len(coarse), len(free))
        places = [(coarse.index(span.numbers[0]), coarse.index(span.numbers[-1])) for span in spans]
        if room <= 0 or not places:
            return coarse
        edges = np.array([-1, *coarse, int(video.numbers[-1]) + 1])
        inside = np.zeros(len(free), dtype=bool)
        for wider in range(1, len(edges)):
            for first, last in places:
                begin, end = edges[max(0, first + 1 - wider)], edges[min(len(edges) - 1, last + 1 + wider)]
                inside |= (free > begin) & (free < end)
            if inside.sum() >= room:
                break
        near = free[inside]
        dense = near[((np.arange(room) + 0.5) * len(near) / room).astype(int)]
        return tuple(sorted({*coarse, *dense.tolist()}))


def _looking(model: Model, files: Sequence[Video], numbers: Chosen) -> Model:
    return replace(model, sampler=Picked(tuple(files), numbers))


def _asked(model: Model, files: Sequence[Video], query: Query) -> str:
    """The question as the model reads it, with its choices.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`; `usage.bad_option` for choices that cannot be offered.
    """
    template = model.image_template if any(map(is_still, files)) else model.template
    return with_choices(choosing(template), query.question, query.choices) if query.choices else query.question


def _answered(model: Model, watched: Watched, query: Query, hear: Hear = NOBODY) -> Answer:
    if query.choices:
        return choose(model, watched, query.question, query.choices, query.options)
    return ask(model, watched, query.question, query.options, on_text=hear.text)


def _times(spans: Sequence[Span], files: Sequence[Video]) -> str:
    """When and, where there are several files, in which."""
    named = [f"{span.told}{f' of {files[span.file].path}' if len(files) > 1 else ''}" for span in spans]
    return ", ".join(named) or "nothing"
