"""costs.training: shapes of networks, a step of training and ranks in; bytes held, bytes sent and FLOPs out.

Formulas only: nothing is built, read or asked here. Each is held against what is counted (tests/test_costs_training.py).
Of one decoder layer the way back keeps, for each token, in numbers of b bytes (the counting of Korthikanti and others,
arXiv 2205.05198, section 4.1, for RMSNorm, grouped-query heads and SwiGLU in place of GPT's parts):

    two norms        2 x (4 + b + b) x width     its input in float32, normalised, and times its weight
    attention        b x 2 x heads x head width  queries, output
                     b x 2 x key heads x head width  keys, values
                     4 x heads                   log-sum-exp (FlashAttention, arXiv 2205.14135): no L x L weights
    perceptron       b x 4 x hidden              gate, its SiLU, up, their product

With recomputation it keeps `b x width`, the layer's input, and all of the above for one layer at a time.
Optimiser states, gradients and weights are shared out among all ranks (ZeRO stage 3, arXiv 1910.02054, section 5; here
torch's FSDP2); a layer's weights are gathered when they are wanted. A row is shared among the ranks of a ring
(arXiv 2310.01889): keys and values go round; or heads change places with positions (Ulysses, arXiv 2309.14509).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from longtake.costs import Stage

Together = Literal["ring", "ulysses"]
"""How ranks that share a row attend to all of it."""

MASTER_BYTES = 4
"""Weights that learn, their gradients and both AdamW moments are kept in float32."""
MOMENTS = 2
"""AdamW's (arXiv 1711.05101)."""
LOGITS_AT_ONCE = 2**25
"""So many logits are held at a time (train/reading_on.py)."""
LOGIT_BYTES = 4 + 4 + 4
"""Of each of them: itself in float32, its log probability, its gradient; beside them in the numbers computed with."""
ATTEND_BACK = 2.5
"""Attention's way back over its way there: five products for two, as weights are computed again (arXiv 2205.14135)."""


@dataclass(frozen=True)
class Decoder:
    """A language model with rotary positions, RMSNorm and SwiGLU: Qwen2, Llama, Mistral.

    Attributes:
        width, hidden: of the residual stream, and inside a perceptron.
        heads, key_heads, head_width: of attention.
        layer_parameters, layer_matrices: numbers of one layer; of its matrices alone.
        outer_parameters: all others: embeddings, head, last norm; tied ones once.
    """

    width: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    layer_parameters: int
    layer_matrices: int
    outer_parameters: int

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
    """A network that is computed for each view: a vision tower, or a projector. Its figures are rehearsed, not reckoned.

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
    """

    decoder: Decoder
    parts: Mapping[str, Seeing]
    view_tokens: int = 0

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

    @property
    def number_bytes(self) -> int:
        """Of what is computed."""
        return 2 if self.half else 4

    @property
    def tokens(self) -> int:
        """Of one pass."""
        return self.rows * self.length


@dataclass(frozen=True)
class Spread:
    """How a training lies on devices.

    Attributes:
        ranks: processes, one to a device; weights, gradients and optimiser states are shared out among all of them.
        ring: so many of them share one row; the others read other rows.
        together: how those attend to the whole row.
        offload: weights, gradients and optimiser states wait in the processor's memory.
        recompute: keep only each layer's input for the way back.
    """

    ranks: int = 1
    ring: int = 1
    together: Together = "ring"
    offload: bool = False
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.ring < 1 or self.ranks % self.ring:
            raise ValueError(f"ranks is {self.ranks} and ring {self.ring}; want ranks a multiple of ring, both at least 1")

    @property
    def data(self) -> int:
        """Rings that each read other rows."""
        return self.ranks // self.ring


def share_tokens(load: Load, spread: Spread) -> int:
    """Tokens of a pass that one rank holds: a row is padded to a multiple of twice the ring (zigzag order)."""
    whole = -(-load.length // (2 * spread.ring)) * 2 * spread.ring if spread.ring > 1 else load.length
    return load.rows * whole // spread.ring


def layer_saved_bytes(decoder: Decoder, number_bytes: int) -> int:
    """What one layer keeps of a token for the way back."""
    norms = 2 * ((MASTER_BYTES + 2 * number_bytes) * decoder.width + MASTER_BYTES)
    attended = 2 * decoder.heads * decoder.head_width + decoder.key_value_width
    return norms + number_bytes * (attended + 4 * decoder.hidden) + MASTER_BYTES * decoder.heads


def layer_back_bytes(decoder: Decoder, number_bytes: int) -> int:
    """Of a token, what lives beside that at the widest moment of a layer's way back.

    Gradients of SwiGLU's two branches, and of what comes in and goes out of the layer; measured with torch's own
    operations watched (tests), where hidden is at least three times width.
    """
    return number_bytes * (2 * decoder.hidden + 2 * decoder.width)


def activations(networks: Networks, load: Load, spread: Spread) -> dict[str, int]:
    """What lives on one device for the way back: `kept` of all layers, and `layer`: one layer's while it is gone through.

    A frozen tower keeps nothing. A language model that is frozen still hands gradients on to what stands before it.
    """
    decoder, held, size = networks.decoder, share_tokens(load, spread), load.number_bytes
    saved = layer_saved_bytes(decoder, size)
    seen = load.views * sum(part.saved_bytes for name, part in networks.parts.items() if name in load.learning)
    kept = decoder.layers * (size * decoder.width if spread.recompute else saved)
    layer = layer_back_bytes(decoder, size) + (saved if spread.recompute else 0)
    return {"kept": held * kept + seen, "layer": held * layer}


def logits_bytes(networks: Networks, load: Load, spread: Spread) -> int:
    """What is held of the logits: a handful at a time, however long the row; and the last norm's part of the row."""
    at_once = min(LOGITS_AT_ONCE, share_tokens(load, spread) * networks.decoder.vocabulary)
    return at_once * (LOGIT_BYTES + 2 * (load.number_bytes % 4))


def gathered_bytes(networks: Networks, load: Load, spread: Spread) -> dict[str, int]:
    """Whole weights and gradients for which a rank has room while it computes; nothing where one rank has all.

    `outer`: embeddings and head stay gathered from the first to the last use. `layer`: one layer's weights, the next
    one's that are on their way, the gradients, and what they are summed in, in float32.
    """
    if spread.ranks == 1 and not spread.offload:
        return {"outer": 0, "layer": 0}
    decoder, size = networks.decoder, load.number_bytes
    learns = "language" in load.learning
    layer = decoder.layer_parameters * (2 * size + (size + MASTER_BYTES if learns else 0))
    outer = decoder.outer_parameters * (size + (size if learns else 0))
    return {"outer": outer, "layer": layer}


def ring_bytes(networks: Networks, load: Load, spread: Spread) -> int:
    """Keys and values under way in one layer's way back: what is attended to, what arrives, and their gradients.

    Ulysses instead holds queries, keys, values and outputs, and their gradients, once more in the other order.
    """
    if spread.ring == 1:
        return 0
    decoder, held, size = networks.decoder, share_tokens(load, spread), load.number_bytes
    if spread.together == "ulysses":
        return 2 * held * size * (2 * decoder.heads * decoder.head_width + decoder.key_value_width)
    return held * decoder.key_value_width * (2 * size + 2 * MASTER_BYTES)


def states_bytes(networks: Networks, load: Load, spread: Spread) -> dict[str, int]:
    """Of one rank: its share of weights, gradients and optimiser states, wherever they wait."""
    everything = sum(networks.parameters.values())
    learning = sum(count for name, count in networks.parameters.items() if name in load.learning)
    share = -(-learning // spread.ranks) * MASTER_BYTES
    return {
        "weights": -(-everything // spread.ranks) * MASTER_BYTES,
        "gradients": share,
        "optimiser": MOMENTS * share,
    }


def memory(networks: Networks, load: Load, spread: Spread) -> tuple[Stage, ...]:
    """What is alive at once on one device, at the moments that may be the widest.

    Returns:
        `logits`: the loss of the last token's handful, all layers' activations kept; `layer`: the way back through the
        last layer; `step`: the optimiser.
    """
    states = states_bytes(networks, load, spread)
    held = {} if spread.offload else states
    alive, whole = activations(networks, load, spread), gathered_bytes(networks, load, spread)
    logits = {**held, "gathered": whole["outer"], "activations": alive["kept"]}
    layer = {
        **held,
        "gathered": whole["outer"] + whole["layer"],
        "activations": alive["kept"] + alive["layer"],
        "ring": ring_bytes(networks, load, spread),
    }
    return (
        Stage("logits", {**logits, "logits": logits_bytes(networks, load, spread)}),
        Stage("layer", layer),
        Stage("step", {**held, "gathered": 0}),
    )


def offloaded_bytes(networks: Networks, load: Load, spread: Spread) -> int:
    """What waits in the processor's memory for one rank."""
    return sum(states_bytes(networks, load, spread).values()) if spread.offload else 0


def peak(networks: Networks, load: Load, spread: Spread) -> Stage:
    """The widest moment on a device."""
    return max(memory(networks, load, spread), key=lambda stage: stage.total_bytes)


@dataclass(frozen=True)
class Flops:
    """Floating point operations of one step, all ranks together.

    Attributes:
        useful: of the way there and the way back, nothing twice (what MFU counts; PaLM, arXiv 2204.02311, appendix B).
        computed: with what is computed again: layers under recomputation, weights of attention, handfuls of logits.
    """

    useful: float
    computed: float


def flops(networks: Networks, load: Load, spread: Spread) -> Flops:
    """Of one step. Two a multiplication; attention's causal half only; norms and the like left out."""
    decoder, tokens = networks.decoder, load.tokens
    matrices = 2.0 * tokens * decoder.layers * decoder.layer_matrices
    pairs = load.rows * load.length * (load.length + 1) / 2
    attended = 4.0 * pairs * decoder.layers * decoder.heads * decoder.head_width
    head = 2.0 * tokens * decoder.vocabulary * decoder.width
    # A frozen matrix has no gradient of its own, only one to hand on.
    back = 2.0 if "language" in load.learning else 1.0
    again = 1.0 if spread.recompute else 0.0
    useful = (matrices + head) * (1 + back) + 3 * attended
    computed = matrices * (1 + back + again) + attended * (1 + ATTEND_BACK + again) + head * (2 + back)
    for name, part in networks.parts.items():
        seen = load.views * part.flops * (3.0 if name in load.learning else 1.0)
        useful, computed = useful + seen, computed + seen
    reading = load.read_only * (matrices + attended + head)
    return Flops(load.passes * (useful + reading), load.passes * (computed + reading))


def sent_bytes(networks: Networks, load: Load, spread: Spread) -> dict[str, float]:
    """What one rank sends in one step, by what it is for.

    `ring`: R - 1 times its keys and values on the way there (and once more where layers are recomputed); on the way
    back as often, and their gradients R times in float32. `all_to_all`: (R - 1) / R of its queries, keys, values and
    outputs, there and back. `gathers`: (S - 1) / S of all weights, there and back. `reduces`: likewise of the gradients
    of what learns, once a pass. Of S ranks each sends its own share S - 1 times, or adds to the others' as often.
    """
    decoder, size, ranks, ring = networks.decoder, load.number_bytes, spread.ranks, spread.ring
    held, passes = share_tokens(load, spread), passes_of_rank(load, spread)
    there = 1 + (1 if spread.recompute else 0) + load.read_only
    found: dict[str, float] = {}
    keys = held * decoder.key_value_width * decoder.layers
    if ring > 1 and spread.together == "ring":
        found["ring"] = passes * keys * ((there + 1) * (ring - 1) * size + ring * MASTER_BYTES)
    elif ring > 1:
        moved = held * decoder.layers * (2 * decoder.heads * decoder.head_width + decoder.key_value_width)
        found["all_to_all"] = passes * moved * size * (there + 1) * (ring - 1) / ring
    if ranks > 1:
        everything = sum(networks.parameters.values())
        learning = sum(count for name, count in networks.parameters.items() if name in load.learning)
        found["gathers"] = passes * (2 + load.read_only) * everything * size * (ranks - 1) / ranks
        found["reduces"] = passes * learning * MASTER_BYTES * (ranks - 1) / ranks
    return found


def passes_of_rank(load: Load, spread: Spread) -> int:
    """Passes that one rank computes in a step: rings share them; the last ones wait where they do not divide."""
    return -(-load.passes // spread.data)


def seconds(networks: Networks, load: Load, spread: Spread, *, device_flops: float, utilisation: float) -> float:
    """Of the whole stage, at so much of the device's peak; communication is in the utilisation."""
    busy = flops(networks, load, spread).computed * (passes_of_rank(load, spread) * spread.data / load.passes)
    return load.steps * busy / (spread.ranks * device_flops * utilisation)
