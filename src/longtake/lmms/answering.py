"""lmms/answering: a model and many wanted answers in, answers in the same order out; a video is read once.

Knows nothing of lmms-eval.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from longtake.answer import Answer, Watched
from longtake.choosing import Point, likelihoods, ways_to_write
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.families import Model
from longtake.lmms.media import Medium, opened
from longtake.lmms.settings import Failed
from longtake.lmms.wanted import Wanted
from longtake.pipeline import ask, ask_all, watch
from longtake.plan import refuse_too_long
from longtake.prompt import question_ids

Done = Callable[[int], None]
"""Hears of each answer as it comes: how many more there are."""
_OF_ONE_VIDEO = ("media.", "limit.", "usage.bad_span")
"""Codes of what is wrong with one video or question, not with the run."""
_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Said:
    """An answer.

    Attributes:
        text: up to where the task wants it to end; "" where it failed.
        read_tokens: what was read before it, the part that it shares with others too.
        new_tokens: what was said.
        error: why there is no answer, or "".
    """

    text: str
    read_tokens: int = 0
    new_tokens: int = 0
    error: str = ""


@dataclass(frozen=True)
class Likely:
    """How likely a text is as the answer: its natural-log probability, and whether it is what the model would say."""

    logprob: float
    greedy: bool


class Answerer:
    """Asks a model about videos; what it has read of the last one is kept until another is wanted.

    Args:
        model: that answers.
        batch_size: how many questions about one video are answered together; None for all.
        failed: "stop" lets an error through; "empty" answers with nothing, and counts.
    """

    def __init__(self, model: Model, *, batch_size: int | None = 1, failed: Failed = "stop") -> None:
        self._model, self._batch_size, self._failed = model, batch_size, failed
        self._seen: tuple[Medium, ...] = ()
        self._watched: Watched | None = None
        self._refused: tuple[tuple[Medium, ...], GenerateOptions, LongtakeError] | None = None
        self.reads = 0
        """How often something was watched."""
        self.errors: list[str] = []
        """One line for each answer that failed."""

    def answers(self, wants: Sequence[Wanted], done: Done = lambda more: None) -> list[Said]:
        """An answer for each, in their order; whatever shows the same is asked about together.

        Raises:
            LongtakeError: `media.not_found` before anything is read, if files are not there; whatever `watch` and `ask`
                refuse. With "empty" not what is wrong with one video.
        """
        self._refuse_missing(wants)
        said: dict[int, Said] = {}
        for places in grouped(range(len(wants)), lambda place: wants[place].seen):
            for alike in grouped(places, lambda place: wants[place].options):
                for some in _chunks(alike, self._batch_size):
                    for place, answer in zip(some, self._some([wants[place] for place in some]), strict=True):
                        said[place] = answer
                    done(len(some))
        return [said[place] for place in range(len(wants))]

    def likely(self, wanted: Wanted, texts: Sequence[str]) -> list[Likely]:
        """How likely each of `texts` is as the answer, however the tokenizer may write it.

        Raises:
            LongtakeError: as `answers`; a likelihood is never made up, so nothing is forgiven.
        """
        watched = self._watch(wanted)
        point = Point(
            watched.prefix, question_ids(watched.template, self._model.tokenizer, wanted.question), watched.template
        )
        ways = [ways_to_write(self._model, point, text) for text in texts]
        longest = max(len(ids) for each in ways for ids in each)
        refuse_too_long(self._model, watched.prefix.length, len(point.token_ids), longest)
        options = GenerateOptions(max_new_tokens=longest)
        greedy = list(self._model.engine.generate(point.prefix, point.token_ids, options))
        logprobs = likelihoods(self._model, point, texts)
        return [
            Likely(logprob, any(greedy[: len(ids)] == ids for ids in each))
            for logprob, each in zip(logprobs, ways, strict=True)
        ]

    def _some(self, wants: Sequence[Wanted]) -> list[Said]:
        """Answers to questions about one thing, all drawn alike."""
        try:
            answers = self._asked(wants)
        except LongtakeError as error:
            if self._failed == "stop" or not error.code.value.code.startswith(_OF_ONE_VIDEO):
                raise
            if len(wants) > 1 and self._watched is not None:  # what was seen is well; one of the questions is not
                return [said for want in wants for said in self._some([want])]
            self.errors += [str(error)] * len(wants)
            logging.getLogger("longtake").warning("no answer to %s: %s", counted(len(wants), "question"), error)
            return [Said("", error=str(error))] * len(wants)
        return [
            Said(want.cut(answer.text), answer.tokens["visual"] + answer.tokens["text"], answer.tokens["new"])
            for want, answer in zip(wants, answers, strict=True)
        ]

    def _asked(self, wants: Sequence[Wanted]) -> list[Answer]:
        watched, options = self._watch(wants[0]), wants[0].options
        if len(wants) == 1:
            return [ask(self._model, watched, wants[0].question, options)]
        return ask_all(self._model, watched, [want.question for want in wants], options)

    def _watch(self, wanted: Wanted) -> Watched:
        """What is wanted, read; the same as last time where that is the same."""
        if self._watched is not None and self._seen == wanted.seen:
            return self._watched
        if self._refused is not None and self._refused[:2] == (wanted.seen, wanted.options):
            raise self._refused[2]  # a file that is damaged late would be decoded again for every question
        self._watched = None  # before the next is read: two would not fit where one just does
        try:
            with opened(wanted.visuals()) as videos:
                self._watched = watch(self._model, videos, options=wanted.options)
        except LongtakeError as error:
            self._refused = (wanted.seen, wanted.options, error)
            raise
        self._seen = wanted.seen
        self.reads += 1
        return self._watched

    def _refuse_missing(self, wants: Sequence[Wanted]) -> None:
        if self._failed != "stop":
            return
        paths = dict.fromkeys(medium.path for wanted in wants for medium in wanted.seen if medium.path)
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            others = f", and {len(missing) - 1:,} more of {counted(len(paths), 'file')}" if missing[1:] else ""
            advice = "put it there, or take --model_args failed=empty, which answers with nothing and counts as wrong"
            raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, missing[0], f"there is no such file{others}", advice)


def grouped(things: Sequence[_Thing], key: Callable[[_Thing], Hashable]) -> Iterator[list[_Thing]]:
    """Those that have a key in common, in order of first appearance."""
    groups: dict[Hashable, list[_Thing]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return iter(groups.values())


def _chunks(places: Sequence[int], size: int | None) -> Iterator[Sequence[int]]:
    step = size or len(places)
    return (places[start : start + step] for start in range(0, len(places), step))
