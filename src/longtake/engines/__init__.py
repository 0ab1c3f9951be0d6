"""engines: a prompt in, token ids out. Knows nothing of video, frames, layouts or words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from longtake.prompt import Prompt

Progress = Callable[[int, int], None]
"""Called as progress(done, total)."""


@dataclass(frozen=True)
class GenerateOptions:
    """How new tokens are chosen.

    Attributes:
        max_new_tokens: the answer ends here at the latest.
        temperature: 0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).
        seed: of the drawing; the same seed draws the same tokens.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= 65_536:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; want 1 to 65,536")
        if not 0.0 <= self.temperature <= 100.0:
            raise ValueError(f"temperature is {self.temperature}; want 0 to 100")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}; want 0 to 2**63 - 1")


class Prefix(Protocol):
    """A prompt that has been read: its keys and values are kept. `length` positions long."""

    @property
    def length(self) -> int: ...


class Engine(Protocol):
    """Runs a language model over prompts of tokens and embeddings."""

    @property
    def trained_context(self) -> int:
        """How many positions the model was trained to read."""
        ...

    def prefill(self, prompt: Prompt, *, progress: Progress | None = None) -> Prefix:
        """Read a prompt from its first position, in chunks; keep keys and values."""
        ...

    def generate(self, prefix: Prefix, token_ids: Sequence[int], options: GenerateOptions) -> Iterator[int]:
        """Read `token_ids` after `prefix`, then yield new token ids one by one, the stop token excluded.

        `prefix` is as it was when the iterator ends or is closed, so that it serves the next question.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        ...

    def logprobs(self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int]) -> torch.Tensor:
        """(A,) natural-log probability of each of `answer_ids` when read after `prefix` and `token_ids`."""
        ...
