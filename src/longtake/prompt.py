"""prompt: pieces, a question and a chat template in, token ids with places for visual tokens out. Knows no model.

Text reaches the model by two roads that never cross: a template's control tokens are looked up by name, everything
else (layouts' words, the user's question) is encoded as literal text, whatever it spells.

    opening | pieces of the layout || between | question | closing | the answer
    --------- prefix() ----------- || ---------- question_ids() --- |
      read once, kept for the next         read for each question
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import tokenizers
import torch

from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Piece, Text, Visual

VISUAL_PLACE = -1
"""Stands in `Prompt.token_ids_L` wherever a visual token goes; no tokenizer has this id."""

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp"})
"""Unicode general categories without ink: controls, format marks, unassigned, private, surrogates, separators."""

INVISIBLE_CHARACTERS = frozenset(
    ["\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0"]
    + [chr(point) for point in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))]
)
"""Letters, marks and symbols that draw nothing all the same: fillers, the blank Braille cell, variation selectors
(from Unicode's Default_Ignorable_Code_Point)."""

PENDING_TOKENS = 8
"""A character's bytes arrive in at most four tokens; text that still ends in U+FFFD after twice that is so."""


class Tokenizer(Protocol):
    """Text to ids and back."""

    def encode(self, text: str) -> list[int]:
        """The ids of `text` read literally: none of them is a control token's."""
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


Segment = Control | str


@dataclass(frozen=True)
class ChatTemplate:
    """What a model was taught to see around pictures and question.

    Attributes:
        opening: before the first piece: the system turn, if any, and the beginning of the user's turn.
        between: between the last piece and the question.
        closing: from the question's end to where the answer begins.
        stop: the control tokens that end an answer.
        joint: what stands between two pictures or videos.
    """

    opening: tuple[Segment, ...]
    between: tuple[Segment, ...]
    closing: tuple[Segment, ...]
    stop: tuple[str, ...]
    joint: str = " "


def chatml(system: str | None = None) -> ChatTemplate:
    """The ChatML template (Qwen2, LongVA, nano); `system` None leaves the system turn out."""
    start, end = Control("<|im_start|>"), Control("<|im_end|>")
    turn: tuple[Segment, ...] = () if system is None else (start, f"system\n{system}", end, "\n")
    return ChatTemplate(
        opening=(*turn, start, "user\n"), between=("\n",), closing=(end, "\n", start, "assistant\n"), stop=(end.token,)
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
    for piece in pieces:
        if isinstance(piece, Text):
            segments.append(piece.text)
        else:
            token_ids += segment_ids(tokenizer, segments)
            token_ids += [VISUAL_PLACE] * len(piece.tokens_ND)
            segments = []
    token_ids += segment_ids(tokenizer, segments)
    return Prompt(torch.tensor(token_ids, dtype=torch.int64), torch.cat(visual))


def joined(template: ChatTemplate, files: Sequence[Sequence[Piece]]) -> list[Piece]:
    """The pieces of several files one after the other, with what the template puts between pictures."""
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
    return segment_ids(tokenizer, (*template.between, question, *template.closing))


def segment_ids(tokenizer: Tokenizer, segments: Iterable[Segment]) -> list[int]:
    """Ids of template segments. Literal strings side by side are one text; no text reaches across a control token."""
    token_ids: list[int] = []
    text = ""
    for segment in segments:
        if isinstance(segment, str):
            text += segment
            continue
        token_ids += [*_text_ids(tokenizer, text), tokenizer.control(segment.token)]
        text = ""
    return token_ids + _text_ids(tokenizer, text)


def _text_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text) if text else []


def refuse_unreadable(question: str) -> None:
    """Check a user's text.

    Raises:
        LongtakeError: `usage.bad_text` for lone surrogates, `usage.blank_question` where nothing would show.
    """
    try:
        question.encode()
    except UnicodeEncodeError as error:
        reason = f"character {error.start + 1} of the question is half of a surrogate pair"
        raise LongtakeError(ErrorCode.USAGE_BAD_TEXT, "", reason, "write the question as valid Unicode text") from error
    if not any(_shows(character) for character in question):
        came = "holds nothing visible" if question else "is empty"
        raise LongtakeError(ErrorCode.USAGE_BLANK_QUESTION, "", f"the question {came}", "ask something in words")


def _shows(character: str) -> bool:
    return unicodedata.category(character) not in INVISIBLE_CATEGORIES and character not in INVISIBLE_CHARACTERS


class HubTokenizer:
    """A tokenizer.json of the `tokenizers` library, by which text never becomes a control token.

    Control tokens are the special tokens and every other added token that is not white space. The library can be
    told to leave special tokens' spellings alone, but a spelling may also be in the model's own vocabulary (Unigram,
    WordPiece), be an added token that is not marked special, or come into being when text is normalised. So the ids
    are looked at, and where one is a control token's the text that made it is cut in two and each half is encoded
    apart, until none is left.

    Args:
        inner: is copied; its truncation and padding are left out.
    """

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self._inner = tokenizers.Tokenizer.from_str(inner.to_str())
        self._inner.no_truncation()
        self._inner.no_padding()
        self._inner.encode_special_tokens = True
        self._control_ids = frozenset(
            token_id
            for token_id, added in self._inner.get_added_tokens_decoder().items()
            if added.special or added.content.strip()
        )

    @classmethod
    def from_file(cls, path: Path) -> HubTokenizer:
        """Read a tokenizer.json.

        Raises:
            LongtakeError: `model.bad_checkpoint` if it is missing or not one.
        """
        try:
            return cls(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:
            reason = f"is not a tokenizer of the tokenizers library: {error}"
            advice = "put back the tokenizer.json that belongs to this checkpoint"
            raise LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(path), reason, advice) from error

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, control tokens included."""
        return self._inner.get_vocab_size()

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids that no text is encoded to."""
        return self._control_ids

    def encode(self, text: str) -> list[int]:
        """The ids of `text` read literally. A spelling that had to be cut may show a space at the cut where the
        tokenizer begins each text with one.

        Raises:
            LongtakeError: `usage.bad_text` if the vocabulary has no token but a control token for some character.
        """
        token_ids: list[int] = []
        waiting = [text]
        while waiting:
            part = waiting.pop()
            encoding = self._inner.encode(part, add_special_tokens=False)
            cuts = [self._cut(part, span) for span in self._control_spans(encoding)]
            if not cuts:
                token_ids += encoding.ids
                continue
            edges = [0, *cuts, len(part)]
            pieces = [part[start:end] for start, end in zip(edges, edges[1:], strict=False) if start < end]
            waiting += reversed(pieces)
        return token_ids

    def _control_spans(self, encoding: tokenizers.Encoding) -> Iterator[tuple[int, int]]:
        for token_id, span in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id in self._control_ids:
                yield span

    @staticmethod
    def _cut(text: str, span: tuple[int, int]) -> int:
        start, end = span
        if end - start < 2:
            reason = f"the model's vocabulary has no token for {text[start:end]!r}"
            raise LongtakeError(ErrorCode.USAGE_BAD_TEXT, "", reason, "leave that character out")
        return (start + end) // 2

    def control(self, token: str) -> int:
        """The id of the control token spelled `token`.

        Raises:
            LongtakeError: `model.bad_checkpoint` if the tokenizer has no such control token.
        """
        token_id = self._inner.token_to_id(token)
        if token_id is None or token_id not in self._control_ids:
            reason = f"has no control token {token}"
            advice = "take the tokenizer.json that belongs to this checkpoint"
            raise LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, "tokenizer.json", reason, advice)
        return token_id

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, special tokens left out."""
        return self._inner.decode(list(token_ids), skip_special_tokens=True)

    def save(self, path: Path) -> None:
        """Write the tokenizer.json that `from_file` reads."""
        path.write_text(self._inner.to_str(pretty=True), encoding="utf-8")


def stream_text(tokenizer: Tokenizer, token_ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of `token_ids` as it becomes readable; together the pieces are `decode` of all ids.

    A character whose bytes are spread over several tokens is held back until it is whole. Each step decodes the last
    readable stretch again, before the new ids, because what a token reads as depends on what it follows.
    """
    window: list[int] = []
    shown = ""
    pending = 0
    for token_id in token_ids:
        window.append(token_id)
        pending += 1
        text = tokenizer.decode(window)
        if text.endswith("\ufffd") and pending < PENDING_TOKENS:
            continue
        if len(text) > len(shown):
            yield text[len(shown) :]
            window = window[-pending:]
            shown = tokenizer.decode(window)
            pending = 0
    rest = tokenizer.decode(window)[len(shown) :]
    if rest:
        yield rest
