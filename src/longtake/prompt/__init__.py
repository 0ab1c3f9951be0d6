"""prompt: pieces, a question and a chat template in, token ids with places for visual tokens out. Knows no model.

Text reaches the model by two roads that never cross: a template's control tokens are looked up by name, everything
else (layouts' words, the user's question) is encoded as literal text, whatever it spells.

    opening | pieces of the layout || between | question | closing | the answer | later | question | closing | ...
    --------- prefix() ----------- || ---------- question_ids() --- |            ---- later_ids() - |
      read once, kept for the next    ---------- conversation_ids() ------------------------------- |

Each chunk, that is a run of segments that no visual token cuts in two, is encoded by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Piece, Text, Visual
from longtake.prompt.hub import HubTokenizer as HubTokenizer
from longtake.prompt.readable import refuse_unreadable as refuse_unreadable
from longtake.prompt.streaming import stream_text as stream_text

VISUAL_PLACE = -1
"""Stands in `Prompt.token_ids_L` wherever a visual token goes; no tokenizer has this id."""


class Tokenizer(Protocol):
    """Text to ids and back."""

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, control tokens included."""
        ...

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids that no text is encoded to."""
        ...

    @property
    def beginning_ids(self) -> tuple[int, ...]:
        """What the tokenizer's files put at the beginning of a prompt: one token (BOS), or nothing."""
        ...

    def encode(self, text: str, *, inside: bool = False) -> list[int]:
        """The ids of `text` read literally: none of them is a control token's.

        Args:
            inside: the text goes on after a control token. Some tokenizers begin a chunk with a space, but not this.
        """
        ...

    def control(self, token: str) -> int:
        """The id of the control token spelled `token`."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, control tokens left out."""
        ...


@dataclass(frozen=True)
class Control:
    """A control token of a chat template, by its spelling. Only a template makes one; text never becomes one."""

    token: str

    def ids(self, tokenizer: Tokenizer) -> list[int]:
        """The one id."""
        return [tokenizer.control(self.token)]


@dataclass(frozen=True)
class Beginning:
    """Where a prompt begins: the tokenizer's BOS, if its files say that it puts one, whatever its spelling."""

    def ids(self, tokenizer: Tokenizer) -> list[int]:
        """One id or none."""
        return list(tokenizer.beginning_ids)


Segment = Control | Beginning | str


@dataclass(frozen=True)
class ChoiceStyle:
    """How a template writes the options of a question of multiple choice.

    Attributes:
        lead: between the question and the first option.
        mark: between an option's letter, in parentheses, and its words.
        end: after each option.
        start: before each option.
        request: behind the last option.
        stated: whether the model was taught to say what its answer rests on, and then the letter in parentheses.
    """

    lead: str
    mark: str
    end: str
    start: str = ""
    request: str = ""
    stated: bool = False


@dataclass(frozen=True)
class ChatTemplate:
    """What a model was taught to see around pictures and question.

    Attributes:
        opening: before the first piece: the system turn, if any, and the beginning of the user's turn.
        between: between the last piece and the question.
        closing: from the question's end to where the answer begins.
        stop: the control tokens that end an answer.
        joint: what stands between two pictures or videos; None where a prompt shows only one.
        later: from the token that ends an answer to the next question; () where there is only one question.
        choices: how options are written; None where the template asks open questions.
        inside_after_visual: text behind a picture goes on as behind a control token. transformers' processors hold a
            picture's place by one; LLaVA's own code cuts the text there and begins anew.
    """

    opening: tuple[Segment, ...]
    between: tuple[Segment, ...]
    closing: tuple[Segment, ...]
    stop: tuple[str, ...]
    joint: str | None = " "
    later: tuple[Segment, ...] = ()
    choices: ChoiceStyle | None = None
    inside_after_visual: bool = False


def chatml(system: str | None = None) -> ChatTemplate:
    """The ChatML template (Qwen2, LongVA, nano); `system` None leaves the system turn out."""
    start, end = Control("<|im_start|>"), Control("<|im_end|>")
    turn: tuple[Segment, ...] = () if system is None else (start, f"system\n{system}", end, "\n")
    return ChatTemplate(
        opening=(*turn, start, "user\n"),
        between=("\n",),
        closing=(end, "\n", start, "assistant\n"),
        stop=(end.token,),
        later=("\n", start, "user\n"),
    )


@dataclass(frozen=True)
class Prompt:
    """What the engine reads.

    Attributes:
        token_ids_L: (L,) int64; VISUAL_PLACE where a visual token goes.
        visual_ND: the visual tokens, in order, one for each place.
    """

    token_ids_L: torch.Tensor
    visual_ND: torch.Tensor

    def __post_init__(self) -> None:
        places = int((self.token_ids_L == VISUAL_PLACE).sum())
        if places != len(self.visual_ND):
            raise ValueError(f"{places} places for {len(self.visual_ND)} visual tokens")


def prefix(template: ChatTemplate, tokenizer: Tokenizer, pieces: Sequence[Piece]) -> Prompt:
    """All that is read before the question: the template's opening and the layout's pieces, to the last of them.

    Raises:
        ValueError: no piece is Visual.
    """
    visual = [piece.tokens_ND for piece in pieces if isinstance(piece, Visual)]
    if not visual:
        raise ValueError("a prompt needs visual tokens")
    token_ids: list[int] = []
    segments: list[Segment] = list(template.opening)
    inside = False
    for piece in pieces:
        if isinstance(piece, Text):
            segments.append(piece.text)
        else:
            token_ids += segment_ids(tokenizer, segments, inside=inside)
            token_ids += [VISUAL_PLACE] * len(piece.tokens_ND)
            segments, inside = [], template.inside_after_visual
    token_ids += segment_ids(tokenizer, segments, inside=inside)
    # One piece, as most layouts make of a video, is not copied.
    visual_ND = visual[0] if len(visual) == 1 else torch.cat(visual)
    return Prompt(torch.tensor(token_ids, dtype=torch.int64), visual_ND)


def joined(template: ChatTemplate, files: Sequence[Sequence[Piece]]) -> list[Piece]:
    """The pieces of several files one after the other, with what the template puts between pictures.

    Raises:
        LongtakeError: `usage.bad_option` for several files where the template shows only one.
    """
    if len(files) > 1 and template.joint is None:
        reason, advice = "this model's prompt shows one picture or video", "ask about one file at a time"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{len(files)} files", reason, advice)
    pieces: list[Piece] = []
    for own in files:
        if pieces and template.joint:
            pieces.append(Text(template.joint))
        pieces += own
    return pieces


def question_ids(template: ChatTemplate, tokenizer: Tokenizer, question: str) -> list[int]:
    """The ids from the end of `prefix` to where the answer begins.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`.
    """
    refuse_unreadable(question)
    segments = (*template.between, question, *template.closing)
    return segment_ids(tokenizer, segments, inside=template.inside_after_visual)


@dataclass(frozen=True)
class Exchange:
    """A question that was asked, and the answer that the model gave."""

    question: str
    answer: str


def conversation_ids(
    template: ChatTemplate, tokenizer: Tokenizer, history: Sequence[Exchange], question: str
) -> list[int]:
    """The ids from the end of `prefix` over what was asked and answered to where the next answer begins.

    Without `history` these are `question_ids`.

    Raises:
        LongtakeError: as `question_ids`; `usage.bad_option` if the template continues no conversation.
    """
    if history:
        _refuse_later(template)
    segments: list[Segment] = [*template.between]
    for exchange in history:
        refuse_unreadable(exchange.question)
        segments += [exchange.question, *template.closing, exchange.answer, Control(template.stop[0]), *template.later]
    refuse_unreadable(question)
    segments += [question, *template.closing]
    return segment_ids(tokenizer, segments, inside=template.inside_after_visual)


def later_ids(template: ChatTemplate, tokenizer: Tokenizer, question: str) -> list[int]:
    """The ids from behind an answer, whatever ids it came as, to where the answer to a later question begins.

    Raises:
        LongtakeError: as `conversation_ids`.
    """
    refuse_unreadable(question)
    _refuse_later(template)
    return segment_ids(tokenizer, [Control(template.stop[0]), *template.later, question, *template.closing])


def _refuse_later(template: ChatTemplate) -> None:
    if not template.later:
        reason, advice = "this model's prompt takes one question", "ask each question by itself"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "conversation", reason, advice)


def segment_ids(tokenizer: Tokenizer, segments: Iterable[Segment], *, inside: bool = False) -> list[int]:
    """Ids of one chunk. Literal strings side by side are one text; no text reaches across a control token.

    Args:
        inside: the chunk goes on after a control token.
    """
    token_ids: list[int] = []
    text = ""
    for segment in segments:
        if isinstance(segment, str):
            text += segment
            continue
        token_ids += [*_text_ids(tokenizer, text, inside=inside), *segment.ids(tokenizer)]
        text = ""
        inside = inside or isinstance(segment, Control)
    return token_ids + _text_ids(tokenizer, text, inside=inside)


def _text_ids(tokenizer: Tokenizer, text: str, *, inside: bool) -> list[int]:
    return tokenizer.encode(text, inside=inside) if text else []
