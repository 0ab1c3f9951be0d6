"""judges.asking: requests in, what a judge says to each out, as many at once as it may be asked. Knows no file.

A reply that is not just what was asked for gives no marks; so does none at all. Neither is ever a mark of 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from longtake.engines import GenerateOptions
from longtake.errors import DoorRefused, LongtakeError, counted
from longtake.evals.judged import verdict
from longtake.judges import Judged, Messages, Request, Settings
from longtake.judges.costing import Prices, Tokens, reading, spent
from longtake.judges.crew import Crew, Gate
from longtake.readers import Reader, Reply
from longtake.readers.endpoint import Endpoint, guessed_tokens


@dataclass(frozen=True)
class Judge:
    """Somebody who can be asked.

    Attributes:
        settings: who.
        say: what is asked in, the reply out.
        count: about how many tokens words make.
        most_at_once: how many may ask it together.
        gate: what holds them back when it wants them to wait.
    """

    settings: Settings
    say: Callable[[Messages], Reply]
    count: Callable[[str], int]
    most_at_once: int | None = None
    gate: Gate = field(default_factory=Gate)


@dataclass(frozen=True)
class Limits:
    """How much is asked.

    Attributes:
        at_once: so many requests wait for their replies together, at most.
        most_tokens: read and said, in all; None for no limit.
        most_cost: in the money of `prices`; None for no limit.
        give_up_after: so many requests in a row without any reply.
    """

    at_once: int = 4
    most_tokens: int | None = None
    most_cost: float | None = None
    prices: Prices = Prices()
    give_up_after: int = 20

    def forbids(self, tokens: Tokens) -> str:
        """Why not so many in all; "" if they may be."""
        if self.most_tokens is not None and tokens.all > self.most_tokens:
            return f"more could take more than {self.most_tokens:,} tokens"
        cost = self.prices.cost(tokens)
        if self.most_cost is not None and cost is not None and cost > self.most_cost:
            return f"more could cost more than {self.most_cost:g}"
        return ""


def judge_at(endpoint: Endpoint, settings: Settings) -> Judge:
    """The judge behind an address."""
    gate, options = Gate(), _options(settings)
    held = replace(endpoint, wait=gate.wait)
    return Judge(settings, lambda messages: held.say(messages, options), endpoint.count, gate=gate)


def judge_here(reader: Reader, settings: Settings) -> Judge:
    """A reader as a judge; the messages are read as one text, in its template. It is asked one thing at a time."""
    options = _options(settings)

    def say(messages: Messages) -> Reply:
        return reader.read("\n\n".join(message["content"] for message in messages), options)

    return Judge(settings, say, reader.count, most_at_once=1)


def judge_of_nothing(settings: Settings) -> Judge:
    """Stands for a judge where nothing is left to ask."""

    def say(messages: Messages) -> Reply:
        raise ValueError("there was nothing to ask")

    return Judge(settings, say, guessed_tokens)


def ask_all(requests: Sequence[Request], judge: Judge, limits: Limits, hear: Callable[[Request, Judged], None]) -> str:
    """Ask them, and hear of each reply as it comes, in any order.

    Returns:
        Why some were not asked; "" if all were.

    Raises:
        LongtakeError: `network.refused` if the other side takes nothing of whoever asks: the key, the address or the
            model is wrong. That is no reply to any request, and nobody hears of those that were under way.
    """
    waiting, used, reserved, silent, stopped = deque(requests), Tokens(), Tokens(), 0, ""
    at_once = min(len(waiting), limits.at_once, judge.most_at_once or limits.at_once)
    crew: Crew[Request, tuple[Request, Judged]] = Crew(lambda request: _ask(request, judge), at_once)
    try:
        while (waiting and not stopped) or crew.flying:
            while waiting and crew.has_room and not stopped:
                most = _most(waiting[0], judge)
                stopped = limits.forbids(used + reserved + most)
                if not stopped:
                    reserved += most
                    crew.give(waiting.popleft())
            if not crew.flying:
                break
            request, judged = crew.take()
            hear(request, judged)
            most, took = _most(request, judge), spent(judged, request, judge.count)
            used, reserved = used + took, Tokens(reserved.read - most.read, reserved.new - most.new)
            silent = silent + 1 if judged.reply is None else 0
            if silent >= limits.give_up_after:
                return f"no reply came to {counted(silent, 'request')} in a row; the last: {judged.reason}"
        return stopped
    finally:
        if crew.flying:
            judge.gate.close()
        crew.dismiss()


def _ask(request: Request, judge: Judge) -> tuple[Request, Judged]:
    """One request's line, whatever comes of it.

    Raises:
        DoorRefused: nothing would come of any other either.
    """
    line = Judged(
        id=request.id,
        prompt=request.prompt,
        prompt_sha256=request.prompt_sha256,
        answer_sha256=request.answer_sha256,
        judge=judge.settings.to_json(),
        digest=request.digest(judge.settings),
        marks=None,
    )
    try:
        judge.gate.hold()
        reply = judge.say(request.messages)
    except DoorRefused:
        raise
    except LongtakeError as error:
        return request, replace(line, reason=f"{error.code.value.code}: {error.reason}")
    line = replace(line, reply=reply.text, by=reply.by, read_tokens=reply.read_tokens, new_tokens=reply.new_tokens)
    if reply.cut:
        return request, replace(line, reason="the reply was cut off: it went on for too long")
    found = verdict(reply.text, request.aspects)
    return request, replace(line, marks=dict(found.scores) or None, reason=found.why)


def _most(request: Request, judge: Judge) -> Tokens:
    return Tokens(reading(request, judge.count), judge.settings.max_new_tokens)


def _options(settings: Settings) -> GenerateOptions:
    return GenerateOptions(settings.max_new_tokens, settings.temperature, settings.seed)
