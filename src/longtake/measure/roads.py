"""measure.roads: a model and an opened video in; what it says to each of several questions out. Knows no benchmark.

`Straight` asks what has seen all frames at once, `ByMethod` one of the methods. Either looks at a video once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from longtake.answer import Answer, Watched
from longtake.choosing import Point, weigh, weigh_letters
from longtake.clock import Clock
from longtake.engines import GenerateOptions
from longtake.evals import Item
from longtake.families import Model
from longtake.measure import Scoring
from longtake.measure.asking import Words
from longtake.methods import Hear, Method, Query, Team
from longtake.pipeline import Put, answer_to, watch
from longtake.plan import is_still, plan_of, refuse_too_long, refuse_too_many_frames, text_need
from longtake.prompt import question_ids
from longtake.prompt.choices import choosing
from longtake.video import Video

Progress = Callable[[str, int, int], None]
DIGITS = 6
"""Of likelihoods, and of seconds, in a row."""


@dataclass(frozen=True)
class Said:
    """What came of one question.

    Attributes:
        text: the answer; None where only likelihoods were asked for.
        shares: how likely each option is; None where that was not asked, or cannot be told.
        frames: how many were seen.
        tokens: that were read and said, by kind.
        degraded: some of the video could not be seen.
        seconds: by stage, of this question alone.
    """

    text: str | None
    shares: tuple[float, ...] | None = None
    frames: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    degraded: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)


class Road(Protocol):
    """How answers come."""

    def check(self, video: Video) -> None:
        """Refuse a video that would be too much for the model; decodes nothing.

        Raises:
            LongtakeError: `limit.context`, `usage.bad_option`.
        """
        ...

    def watch(self, video: Video, progress: Progress) -> Any:
        """All that does not depend on a question.

        Raises:
            LongtakeError: whatever the video is refused for.
        """
        ...

    def times_s(self, watched: Any) -> tuple[float, ...]:
        """Of the frames that were seen; () where that differs from question to question."""
        ...

    def seconds(self, watched: Any) -> Mapping[str, float]:
        """What looking took, by stage."""
        ...

    def say(self, watched: Any, item: Item, words: Words) -> Said:
        """What the model says.

        Raises:
            LongtakeError: `limit.context`, `model.nonfinite`; as a reader.
        """
        ...


@dataclass(frozen=True)
class Straight:
    """The model answers from all frames at once. What it has read is kept from one question to the next.

    Attributes:
        model: with the parts that the user chose.
        scoring: of multiple choice.
        options: how an answer's tokens are chosen.
    """

    model: Model
    scoring: tuple[Scoring, ...]
    options: GenerateOptions

    def check(self, video: Video) -> None:
        """See `Road`."""
        plan = plan_of(self.model, video, "")
        template = self.model.image_template if is_still(video) else self.model.template
        refuse_too_many_frames(self.model, [plan], text_need(self.model, template, None, self.options))

    def watch(self, video: Video, progress: Progress) -> Watched:
        """See `Road`."""
        return watch(self.model, video, options=self.options, progress=progress)

    def times_s(self, watched: Watched) -> tuple[float, ...]:
        """See `Road`."""
        return tuple(float(time_s) for look in watched.looks for time_s in look.times_s)

    def seconds(self, watched: Watched) -> Mapping[str, float]:
        """See `Road`."""
        return watched.seconds

    def say(self, watched: Watched, item: Item, words: Words) -> Said:
        """See `Road`. An answer and likelihoods begin at the same place, behind the same tokens."""
        template = choosing(watched.template) if words.offered else watched.template
        if words.opening:
            template = replace(template, closing=(*template.closing, words.opening))
        ids = question_ids(template, self.model.tokenizer, words.text)
        refuse_too_long(self.model, watched.prefix.length, len(ids), self.options.max_new_tokens)
        clock = Clock()
        text, shares, new_tokens = None, None, 0
        if "letter" in self.scoring or not words.called:
            answer = answer_to(self.model, watched, Put(words.text, self.options, ids))
            text, new_tokens = answer.text, answer.tokens["new"]
            clock.add("generate", answer.seconds["generate"])
        if "likelihood" in self.scoring and words.called:
            point = Point(watched.prefix, ids, template)
            with clock.stage("choose"):
                if words.lettered:
                    weighed = weigh_letters(self.model, point, words.called, self.options)
                else:
                    weighed = weigh(self.model, point, words.called)
            shares = rounded(weighed.shares)
        read_tokens = watched.prefix.length + len(ids) - watched.visual_tokens
        return Said(
            text=text,
            shares=shares,
            frames=sum(len(look.numbers) for look in watched.looks),
            tokens={"visual": watched.visual_tokens, "text": read_tokens, "new": new_tokens},
            degraded=any(look.degraded for look in watched.looks),
            seconds=clock.seconds,
        )


@dataclass(frozen=True)
class ByMethod:
    """An answer by way of captions, or of two looks (`longtake.methods`).

    Attributes:
        method: with its options.
        team: who looks and who reads.
        options: how an answer's tokens are chosen.
    """

    method: Method
    team: Team
    options: GenerateOptions

    def check(self, video: Video) -> None:
        """See `Road`."""
        self.method.cost(self.team, [video], Query("What?", (), self.options))

    def watch(self, video: Video, progress: Progress) -> _MethodWatched:
        """See `Road`."""
        clock, hear = Clock(), Hear(progress)
        with clock.stage("watch"):
            watched = self.method.watch(self.team, [video], hear=hear)
        return _MethodWatched(watched, clock.seconds, hear)

    def times_s(self, watched: _MethodWatched) -> tuple[float, ...]:
        """See `Road`: which frames are seen may depend on the question."""
        return ()

    def seconds(self, watched: _MethodWatched) -> Mapping[str, float]:
        """See `Road`."""
        return watched.seconds

    def say(self, watched: _MethodWatched, item: Item, words: Words) -> Said:
        """See `Road`. A method is told of options only where they are offered in the model's own way."""
        clock = Clock()
        query = (
            Query(item.question, item.options, self.options) if words.offered else Query(words.text, (), self.options)
        )
        with clock.stage("generate"):
            answer = self.method.ask(watched.made, query, hear=watched.hear)
        return Said(
            text=answer.text,
            shares=_shares(answer),
            frames=sum(len(look.numbers) for look in answer.looks),
            tokens=dict(answer.tokens),
            degraded=answer.degraded,
            seconds=clock.seconds,
        )


@dataclass(frozen=True)
class _MethodWatched:
    """What a method made of a video, and how long that took."""

    made: Any
    seconds: Mapping[str, float]
    hear: Hear


def rounded(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Shares to so many digits as rows have."""
    return tuple(round(share, DIGITS) for share in shares)


def _shares(answer: Answer) -> tuple[float, ...] | None:
    found = [offered.probability for offered in answer.choices]
    known = [share for share in found if share is not None]
    return rounded(tuple(known)) if known and len(known) == len(found) else None
