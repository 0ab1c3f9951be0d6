"""prompt/hub: a tokenizer.json in, a tokenizer by which text never becomes a control token out. Knows no template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import tokenizers

from longtake.errors import ErrorCode, LongtakeError


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
        self._inside = _without_prefix(self._inner)
        marked = self._inner.encode("a", add_special_tokens=True)
        pairs = zip(marked.ids, marked.special_tokens_mask, strict=True)
        self._beginning_ids = tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1], pairs))

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

    @property
    def beginning_ids(self) -> tuple[int, ...]:
        """What the file's post-processor puts before a text: a token for its beginning, or nothing."""
        return self._beginning_ids

    def encode(self, text: str, *, inside: bool = False) -> list[int]:
        """The ids of `text` read literally. A spelling that had to be cut may show a space at the cut where the
        tokenizer begins each text with one.

        Args:
            inside: the text goes on after a control token; heeded where the file says `prepend_scheme: first`.

        Raises:
            LongtakeError: `usage.bad_text` if the vocabulary has no token but a control token for some character.
        """
        token_ids: list[int] = []
        waiting = [text]
        while waiting:
            part = waiting.pop()
            encoder = self._inside if inside or token_ids else self._inner
            encoding = encoder.encode(part, add_special_tokens=False)
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


def _without_prefix(inner: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The tokenizer for text inside a prompt: the same, but for one that begins only a prompt with a space."""
    prefixes = inner.pre_tokenizer
    if not isinstance(prefixes, tokenizers.pre_tokenizers.Metaspace) or prefixes.prepend_scheme != "first":
        return inner
    inside = tokenizers.Tokenizer.from_str(inner.to_str())
    inside.encode_special_tokens = inner.encode_special_tokens
    inside.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(
        replacement=prefixes.replacement, prepend_scheme="never", split=prefixes.split
    )
    return inside
