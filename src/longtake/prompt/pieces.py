"""prompt/pieces: a tokenizer.model in, a tokenizer by which text never becomes a control token out. Knows no template.

For the tokenizers of Llama, Vicuna and Yi. The package `sentencepiece` is imported only when one is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

ANCHOR = "\n"
"""Put before a text that goes on inside a prompt, and taken off again: no piece joins a line break with words."""


@dataclass(frozen=True)
class Manners:
    """What tokenizer_config.json says and tokenizer.model does not.

    Attributes:
        added: the added tokens' spellings, by id. They are the control tokens.
        beginning: the spelling of what a prompt begins with; None for nothing.
        space_each_text: each text begins with a space, not only each chunk (`legacy`).
    """

    added: Mapping[int, str]
    beginning: str | None
    space_each_text: bool


class SentencePieceTokenizer:
    """A tokenizer.model, by which text never becomes a control token.

    Control tokens are the added ones and the model's own for begin, end and unknown. The library makes none of its own
    of text, but an added token may be among the model's user-defined pieces, which it looks for in text: where one is
    found, its spelling is cut in two and each part encoded apart. (A model that makes line breaks to spaces, which
    Llama's does not, shows a space at such a cut.)
    """

    def __init__(self, inner: SentencePieceProcessor, manners: Manners) -> None:
        self._inner = inner
        own = inner.get_piece_size()
        marks = {i: inner.id_to_piece(i) for i in range(own) if inner.is_control(i) or inner.is_unknown(i)}
        # White space that the model has as a piece of its own is text, even where it is listed as added.
        added = {i: spelling for i, spelling in manners.added.items() if spelling.strip() or i >= own}
        self._spellings = marks | added
        self._ids = {spelling: token_id for token_id, spelling in self._spellings.items()}
        self._space_each_text = manners.space_each_text
        self._anchor_ids: list[int] = inner.encode(ANCHOR, out_type=int)
        self._size = max(own, max(self._spellings, default=-1) + 1)
        beginning = manners.beginning
        self._beginning_ids = () if beginning is None else (self.control(beginning),)

    @classmethod
    def from_file(cls, path: Path, manners: Manners) -> SentencePieceTokenizer:
        """Read a tokenizer.model.

        Raises:
            LongtakeError: `environment.missing` without the package sentencepiece; `model.bad_checkpoint` if the file
                is not one.
        """
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            reason, advice = "is needed to read tokenizer.model", "pip install 'longtake[checkpoints]'"
            raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "sentencepiece", reason, advice) from error
        try:
            return cls(SentencePieceProcessor(model_proto=path.read_bytes()), manners)
        except (OSError, RuntimeError, ValueError) as error:
            reason = f"is not a model of the sentencepiece library: {error}"
            advice = "put back the tokenizer.model that belongs to this checkpoint"
            raise LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, str(path), reason, advice) from error

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, control tokens included."""
        return self._size

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids that no text is encoded to."""
        return frozenset(self._spellings)

    @property
    def beginning_ids(self) -> tuple[int, ...]:
        """The id that a prompt begins with, or none."""
        return self._beginning_ids

    def encode(self, text: str, *, inside: bool = False) -> list[int]:
        """The ids of `text` read literally.

        Args:
            inside: the text goes on after a control token: no space before it, unless each text has one.

        Raises:
            LongtakeError: `usage.bad_text` if the vocabulary has no token but a control token for some character.
        """
        token_ids: list[int] = []
        waiting = [text]
        spaced = self._space_each_text or not inside
        while waiting:
            part = waiting.pop()
            ids = self._encode_part(part, spaced=spaced and not token_ids)
            found = next((token_id for token_id in ids if token_id in self._spellings), None)
            if found is None:
                token_ids += ids
            else:
                waiting += reversed(self._cut(part, found))
        return token_ids

    def _encode_part(self, part: str, *, spaced: bool) -> list[int]:
        anchored: list[int] = [] if spaced else self._inner.encode(ANCHOR + part, out_type=int)
        length = len(self._anchor_ids)
        if anchored and anchored[:length] == self._anchor_ids:
            return anchored[length:]
        return list(self._inner.encode(part, out_type=int))

    def _cut(self, text: str, token_id: int) -> list[str]:
        """`text` in parts, none of which holds the control token's spelling; in halves where that is not to be seen."""
        spelling = self._spellings[token_id]
        half = len(spelling) // 2
        edges = [found.start() + half for found in re.finditer(re.escape(spelling), text)] if half else []
        edges = edges or [len(text) // 2]
        parts = [text[start:end] for start, end in zip([0, *edges], [*edges, len(text)], strict=True)]
        if len(text) < 2:
            reason = f"the model's vocabulary has no token for {text!r}"
            raise LongtakeError(ErrorCode.USAGE_BAD_TEXT, "", reason, "leave that character out")
        return parts

    def control(self, token: str) -> int:
        """The id of the control token spelled `token`.

        Raises:
            LongtakeError: `model.bad_checkpoint` if the tokenizer has no such control token.
        """
        if token not in self._ids:
            reason, advice = f"has no control token {token}", "take the tokenizer files that belong to this checkpoint"
            raise LongtakeError(ErrorCode.MODEL_BAD_CHECKPOINT, "tokenizer.model", reason, advice)
        return self._ids[token]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, control tokens left out."""
        words = [token_id for token_id in token_ids if token_id not in self._spellings]
        return str(self._inner.decode(words)) if words else ""
