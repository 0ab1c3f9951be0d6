"""costs.holding: networks, a step of training and ranks in; what one device holds at its widest moments out.

Formulas only, each held against what is counted (tests/test_costs_training.py, benchmarks/training.py). Of one decoder
layer the way back keeps, for each token, in numbers of b bytes (the counting of Korthikanti and others, arXiv
2205.05198, section 4.1, for RMSNorm, grouped-query heads and SwiGLU in place of GPT's parts):

    two norms        2 x (4 + b + b) x width     its input in float32, normalised, and times its weight
    attention        b x 2 x heads x head width  queries, output
                     b x 2 x key heads x head width  keys, values
                     4 x heads                   log-sum-exp (FlashAttention, arXiv 2205.14135): no L x L weights
    perceptron       b x 4 x hidden              gate, its SiLU, up, their product

With recomputation it keeps the layer's input, and all of the above for one layer at a time. Optimiser states, gradients
and weights are shared out among all ranks (ZeRO stage 3, arXiv 1910.02054, section 5; here torch's FSDP2); a layer's
weights are gathered when they are wanted. Tower and projector are whole on each rank. A row is shared among the ranks
of a ring (arXiv 2310.01889): keys and values go round; or heads change places with positions (Ulysses, arXiv
2309.14509).
"""

from __future__ import annotations

from longtake.costs import Stage
from longtake.costs.training import (
    MASTER_BYTES,
    Arrangement,
    Decoder,
    Load,
    Networks,
    Numbers,
    eye_learning,
    learning_parameters,
    numbers_of,
    share_tokens,
)

MOMENTS = 2
"""AdamW's (arXiv 1711.05101), in float32."""
BLOCK_TOKENS = BLOCK_WORDS = 4096
"""Logits are made in blocks of so many tokens by so many words (train/entropy.py)."""


def attention_saved_bytes(decoder: Decoder, numbers: Numbers, *, shared: bool = False) -> int:
    """What attention keeps of a token; of a `shared` row its output twice, as made and as the next matrix has it."""
    outputs = 3 if shared else 2
    wide = outputs * decoder.heads * decoder.head_width + decoder.key_value_width
    return numbers.computed * wide + MASTER_BYTES * decoder.heads


def layer_saved_bytes(decoder: Decoder, numbers: Numbers, *, shared: bool = False) -> int:
    """What one layer keeps of a token for the way back."""
    norms = numbers.norms * decoder.width + 2 * MASTER_BYTES
    perceptron = numbers.computed * 4 * decoder.hidden
    return norms + attention_saved_bytes(decoder, numbers, shared=shared) + perceptron


def perceptron_back_bytes(decoder: Decoder, numbers: Numbers) -> int:
    """Of a token, what lives beside that at the widest moment of the way back through a perceptron.

    Gradients of SwiGLU's two branches, and of what comes in and goes out; measured with torch's own operations watched
    (tests), where hidden is at least three times width.
    """
    return numbers.computed * 2 * decoder.hidden + numbers.stream * 2 * decoder.width


def attention_back_bytes(decoder: Decoder, numbers: Numbers, arranged: Arrangement) -> int:
    """Of a token that a rank holds, what lives on the way back through attention, beside what the layers keep.

    The perceptron behind it is done. Gradients of the stream, of the output, of queries, keys and values; in a ring the
    latter in float32, and keys and values under way: those attended to, those that arrive, and their gradients as they
    are made, sent and received. Ulysses holds queries, keys, values and outputs, and their gradients, in both orders.
    """
    outputs, keys = decoder.heads * decoder.head_width, decoder.key_value_width
    kept = numbers.norms // 2 * decoder.width + MASTER_BYTES
    kept += attention_saved_bytes(decoder, numbers, shared=arranged.ring > 1)
    kept += numbers.stream * decoder.width + numbers.computed * outputs
    if arranged.ring == 1:
        return kept + numbers.computed * (outputs + keys)
    if arranged.together == "ulysses":
        return kept + 2 * numbers.computed * (2 * outputs + keys)
    return kept + MASTER_BYTES * outputs + round_bytes(decoder, numbers)


def round_bytes(decoder: Decoder, numbers: Numbers) -> int:
    """Of a token that a rank holds: keys and values under way in a ring, and their gradients."""
    return decoder.key_value_width * (2 * numbers.computed + 3 * MASTER_BYTES)


def kept_bytes(networks: Networks, load: Load, arranged: Arrangement) -> int:
    """What all layers keep on one device for the way back; a tower and a projector that learn keep theirs."""
    decoder, numbers = networks.decoder, numbers_of(load, arranged)
    saved = layer_saved_bytes(decoder, numbers, shared=arranged.ring > 1)
    each = numbers.stream * decoder.width if arranged.recompute else saved
    seen = sum(part.saved_bytes for name, part in networks.parts.items() if name in load.learning)
    return share_tokens(load, arranged) * decoder.layers * each + load.views * seen


def logits_bytes(networks: Networks, load: Load, arranged: Arrangement) -> int:
    """What is held of the logits: two blocks however long the row, the one that is made and the one before it, with the
    product before it is float32; the block's hidden states, their gradient and what is added to it; the block's rows of
    the matrix. And of the whole row what the last norm keeps, and the gradient that it gets.
    """
    decoder, numbers = networks.decoder, numbers_of(load, arranged)
    half, held = numbers.computed % 4, share_tokens(load, arranged)
    tokens, words = min(BLOCK_TOKENS, held), min(BLOCK_WORDS, decoder.vocabulary)
    block = tokens * words * (2 * 4 + half) + (tokens * (4 + 2 * half) + words * 2 * half) * decoder.width
    return block + held * (numbers.norms // 2 + numbers.stream) * decoder.width


def working_bytes(networks: Networks, load: Load, arranged: Arrangement) -> dict[str, int]:
    """Whole weights and gradients on a device only while it computes with them, at the `loss` and in a `layer`.

    Gathered weights of no layer (embeddings, head) stay from the first to the last use, with their gradients; of layers
    there are one's weights, the next one's that are on their way, its gradients, and their sum in float32. Of weights
    held whole: the head's gradient before it is added to those of other passes; and under autocast copies in bfloat16,
    all layers' to the end of the way there, then one layer's, or all where nothing is recomputed.
    """
    decoder, size = networks.decoder, numbers_of(load, arranged).computed
    learns = "language" in load.learning and not load.adapters
    if arranged.gathers:
        outer = decoder.outer_parameters * (2 if learns else 1) * size
        return {"loss": outer, "layer": outer + decoder.layer_parameters * (2 * size + learns * (size + MASTER_BYTES))}
    copies = decoder.layer_matrices * size if load.half else 0
    head = learns * decoder.vocabulary * decoder.width * MASTER_BYTES
    # Autocast keeps copies of what learns only; what does not is kept by the layers that want it again.
    until_the_loss = decoder.layers * copies if learns or not arranged.recompute else 0
    return {"loss": until_the_loss + head, "layer": (1 if arranged.recompute else decoder.layers) * copies}


def states_bytes(networks: Networks, load: Load, arranged: Arrangement) -> dict[str, int]:
    """Of one rank: weights, gradients and optimiser states, wherever they wait.

    Of the language model and its adapters its share; of tower and projector, which each rank holds whole, all.
    """
    language, eye = _language_states(networks, load, arranged), _eye_states(networks, load)
    return {kind: language[kind] + eye[kind] for kind in language}


def _language_states(networks: Networks, load: Load, arranged: Arrangement) -> dict[str, int]:
    learning = learning_parameters(networks, load) - eye_learning(networks, load)
    return _states(-(-networks.decoder.parameters // arranged.parts), -(-learning // arranged.parts))


def _eye_states(networks: Networks, load: Load) -> dict[str, int]:
    return _states(sum(part.parameters for part in networks.parts.values()), eye_learning(networks, load))


def _states(parameters: int, learning: int) -> dict[str, int]:
    gradients = learning * MASTER_BYTES
    return {"weights": parameters * MASTER_BYTES, "gradients": gradients, "optimiser": MOMENTS * gradients}


def memory(networks: Networks, load: Load, arranged: Arrangement) -> tuple[Stage, ...]:
    """What is alive at once on one device, at the moments that may be the widest.

    Returns:
        `start`: weights are read whole before they are cut into parts; `loss`: a block of logits, while all layers keep
        theirs; `perceptron` and `attention` of the last layer's way back; `step`: the optimiser, and a root of its
        second moments.
    """
    states = states_bytes(networks, load, arranged)
    held = _eye_states(networks, load) if arranged.hold == "aside" else states
    working = working_bytes(networks, load, arranged)
    kept, logits = kept_bytes(networks, load, arranged), logits_bytes(networks, load, arranged)
    back = {name: {**held, "working": working["layer"], **counts} for name, counts in _back(networks, load, arranged)}
    return (
        Stage("start", {"weights": sum(networks.parameters.values()) * MASTER_BYTES}),
        Stage("loss", {**held, "working": working["loss"], "activations": kept, "logits": logits}),
        *(Stage(name, counts) for name, counts in back.items()),
        Stage("step", {**held, "working": held["gradients"]}),
    )


def _back(networks: Networks, load: Load, arranged: Arrangement) -> list[tuple[str, dict[str, int]]]:
    """Activations, and what is under way in a ring, while the last layer's perceptron, and its attention, go back."""
    decoder, numbers, tokens = networks.decoder, numbers_of(load, arranged), share_tokens(load, arranged)
    shared = arranged.ring > 1
    passing = round_bytes(decoder, numbers) if shared and arranged.together == "ring" else 0
    kept = kept_bytes(networks, load, arranged)
    perceptron = perceptron_back_bytes(decoder, numbers)
    attention = attention_back_bytes(decoder, numbers, arranged) - passing
    if arranged.recompute:
        perceptron += layer_saved_bytes(decoder, numbers, shared=shared)
    else:
        # What of this layer's attention is counted there is among what the layers keep; its perceptron's is gone.
        attention -= layer_saved_bytes(decoder, numbers, shared=shared)
    return [
        ("perceptron", {"activations": kept + tokens * perceptron}),
        ("attention", {"activations": kept + tokens * attention, "ring": tokens * passing}),
    ]


def aside_bytes(networks: Networks, load: Load, arranged: Arrangement) -> int:
    """What waits in the processor's memory for one rank."""
    return sum(_language_states(networks, load, arranged).values()) if arranged.hold == "aside" else 0


def peak(networks: Networks, load: Load, arranged: Arrangement) -> Stage:
    """The widest moment on a device."""
    return max(memory(networks, load, arranged), key=lambda stage: stage.total_bytes)
