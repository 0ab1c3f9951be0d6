"""readers: words in, words out: whoever reads captions and answers. Knows nothing of video, frames or captions.

A reader is a model's language model, which is given no visual token, or a model behind an OpenAI-compatible address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from longtake.engines import GenerateOptions
from longtake.prompt import ChatTemplate

OnText = Callable[[str], None]
"""Hears an answer's text as it comes."""


@dataclass(frozen=True)
class Reply:
    """What a reader says.

    Attributes:
        text: the words.
        read_tokens, new_tokens: what reading and saying them took; None where the reader does not tell.
        cut: whether it was stopped because it went on too long.
        by: which model says that it said so, where that is told; "" else.
    """

    text: str
    read_tokens: int | None
    new_tokens: int | None
    cut: bool
    by: str = ""


@dataclass(frozen=True)
class Picked:
    """Which of some short answers a reader gives.

    Attributes:
        place: of the answer.
        shares: the probability of each, given that it is one of them; None where the reader does not tell.
        read_tokens, new_tokens: as in `Reply`.
    """

    place: int
    shares: tuple[float, ...] | None
    read_tokens: int | None
    new_tokens: int | None


class Reader(Protocol):
    """Reads text and answers."""

    @property
    def name(self) -> str:
        """As the user named it; holds no secret."""
        ...

    @property
    def template(self) -> ChatTemplate:
        """What it is used to; here only how it is offered choices (`choices` is never None)."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """How many tokens it was trained to read; None where nobody knows."""
        ...

    @property
    def goes_beyond(self) -> bool:
        """Whether it may read more than that."""
        ...

    def check(self) -> None:
        """Find out at once, and cheaply, whether there is nobody to read: before captions are made.

        Raises:
            LongtakeError: `network.unreachable`, `network.refused`.
        """
        ...

    def count(self, text: str) -> int:
        """How many tokens `text` makes by itself: exact where `context_tokens` is known, else a guess."""
        ...

    def count_prompt(self, text: str) -> int:
        """The same with the template around it: what `read` will read."""
        ...

    def read(self, text: str, options: GenerateOptions, *, on_text: OnText | None = None) -> Reply:
        """Read `text` and answer.

        Raises:
            LongtakeError: `limit.context`, `model.nonfinite`, `usage.bad_text`; of an address `network.*`.
        """
        ...

    def pick(self, text: str, answers: Sequence[str], options: GenerateOptions, *, letters: bool = False) -> Picked:
        """Read `text` and give one of `answers`; never another one, and never a guess at what was meant.

        Args:
            text: ends in a request to answer so.
            answers: a word or a letter each.
            options: how the reader says something first, if it was taught to.
            letters: `answers` are the letters of choices that `text` offers.

        Raises:
            LongtakeError: as `read`; `network.bad_reply` if an address gives none of them.
        """
        ...
