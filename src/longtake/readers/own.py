"""readers.own: text in, text out, by the language model of a model that could also see. Knows no video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from longtake.choosing import Point, weigh, weigh_letters
from longtake.engines import GenerateOptions, Prefix
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import ChatTemplate, Prompt, refuse_unreadable, segment_ids, stream_text
from longtake.prompt.choices import choosing
from longtake.readers import OnText, Picked, Reply

_NOTHING_SEEN = torch.zeros(0, 1)


@dataclass(frozen=True)
class OwnReader:
    """A model that is shown nothing and reads.

    Text is put in the template for pictures: that for videos may say that frames follow.

    Attributes:
        model: whose language model reads.
    """

    model: Model

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def template(self) -> ChatTemplate:
        """The model's for pictures, offering choices."""
        return choosing(self.model.image_template)

    @property
    def context_tokens(self) -> int | None:
        """What the model was trained to read."""
        return self.model.engine.trained_context

    @property
    def goes_beyond(self) -> bool:
        """Whether the model may."""
        return self.model.beyond_trained_context

    def check(self) -> None:
        """It is there."""

    def count(self, text: str) -> int:
        """How many tokens `text` makes by itself."""
        return len(self.model.tokenizer.encode(text))

    def count_prompt(self, text: str) -> int:
        """The same with the template around it."""
        return len(self._ids(text))

    def read(self, text: str, options: GenerateOptions, *, on_text: OnText | None = None) -> Reply:
        """Read `text` and answer.

        Raises:
            LongtakeError: `limit.context`, `model.nonfinite`, `usage.blank_question`, `usage.bad_text`.
        """
        prefix, length = self._prefill(text, options)
        new_ids: list[int] = []
        for piece in stream_text(self.model.tokenizer, self._generated(prefix, options, new_ids)):
            if on_text:
                on_text(piece)
        said = self.model.tokenizer.decode(new_ids)
        return Reply(said, length, len(new_ids), cut=len(new_ids) == options.max_new_tokens)

    def pick(self, text: str, answers: Sequence[str], options: GenerateOptions, *, letters: bool = False) -> Picked:
        """The likeliest of `answers`; nothing has to be found in what the model says.

        Raises:
            LongtakeError: as `read`.
        """
        prefix, length = self._prefill(text, options)
        point = Point(prefix, (), self.template)
        weighed = weigh_letters(self.model, point, answers, options) if letters else weigh(self.model, point, answers)
        return Picked(weighed.best, weighed.shares, length, weighed.new_tokens)

    def _prefill(self, text: str, options: GenerateOptions) -> tuple[Prefix, int]:
        refuse_unreadable(text)
        ids, most = self._ids(text), self.context_tokens
        if most is not None and len(ids) + options.max_new_tokens > most and not self.goes_beyond:
            reason = f"{len(ids):,} tokens of text and {options.max_new_tokens:,} of an answer; this reader has room"
            advice = "give it less to read, or take another --reader, or go on with --beyond-trained-context"
            raise LongtakeError(ErrorCode.LIMIT_CONTEXT, self.name, f"{reason} for {most:,}", advice)
        return self.model.engine.prefill(Prompt(torch.tensor(ids), _NOTHING_SEEN)), len(ids)

    def _ids(self, text: str) -> list[int]:
        template = self.template
        return segment_ids(self.model.tokenizer, (*template.opening, text, *template.closing))

    def _generated(self, prefix: Prefix, options: GenerateOptions, kept: list[int]) -> Iterator[int]:
        for token_id in self.model.engine.generate(prefix, (), options):
            kept.append(token_id)
            yield token_id
