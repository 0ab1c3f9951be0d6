"""methods: a model, a reader, videos and a question in; an answer by another way out. Knows no model by name.

The pipeline lays all frames before one model. A method has parts of a video put in words first, and a reader answers
from the words; or it looks twice. What it made of a video serves the next question:

    cost    how many captions, frames and tokens that will be, before anything is decoded
    watch   all that does not depend on a question
    ask     the rest
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from longtake.answer import Answer
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.plan import GREEDY
from longtake.readers import Reader
from longtake.readers.own import OwnReader
from longtake.video import Video

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total): "look" counts frames, "caption" captions, "judge" captions, "read" rounds."""


@dataclass(frozen=True)
class Query:
    """What is asked, and how it is answered.

    Attributes:
        question: in plain words.
        choices: if it is one of multiple choice, 2 to 26.
        options: how the answer's tokens are chosen.
    """

    question: str
    choices: tuple[str, ...] = ()
    options: GenerateOptions = GREEDY


@dataclass(frozen=True)
class Team:
    """Who looks and who reads.

    Attributes:
        model: says what it sees.
        reader: answers from that; the model's own language model unless another is given.
    """

    model: Model
    reader: Reader | None = None

    @property
    def who_reads(self) -> Reader:
        """The reader, or the model's own language model."""
        return OwnReader(self.model) if self.reader is None else self.reader


def _nobody(*_: object) -> None:
    """Hears nothing."""


@dataclass(frozen=True)
class Hear:
    """Who hears what while a method works.

    Attributes:
        progress: what is done of what.
        text: the answer's text as it comes.
    """

    progress: Progress = field(default=_nobody)
    text: Callable[[str], None] = field(default=_nobody)


NOBODY = Hear()


@dataclass(frozen=True)
class Cost:
    """What a question will cost at most, known before anything is decoded.

    Attributes:
        captions: that the model says.
        frames: that are looked at.
        visual_tokens: that the model reads for all captions.
        reader_tokens: that the reader reads and says, about: captions count as many of the model's tokens as they may
            have, and the reader may write them in others.
    """

    captions: int
    frames: int
    visual_tokens: int
    reader_tokens: int

    def __str__(self) -> str:
        if not self.captions:
            return f"up to {self.frames:,} frames ({self.visual_tokens:,} visual tokens) in two looks"
        return (
            f"up to {self.captions:,} captions of {self.frames:,} frames ({self.visual_tokens:,} visual tokens), "
            f"and up to about {self.reader_tokens:,} tokens for the reader"
        )


class Method(Protocol):
    """Says what is put in words and what is read. Its dataclass fields are its options."""

    def cost(self, team: Team, files: Sequence[Video], query: Query) -> Cost:
        """What `watch` and one `ask` will cost at most; decodes nothing.

        Raises:
            LongtakeError: `limit.context` if what must be read at once cannot be; `usage.*` for the query.
        """
        ...

    def watch(self, team: Team, files: Sequence[Video], *, hear: Hear = NOBODY) -> Any:
        """All that does not depend on a question. The files stay open for as long as questions are asked.

        Raises:
            LongtakeError: as `cost`, before anything is decoded; then whatever the files' frames are refused for.
        """
        ...

    def ask(self, watched: Any, query: Query, *, hear: Hear = NOBODY) -> Answer:
        """The answer, with the captions that the reader read and their times.

        Args:
            watched: what this method's `watch` made.

        Raises:
            LongtakeError: as `watch`; as the reader.
        """
        ...
