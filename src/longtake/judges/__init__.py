"""judges: a question, its reference and an answer in; a judge's marks out. Knows nothing of video, or who answered.

`prompts` writes out what a judge is asked, `asking` asks many such things at once, `kept` keeps what it said in a file,
`agreeing` compares two judges. What a reply is worth `evals.judged` tells: no marks are made up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longtake.evals import Item
from longtake.identity import told_sha256

Messages = tuple[Mapping[str, str], ...]
"""A conversation: a `role` and a `content` each."""


@dataclass(frozen=True)
class Answered:
    """A question, and what was said to it.

    Attributes:
        twin_answer: what was said to the item's twin, if it has one.
    """

    item: Item
    answer: str
    twin_answer: str = ""

    @property
    def sha256(self) -> str:
        """Of what is marked."""
        return told_sha256([self.answer, self.twin_answer if self.item.twin else ""])


@dataclass(frozen=True)
class Settings:
    """Who judges, and how its words are drawn: all that a reply depends on besides what is asked.

    Attributes:
        model: as it is asked for.
        weights: SHA-256 of a model that is read here; "" of one behind an address.
        address: where the model is asked, without a key; "" of one that is read here. The same name on another server
            may be another model.
    """

    model: str
    weights: str = ""
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    address: str = ""

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Request:
    """One thing that a judge is asked. Some items make several (VCGBench: one for each aspect).

    Attributes:
        id: of the item.
        prompt: the section of the prompts' file that was filled in.
        prompt_sha256: of that section.
        aspects: what is to be marked.
        answer_sha256: of what is marked, so that two judges of one answer can be told from judges of two.
    """

    id: str
    prompt: str
    prompt_sha256: str
    aspects: tuple[str, ...]
    messages: Messages
    answer_sha256: str

    def digest(self, settings: Settings) -> str:
        """By which a reply is kept: SHA-256 of who is asked, how, and of every word."""
        return told_sha256([settings.to_json(), list(self.messages)])


@dataclass(frozen=True)
class Judged:
    """What came of one request: a line of a judge's file.

    Attributes:
        id, prompt, prompt_sha256, answer_sha256: of the request.
        judge: the settings.
        digest: of the request with these settings.
        marks: by aspect; None where it is unscored, and then `reason` says why.
        reason: "", what is wrong with the reply, or `code: reason` where none came.
        reply: every word of it; None where none came.
        by: which model says that it replied; "" where that is not told.
        read_tokens, new_tokens: as the judge counts them; None where it does not; 0 where the reply is that to another
            question with the very same words, which was not asked twice.
    """

    id: str
    prompt: str
    prompt_sha256: str
    answer_sha256: str
    judge: Mapping[str, Any]
    digest: str
    marks: Mapping[str, float] | None
    reason: str = ""
    reply: str | None = None
    by: str = ""
    read_tokens: int | None = None
    new_tokens: int | None = None

    @property
    def tokens(self) -> int | None:
        """Read and said."""
        counts = (self.read_tokens, self.new_tokens)
        return None if counts == (None, None) else sum(count or 0 for count in counts)

    def copied(self, request: Request) -> Judged:
        """The line of another question with the very same words, which was not asked again: it took no tokens."""
        tokens = None if self.reply is None else 0
        return dataclasses.replace(
            self, id=request.id, answer_sha256=request.answer_sha256, read_tokens=tokens, new_tokens=tokens
        )

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {**dataclasses.asdict(self), "tokens": self.tokens}

    @classmethod
    def from_json(cls, written: object) -> Judged:
        """What `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(written, dict):
            raise ValueError(f"holds {type(written).__name__} where an object should be")
        fields = {name: value for name, value in written.items() if name != "tokens"}
        known = {field.name for field in dataclasses.fields(cls)}
        marks = fields.get("marks", ...)
        texts = ("id", "prompt", "prompt_sha256", "answer_sha256", "digest", "reason", "by")
        whole = set(fields) == known and isinstance(fields["judge"], dict)
        if not whole or not all(isinstance(fields[name], str) for name in texts):
            raise ValueError("is no line of a judge's file")
        if marks is not None and not _are_marks(marks):
            raise ValueError("holds marks that are none")
        return cls(**fields)


def _are_marks(marks: object) -> bool:
    if not isinstance(marks, dict) or not marks:
        return False
    return all(type(mark) in (int, float) and math.isfinite(mark) for mark in marks.values())
