"""engines: a prompt in, token ids out. Knows nothing of video, frames, layouts or words."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from longtake.engines.cancelling import cancelled_by as cancelled_by
from longtake.engines.keeping import PLAIN as PLAIN
from longtake.engines.keeping import Keeping as Keeping
from longtake.engines.merging import Span as Span
from longtake.prompt import Prompt
from longtake.ropes import Rope

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

    def cropped(self, length: int) -> Prefix:
        """The first `length` positions, in the same memory, to be read on from."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """All that `Engine.restored` needs, by name."""
        ...


@dataclass(frozen=True)
class Forced:
    """What a model would have said at each token of a given answer, each given the right ones before it.

    Attributes:
        logprobs_A: (A,) float32 on the processor: natural-log probability of each of the answer's tokens.
        likeliest_A: (A,) int64 on the processor: the id with the largest logit at each; the first of equals.
        ends: whether behind the whole answer the likeliest token is one that ends it.
    """

    logprobs_A: torch.Tensor
    likeliest_A: torch.Tensor
    ends: bool


class Engine(Protocol):
    """Runs a language model over prompts of tokens and embeddings."""

    @property
    def trained_context(self) -> int:
        """How many positions the model was trained to read, or reads by its scaling."""
        ...

    @property
    def rope(self) -> Rope | None:
        """The rope that was chosen; None: positions are turned as the checkpoint tells."""
        ...

    def with_rope(self, rope: Rope) -> Engine:
        """The same model turning its positions by `rope`, to read as many as that makes.

        Raises:
            LongtakeError: `usage.bad_option` if the checkpoint brings its own scaling.
        """
        ...

    def with_keeping(self, keeping: Keeping) -> Engine:
        """The same model, which keeps what it reads from now on as `keeping` says.

        Raises:
            LongtakeError: `usage.bad_option` if it cannot.
        """
        ...

    def stopping_at(self, token_ids: Sequence[int]) -> Engine:
        """The same engine, whose answers end at these ids too."""
        ...

    def prefill(
        self, prompt: Prompt, *, after_tokens: int = 0, room_tokens: int = 0, progress: Progress | None = None
    ) -> Prefix:
        """Read a prompt from its first position, in chunks; keep keys and values.

        Args:
            prompt: of at least one position.
            after_tokens: how many positions of a question follow, as far as is known.
            room_tokens: memory for so many more positions is taken at once, for `extend`.
            progress: hears how many positions are read.
        """
        ...

    def extend(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> Prefix:
        """Forget all but the first `keep` positions of `prefix`, and read `prompt` after them, in the same memory.

        `prefix` is spent: only what is returned can be read on from. Nobody may be reading on from it.

        Raises:
            ValueError: `prefix` is spent or in use, it has no `keep` positions, or `prompt` has none.
        """
        ...

    def fork(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> Prefix:
        """The first `keep` positions of `prefix`, shared, and `prompt` read after them; `prefix` stays as it is.

        Raises:
            ValueError: `prefix` is spent, it has no `keep` positions, or `prompt` has none.
        """
        ...

    def restored(self, state: Mapping[str, torch.Tensor]) -> Prefix:
        """The prefix whose `state()` this is, read by this model.

        Raises:
            ValueError: it is of a model of another shape or dtype.
        """
        ...

    def generate(self, prefix: Prefix, token_ids: Sequence[int], options: GenerateOptions) -> Generator[int]:
        """Read `token_ids` after `prefix`, then yield new token ids one by one, the stop token excluded.

        `prefix` is as it was when the iterator ends or is closed, so that it serves the next question.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        ...

    def generate_many(
        self, prefix: Prefix, questions: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[list[int]]:
        """What `generate` yields for each of `questions`, which are read and answered together.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        ...

    def logprobs(self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int]) -> torch.Tensor:
        """(A,) natural-log probability of each of `answer_ids` when read after `prefix` and `token_ids`."""
        ...

    def force(
        self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int], *, hidden: Sequence[Span] = ()
    ) -> Forced:
        """Teacher forcing: read `token_ids` and `answer_ids` after `prefix`; what was likeliest before each of the
        answer's tokens, and how likely that token was.

        Args:
            prefix, token_ids, answer_ids: in the order in which they are read.
            hidden: positions of the prefix that neither question nor answer may attend to; needs `tells_attention`.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        ...

    @property
    def tells_attention(self) -> bool:
        """Whether this engine can tell what is attended to, and hide positions."""
        ...

    def attended(self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int]) -> torch.Tensor:
        """(R, P) float32 on the processor: the share of its attention that each position of `token_ids` and
        `answer_ids` (but its last), read after `prefix`, gives to each of the prefix's P positions, averaged over
        heads and layers. Needs `tells_attention`.
        """
        ...
