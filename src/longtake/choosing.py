"""choosing: what a model has read and some short answers in; how likely it gives each of them out. Knows no video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from longtake.engines import GenerateOptions, Prefix
from longtake.families import Model
from longtake.prompt import ChatTemplate, Tokenizer


@dataclass(frozen=True)
class Weighed:
    """How likely each answer is, given that one of them is given.

    Attributes:
        shares: one probability for each answer; they sum to 1.
        said_ids: what the model said first, as ids.
    """

    shares: tuple[float, ...]
    said_ids: tuple[int, ...] = ()

    @property
    def new_tokens(self) -> int:
        """How many tokens the model said first."""
        return len(self.said_ids)

    @property
    def best(self) -> int:
        """The place of the likeliest; the first of equals."""
        return max(range(len(self.shares)), key=self.shares.__getitem__)


@dataclass(frozen=True)
class Point:
    """Where an answer would begin: what was read, and what is read next.

    Attributes:
        prefix: kept by the model's engine.
        token_ids: after it; none where the prefix is the whole prompt.
        template: that both were written in.
    """

    prefix: Prefix
    token_ids: Sequence[int]
    template: ChatTemplate


def weigh(model: Model, point: Point, answers: Sequence[str]) -> Weighed:
    """The probability of each of `answers` next, however the tokenizer may write it.

    Raises:
        LongtakeError: `model.nonfinite`.
    """
    return Weighed(_shares(model, point, answers, stem=""))


def weigh_letters(model: Model, point: Point, letters: Sequence[str], options: GenerateOptions) -> Weighed:
    """The probability of each letter. A model that was taught to say first what a letter rests on says that first.

    Raises:
        LongtakeError: `model.nonfinite`.
    """
    style = point.template.choices
    if style is None or not style.stated:
        return weigh(model, point, letters)
    said = list(model.engine.generate(point.prefix, point.token_ids, options))
    words = model.tokenizer.decode(said).partition("(")[0].strip()
    shares = _shares(model, point, [f"({letter})" for letter in letters], stem=f"{words} " if words else "")
    return Weighed(shares, tuple(said))


def likelihoods(model: Model, point: Point, answers: Sequence[str]) -> tuple[float, ...]:
    """The natural-log probability of each of `answers` next, however the tokenizer may write it.

    Raises:
        LongtakeError: `model.nonfinite`.
    """
    return tuple(_scores(model, point, answers, stem="").tolist())


def ways_to_write(model: Model, point: Point, answer: str) -> list[list[int]]:
    """The token ids that `answer` may come as behind `point`."""
    tail = point.template.closing[-1] if point.template.closing else ""
    return _spellings(model.tokenizer, tail if isinstance(tail, str) else "", answer)


def _shares(model: Model, point: Point, answers: Sequence[str], *, stem: str) -> tuple[float, ...]:
    shares: list[float] = _scores(model, point, answers, stem=stem).softmax(0).tolist()
    return tuple(shares)


def _scores(model: Model, point: Point, answers: Sequence[str], *, stem: str) -> torch.Tensor:
    """(A,) float64."""
    scores = []
    for answer in answers:
        ways = ways_to_write(model, point, stem + answer)
        found = [model.engine.logprobs(point.prefix, point.token_ids, ids).sum() for ids in ways]
        scores.append(torch.stack(found).logsumexp(0))
    return torch.stack(scores).double()


def _spellings(tokenizer: Tokenizer, behind: str, answer: str) -> list[list[int]]:
    """The token ids that `answer` may come as: by itself, and as a text goes on after `behind`.

    A tokenizer that begins each text with a space writes `A` behind `option:(` otherwise than `A` alone.
    """
    alone = tokenizer.encode(answer)
    before, whole = tokenizer.encode(behind, inside=True), tokenizer.encode(behind + answer, inside=True)
    going_on = whole[len(before) :] if whole[: len(before)] == before else alone
    return [alone] if going_on in (alone, []) else [alone, going_on]
