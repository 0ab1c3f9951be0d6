"""judges.costing: requests in, about how many tokens and what money they take out. Knows nobody who could be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from longtake.errors import counted
from longtake.judges import Judged, Request

TOKENS_A_MESSAGE = 5
"""Besides its words, by what chat templates put around a message (ChatML: five)."""
TOKENS_A_VERDICT = 20
"""About as many as `{"pred": "yes", "score": 4}` and its like make."""
_MILLION = 1_000_000


@dataclass(frozen=True)
class Tokens:
    """So many read, and so many said."""

    read: int = 0
    new: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.read + other.read, self.new + other.new)

    @property
    def all(self) -> int:
        """Both."""
        return self.read + self.new


@dataclass(frozen=True)
class Prices:
    """Of a million tokens, in whatever money; None where they are not known."""

    read: float | None = None
    new: float | None = None

    def cost(self, tokens: Tokens) -> float | None:
        """Of so many; None without both prices."""
        if self.read is None or self.new is None:
            return None
        return (tokens.read * self.read + tokens.new * self.new) / _MILLION


@dataclass(frozen=True)
class Estimate:
    """What asking takes, before anything is asked.

    Attributes:
        requests: how many there are.
        likely: tokens, if the judge says just what it is asked for.
        most: if it goes on as long as it may.
    """

    requests: int
    likely: Tokens
    most: Tokens
    prices: Prices

    def told(self) -> str:
        """In a line."""
        if not self.requests:
            return "nothing is left to ask"
        words = f"{counted(self.requests, 'request')}: about {self.likely.read:,} tokens read and "
        words += f"{self.likely.new:,} said, at most {self.most.new:,}"
        likely, most = self.prices.cost(self.likely), self.prices.cost(self.most)
        return words if likely is None else f"{words}; costs about {likely:,.4g}, at most {most:,.4g}"

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "requests": self.requests,
            "read_tokens": self.likely.read,
            "new_tokens": self.likely.new,
            "most_new_tokens": self.most.new,
            "cost": self.prices.cost(self.likely),
            "most_cost": self.prices.cost(self.most),
        }


def reading(request: Request, count: Callable[[str], int]) -> int:
    """How many tokens a judge reads for a request, as `count` counts."""
    return sum(count(message["content"]) + TOKENS_A_MESSAGE for message in request.messages)


def estimate(requests: Iterable[Request], count: Callable[[str], int], max_new_tokens: int, prices: Prices) -> Estimate:
    """What asking all of them takes; tries that fail are not in it."""
    read = [reading(request, count) for request in requests]
    likely = min(TOKENS_A_VERDICT, max_new_tokens) * len(read)
    return Estimate(len(read), Tokens(sum(read), likely), Tokens(sum(read), max_new_tokens * len(read)), prices)


def spent(judged: Judged, request: Request, count: Callable[[str], int]) -> Tokens:
    """What one reply took; guessed where the judge does not tell. What never came is taken to cost nothing."""
    if judged.reply is None:
        return Tokens()
    read = reading(request, count) if judged.read_tokens is None else judged.read_tokens
    return Tokens(read, count(judged.reply) if judged.new_tokens is None else judged.new_tokens)
