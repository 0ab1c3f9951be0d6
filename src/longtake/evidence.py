"""evidence: a question and its answer in, the times that the answer rests on out. Knows no part and no file by name.

Two steps, both behind the prefix that is kept, so that nothing is read again:

    attention   what the answer's tokens look at, in all heads of all layers, says which frames come into question
    removal     each of them is hidden from question and answer; how much of the answer's probability that takes is its
                score

Attention alone is one reading and always names something; removal alone finds the frames too, by hiding ever smaller
parts of the video, but takes dozens of readings. Measured against each other in benchmarks/evidence.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.answer import Answer, Span, Watched
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import question_ids
from longtake.prompt.choices import choosing, with_choices

MOST_SPANS = 5
FAINT = 0.05
"""Of the most that a frame is looked at: what is looked at less does not come into question."""
JOINED = 0.5
"""Of the most that a frame is looked at: neighbours that are looked at so much are one span with it."""
STANDS_OUT = 0.1
"""Of the answer's probability: a span that takes less of it with it is not named."""
MOST_ANSWER_TOKENS = 256
"""So many tokens of an answer are looked at, from its first."""

Frames = tuple[int, int]
"""Frames of all files, numbered one after the other: from the first up to the last, which is not of it."""


@dataclass(frozen=True)
class Reply:
    """An answer to a question about what was watched, as tokens.

    Attributes:
        watched: by whose engine all is read.
        question_ids, answer_ids: what follows the prefix.
    """

    watched: Watched
    question_ids: Sequence[int]
    answer_ids: Sequence[int]

    @cached_property
    def _first_F(self) -> NDArray[np.int64]:
        """For each file the number of its first frame among the frames of all; behind them how many there are."""
        counts = [len(look.numbers) for look in self.watched.looks]
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def frames(self) -> int:
        """Of all files."""
        return int(self._first_F[-1])

    @cached_property
    def _shows_R2(self) -> NDArray[np.int64]:
        """For each run of positions the first of all files' frames that it shows, and the one behind the last."""
        shown = self.watched.shown
        shows_R2: NDArray[np.int64] = shown.frames_R2 + self._first_F[shown.files_R][:, None] + np.array([0, 1])
        return shows_R2

    @cached_property
    def _attended_RP(self) -> torch.Tensor:
        return self.watched.engine.attended(self.watched.prefix, self.question_ids, self.answer_ids)

    @cached_property
    def looked_at_F(self) -> NDArray[np.float64]:
        """(F,) how much of its attention the answer gives to each frame, on average over its tokens, beyond what the
        first position behind the frames gives it: that has not read the question, and looks where all always look.
        """
        return self._by_frame(self._attended_RP[len(self.question_ids) - 1 :].mean(0))

    @cached_property
    def asked_about_F(self) -> NDArray[np.float64]:
        """(F,) the same of the question's tokens."""
        return self._by_frame(self._attended_RP[: len(self.question_ids)].mean(0))

    def _by_frame(self, attended_P: torch.Tensor) -> NDArray[np.float64]:
        beyond_P = (attended_P - self._attended_RP[0]).clamp(min=0).double().numpy()
        shown = self.watched.shown
        total_P = np.concatenate([[0.0], np.cumsum(beyond_P)])
        starts_R, stops_R = self._shows_R2.T
        share_R = (total_P[shown.stops_R] - total_P[shown.starts_R]) / (stops_R - starts_R)
        steps_F = np.zeros(self.frames + 1)
        np.add.at(steps_F, starts_R, share_R)
        np.add.at(steps_F, stops_R, -share_R)
        return np.maximum(np.cumsum(steps_F)[:-1], 0.0)

    def logprob(self, hidden: Sequence[Frames] = ()) -> float:
        """Natural logarithm of the answer's probability where these frames are hidden from question and answer.

        What frames behind them took in of the hidden ones when the video was read stays.
        """
        starts_R, stops_R = self._shows_R2.T
        hidden_R = np.zeros(len(starts_R), dtype=np.int64)
        for start, stop in hidden:
            hidden_R += (np.minimum(stops_R, stop) - np.maximum(starts_R, start)).clip(min=0)
        # Where tokens show several frames at once, those go that show the hidden ones mostly.
        shown, gone_R = self.watched.shown, np.flatnonzero((hidden_R > 0) & (2 * hidden_R >= stops_R - starts_R))
        spans = [(int(shown.starts_R[run]), int(shown.stops_R[run])) for run in gone_R]
        forced = self.watched.engine.force(self.watched.prefix, self.question_ids, self.answer_ids, hidden=spans)
        return float(forced.logprobs_A.sum())

    def span(self, frames: Frames, score: float) -> Span:
        """These frames, which are of one file, as an answer tells them."""
        start, stop = frames
        file = int(np.searchsorted(self._first_F, start, side="right")) - 1
        look, first = self.watched.looks[file], int(self._first_F[file])
        times_s, numbers = look.times_s[start - first : stop - first], look.numbers[start - first : stop - first]
        return Span(file, float(times_s[0]), float(times_s[-1]), score, tuple(int(number) for number in numbers))

    def peaks(self, attention_F: NDArray[np.float64] | None = None) -> list[Frames]:
        """The frames that are looked at most, with their neighbours of the same file that are too; the most first.

        Args:
            attention_F: by this; None: by the answer's.
        """
        looked_F = (self.looked_at_F if attention_F is None else attention_F).copy()
        found: list[Frames] = []
        most = float(looked_F.max())
        while len(found) < MOST_SPANS and (peak := float(looked_F.max())) > FAINT * most:
            frame = int(looked_F.argmax())
            file = int(np.searchsorted(self._first_F, frame, side="right")) - 1
            start, stop = frame, frame + 1
            while start > self._first_F[file] and looked_F[start - 1] >= JOINED * peak:
                start -= 1
            while stop < self._first_F[file + 1] and looked_F[stop] >= JOINED * peak:
                stop += 1
            found.append((start, stop))
            looked_F[start:stop] = 0.0
        return found

    def quietest(self, count: int) -> Frames:
        """As many frames one after the other, of any file, that are looked at least."""
        total_F = np.concatenate([[0.0], np.cumsum(self.looked_at_F)])
        start = int((total_F[count:] - total_F[:-count]).argmin())
        return start, start + count


def evidence(model: Model, watched: Watched, question: str, answer: str) -> tuple[Span, ...]:
    """The times that an answer rests on, at most five, those that matter most first; none where nothing stands out.

    A span's score is the share of the answer's probability, 0 to 1, that is lost when its frames are hidden, or that
    they bring back where all spans are hidden, whichever is more: of two that say the same neither is missed while the
    other is there.

    Args:
        model: that watched it.
        watched: from `watch`.
        question, answer: as asked and answered.

    Raises:
        LongtakeError: `usage.bad_option` for a model that does not tell its attention; `usage.blank_question`,
            `usage.bad_text`; `model.nonfinite`.
    """
    return weighed(_reply(model, watched, question_ids(watched.template, model.tokenizer, question), answer))


def rested(model: Model, watched: Watched, question: str, answer: Answer) -> Answer:
    """`answer` with its evidence and the time that took; also where it chose among choices.

    Raises:
        LongtakeError: as `evidence`.
    """
    begin_s = time.perf_counter()
    found = weighed(reply_of(model, watched, question, answer))
    return replace(answer, evidence=found, seconds={**answer.seconds, "evidence": time.perf_counter() - begin_s})


def reply_of(model: Model, watched: Watched, question: str, answer: Answer) -> Reply:
    """What was asked and answered, as the model read and wrote it.

    Raises:
        LongtakeError: as `evidence`.
    """
    if not answer.choices:
        return _reply(model, watched, question_ids(watched.template, model.tokenizer, question), answer.text)
    template = choosing(watched.template)
    asked = with_choices(template, question, [offered.text for offered in answer.choices])
    token_ids = question_ids(watched.template, model.tokenizer, asked)
    letter = next(offered.letter for offered in answer.choices if offered.text == answer.text)
    if template.choices is None or not template.choices.stated:
        return _reply(model, watched, token_ids, letter)
    said = list(watched.engine.generate(watched.prefix, token_ids, GenerateOptions()))
    words = model.tokenizer.decode(said).partition("(")[0].strip()
    return _reply(model, watched, token_ids, f"{words} ({letter})")


def weighed(reply: Reply) -> tuple[Span, ...]:
    """What comes into question by attention, weighed by removal."""
    if not reply.answer_ids:
        return ()
    # Half of all frames and more are no time that could be named.
    peaks = [peak for peak in reply.peaks() if 2 * (peak[1] - peak[0]) <= reply.frames]
    if not peaks:
        return ()
    longest = max(stop - start for start, stop in peaks)
    # What hiding as much of what is hardly looked at costs says nothing of what is hidden.
    whole = min(reply.logprob(), reply.logprob([reply.quietest(longest)]))
    scores = [1 - _share(reply.logprob([peak]), whole) for peak in peaks]
    if len(peaks) > 1:
        left = _share(reply.logprob(peaks), whole)
        alone = [_share(reply.logprob([other for other in peaks if other != peak]), whole) - left for peak in peaks]
        scores = [max(pair) for pair in zip(scores, alone, strict=True)]
    named = sorted(zip(scores, peaks, strict=True), key=lambda each: -each[0])
    return tuple(reply.span(peak, score) for score, peak in named if score >= STANDS_OUT)


def _share(logprob: float, whole: float) -> float:
    """What is left of the answer's probability, at most 1."""
    return math.exp(min(0.0, logprob - whole))


def _reply(model: Model, watched: Watched, token_ids: Sequence[int], answer: str) -> Reply:
    refuse_untold(model)
    return Reply(watched, token_ids, model.tokenizer.encode(answer)[:MOST_ANSWER_TOKENS])


def refuse_untold(model: Model) -> None:
    """Check that a model can be asked what it looked at.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    if not model.engine.tells_attention:
        reason = "this model's layers attend in a window, by transformers' own functions, which do not tell at what"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "evidence", reason, "ask without it, or take another model")
