"""costs.training: what a training is reckoned by: shapes of networks, a step's work, and how it lies on devices.

Values only; `costs.holding` says what a device holds, `costs.moving` what is computed and sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Together = Literal["ring", "ulysses"]
"""How ranks that share a row attend to all of it."""
Hold = Literal["whole", "sharded", "aside"]
"""How ranks hold weights, as recipes say it: whole on each; each a part; each a part, in the processor's memory."""

MASTER_BYTES = 4
"""Weights, their gradients and both AdamW moments are kept in float32."""


@dataclass(frozen=True)
class Numbers:
    """What a training computes with, in bytes.

    Attributes:
        computed: of a number inside a layer.
        stream: of a number of the residual stream.
        norms: that a layer's two norms, and the matrices behind them, keep of each number of the stream.
    """

    computed: int
    stream: int
    norms: int


FLOAT32 = Numbers(4, 4, 2 * (4 + 4 + 4))
BFLOAT16 = Numbers(2, 2, 2 * (4 + 2 + 2))
"""Weights are gathered in bfloat16, as FSDP2 does on graphics cards."""
AUTOCAST = Numbers(2, 4, 2 * (4 + 4) + 5 * 2)
"""Weights are float32 and torch's autocast narrows what each of the five matrices behind a norm is given, and those."""


@dataclass(frozen=True)
class Attention:
    """What ranks that attend together have to know of it.

    Attributes:
        heads, key_heads: of queries; of keys and values.
        besides: what it wants besides all that came before, in words.
    """

    heads: int
    key_heads: int
    besides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoder:
    """A language model with rotary positions, RMSNorm and SwiGLU: Qwen2, Llama, Mistral.

    Attributes:
        width, hidden: of the residual stream, and inside a perceptron.
        head_width: of each head of attention.
        layer_parameters, layer_matrices: numbers of one layer; of its matrices alone.
        outer_parameters: all others: embeddings, head, last norm; tied ones once.
    """

    width: int
    hidden: int
    layers: int
    attention: Attention
    head_width: int
    vocabulary: int
    layer_parameters: int
    layer_matrices: int
    outer_parameters: int

    @property
    def heads(self) -> int:
        """Of queries."""
        return self.attention.heads

    @property
    def key_heads(self) -> int:
        """Of keys and values, each for some of queries."""
        return self.attention.key_heads

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.layer_parameters + self.outer_parameters

    @property
    def key_value_width(self) -> int:
        """Numbers of a token's keys and values in one layer."""
        return 2 * self.key_heads * self.head_width


@dataclass(frozen=True)
class Seeing:
    """A network that is computed for each view: a vision tower, or a projector. Its figures are rehearsed.

    Attributes:
        parameters: numbers that could learn.
        saved_bytes: that a view leaves for the way back.
        flops: of the way there, for one view.
    """

    parameters: int
    saved_bytes: int
    flops: float


@dataclass(frozen=True)
class Networks:
    """What is trained, or read through.

    Attributes:
        parts: `vision` and `projector` where there are some.
        view_tokens: visual tokens of one view.
        frames: that the model sees of a video by default.
    """

    decoder: Decoder
    parts: Mapping[str, Seeing]
    view_tokens: int = 0
    frames: int = 0

    @property
    def parameters(self) -> Mapping[str, int]:
        """By part."""
        return {**{name: part.parameters for name, part in self.parts.items()}, "language": self.decoder.parameters}


@dataclass(frozen=True)
class Load:
    """What one stage of a training does.

    Attributes:
        name: of the stage.
        steps: of the optimiser.
        passes: that make one step, over all ranks together; each is `rows` rows.
        rows: of `length` tokens in one pass.
        views: that go through the tower in one pass.
        learning: the parts that learn.
        read_only: passes through the model that are computed without a way back, for each pass that has one (DPO's
            reference, once for all rounds).
        half: computed in bfloat16.
        adapters: numbers of low-rank adapters, which learn in place of the language model (LoRA, arXiv 2106.09685).
    """

    name: str
    steps: int
    passes: int
    rows: int
    length: int
    views: int = 0
    learning: frozenset[str] = frozenset({"language"})
    read_only: float = 0.0
    half: bool = True
    adapters: int = 0

    @property
    def tokens(self) -> int:
        """Of one pass."""
        return self.rows * self.length


@dataclass(frozen=True)
class Arrangement:
    """How a training lies on devices.

    Attributes:
        ranks: processes, one to a device.
        ring: so many of them share one row; the others read other rows.
        together: how those attend to the whole row.
        hold: how weights, gradients and optimiser states are held.
        recompute: keep only each layer's input for the way back.
    """

    ranks: int = 1
    ring: int = 1
    together: Together = "ring"
    hold: Hold = "sharded"
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.ring < 1 or self.ranks % self.ring:
            raise ValueError(f"ranks is {self.ranks} and ring {self.ring}; want ranks a multiple of ring, at least 1")

    @property
    def data(self) -> int:
        """Rings that each read other rows."""
        return self.ranks // self.ring

    @property
    def parts(self) -> int:
        """That weights are cut into."""
        return 1 if self.hold == "whole" else self.ranks

    @property
    def gathers(self) -> bool:
        """Whether weights have to be brought together for computing."""
        return self.hold == "aside" or self.parts > 1


def numbers_of(load: Load, arranged: Arrangement) -> Numbers:
    """What is computed with."""
    if not load.half:
        return FLOAT32
    return BFLOAT16 if arranged.gathers else AUTOCAST


def share_tokens(load: Load, arranged: Arrangement) -> int:
    """Tokens of a pass that one rank holds: a row is padded to a multiple of twice the ring (zigzag order).

    The rule of `parallel.order.padded`, which stands below this room; a test holds the two together.
    """
    whole = -(-load.length // (2 * arranged.ring)) * 2 * arranged.ring if arranged.ring > 1 else load.length
    return load.rows * whole // arranged.ring


def passes_of_rank(load: Load, arranged: Arrangement) -> int:
    """Passes that one rank computes in a step: rings share them; the last ones wait where they do not divide."""
    return -(-load.passes // arranged.data)


def eye_learning(networks: Networks, load: Load) -> int:
    """How many numbers of tower and projector learn."""
    return sum(part.parameters for name, part in networks.parts.items() if name in load.learning)


def learning_parameters(networks: Networks, load: Load) -> int:
    """How many numbers learn."""
    learning = load.learning - {"language"} if load.adapters else load.learning
    return load.adapters + sum(count for name, count in networks.parameters.items() if name in learning)
