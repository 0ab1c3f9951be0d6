"""costs.moving: networks, a step of training and ranks in; what is computed, what is sent, and how long it takes, out.

Formulas only, each held against what is counted (tests/test_costs_training.py, benchmarks/training.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from longtake.costs.training import (
    MASTER_BYTES,
    Arrangement,
    Load,
    Networks,
    eye_learning,
    learning_parameters,
    numbers_of,
    passes_of_rank,
    share_tokens,
)

ATTEND_BACK = 2.5
"""Attention's way back over its way there: five products for two, as weights are computed again (arXiv 2205.14135)."""


@dataclass(frozen=True)
class Flops:
    """Floating point operations of one step, all ranks together.

    Attributes:
        useful: of the way there and the way back, nothing twice (what MFU counts; PaLM, arXiv 2204.02311, appendix B).
        computed: with what is computed again: layers under recomputation, weights of attention, handfuls of logits.
    """

    useful: float
    computed: float


def flops(networks: Networks, load: Load, arranged: Arrangement) -> Flops:
    """Of one step. Two a multiplication; attention's causal half only; norms and the like left out."""
    decoder, tokens = networks.decoder, load.tokens
    matrices = 2.0 * tokens * decoder.layers * decoder.layer_matrices
    pairs = load.rows * load.length * (load.length + 1) / 2
    attended = 4.0 * pairs * decoder.layers * decoder.heads * decoder.head_width
    head = 2.0 * tokens * decoder.vocabulary * decoder.width
    # A frozen matrix has no gradient of its own, only one to hand on.
    back = 2.0 if "language" in load.learning and not load.adapters else 1.0
    again = 1.0 if arranged.recompute else 0.0
    useful = (matrices + head) * (1 + back) + 3 * attended
    computed = matrices * (1 + back + again) + attended * (1 + ATTEND_BACK + again) + head * (2 + back)
    for name, part in networks.parts.items():
        seen = load.views * part.flops * (3.0 if name in load.learning else 1.0)
        useful, computed = useful + seen, computed + seen
    reading = load.read_only * (matrices + attended + head)
    return Flops(load.passes * (useful + reading), load.passes * (computed + reading))


def sent_bytes(networks: Networks, load: Load, arranged: Arrangement) -> dict[str, float]:
    """What one rank sends in one step, by what it is for; R ranks share a row, S ranks hold the weights together.

    `ring`: R - 1 times its keys and values on the way there (and once more where layers are recomputed) and on the way
    back, and R times their gradients in float32. `all_to_all`: (R - 1) / R of its queries, keys, values and outputs, on
    each way. `gathers`: (S - 1) times its part of the layers' weights on each way, of embeddings and head once.
    `reduces`: (S - 1) / S of the gradients in float32, once a pass. `averages`: of weights that each rank holds whole,
    twice (S - 1) / S of the gradients, once a step.
    """
    decoder, numbers, ranks, ring = networks.decoder, numbers_of(load, arranged), arranged.ranks, arranged.ring
    size, held, passes = numbers.computed, share_tokens(load, arranged), passes_of_rank(load, arranged)
    there = 1 + (1 if arranged.recompute else 0) + load.read_only
    once = MASTER_BYTES * (ranks - 1) / ranks
    whole = learning_parameters(networks, load) if arranged.parts == 1 else eye_learning(networks, load)
    found: dict[str, float] = {}
    keys = held * decoder.key_value_width * decoder.layers
    if ring > 1 and arranged.together == "ring":
        found["ring"] = passes * keys * ((there + 1) * (ring - 1) * size + ring * MASTER_BYTES)
    elif ring > 1:
        # Heads of keys and values are copied up to the least number that can be dealt out.
        copies = lcm(decoder.key_heads, ring) // decoder.key_heads
        moved = held * decoder.layers * (2 * decoder.heads * decoder.head_width + copies * decoder.key_value_width)
        found["all_to_all"] = passes * moved * size * (there + 1) * (ring - 1) / ring
    if arranged.parts > 1:
        layers = decoder.layers * decoder.layer_parameters
        gathered = (2 + load.read_only) * layers + (1 + load.read_only) * decoder.outer_parameters
        found["gathers"] = passes * gathered * size * (ranks - 1) / ranks
        found["reduces"] = passes * (learning_parameters(networks, load) - whole) * once
    if ranks > 1 and whole:
        found["averages"] = 2 * whole * once
    return found


def seconds(networks: Networks, load: Load, arranged: Arrangement, *, device_flops: float, utilisation: float) -> float:
    """Of the whole stage, at so much of the device's peak; communication is in the utilisation."""
    busy = flops(networks, load, arranged).computed * (passes_of_rank(load, arranged) * arranged.data / load.passes)
    return load.steps * busy / (arranged.ranks * device_flops * utilisation)
