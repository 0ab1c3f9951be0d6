"""prompt: pieces, a question and a chat template in, token ids with places for visual tokens out. Knows no model.

Text reaches the model by two roads that never cross: a template's control tokens are looked up by name, everything
else (layouts' words, the user's question) is encoded as literal text, whatever it spells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

VISUAL_PLACE = -1
"""Stands in `Prompt.token_ids_L` wherever a visual token goes; no tokenizer has this id."""


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
