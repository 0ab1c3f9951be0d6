"""prompt/streaming: token ids in as they come, readable text out. Knows nothing of templates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

PENDING_TOKENS = 8
"""A character's bytes arrive in at most four tokens; text that still ends in U+FFFD after twice that is so."""


class Decoder(Protocol):
    """Ids to text."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, control tokens left out."""
        ...


def stream_text(tokenizer: Decoder, token_ids: Iterable[int]) -> Iterator[str]:
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
