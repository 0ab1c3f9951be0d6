"""costs.learning: a model's name in; the shapes of its networks, as a training would need them, out. Reads no weights.

A vision tower and a projector are rehearsed (docs/plan.md): their own code is run on tensors without numbers, and what
they leave for the way back is what torch's own hooks say they save.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from longtake.checkpoint import CONFIG, UNBUILT, bad_checkpoint, read_config, without_memory
from longtake.costs.outlining import outline_of
from longtake.costs.training import Attention, Decoder, Networks, Seeing
from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import folder_of


def networks_of(name: str, *, half: bool = True) -> Networks:
    """What would be trained.

    Args:
        name: a model as `loading.load` takes it, of which config.json is enough; or the folder of a language model as
            transformers lays it out, of which config.json is enough too.
        half: whether it is computed in bfloat16.

    Raises:
        LongtakeError: `model.not_found` where neither is here; `model.bad_checkpoint`.
    """
    try:
        return _of_model(name, "bfloat16" if half else "float32")
    except LongtakeError as error:
        if error.code is not ErrorCode.MODEL_NOT_FOUND:
            raise
        try:
            folder = folder_of(name, fetch=False)
        except LongtakeError:
            raise error from None
        config = read_config(folder) if (folder / CONFIG).is_file() else {}
        if "model_type" not in config:
            raise
    advice = "take the config.json of a decoder with rotary positions, such as Qwen2's, Llama's or Mistral's"
    try:
        told = AutoConfig.for_model(**config)
        with without_memory():
            language = AutoModelForCausalLM.from_config(told, trust_remote_code=False)
        return Networks(decoder_of(language), {})
    except UNBUILT as error:
        reason = f"is no language model that can be planned for: {' '.join(str(error).split())[:200]}"
        raise bad_checkpoint(folder / CONFIG, reason, advice) from error


def decoder_of(language: Any) -> Decoder:
    """The shape of transformers' language model, counted on its own parameters; these need no numbers.

    Raises:
        AttributeError: it has no layers, heads and perceptrons as Qwen2 has.
    """
    config, layer = language.config, language.model.layers[0]
    own = list(layer.parameters())
    layers = sum(p.numel() for p in language.model.layers.parameters())
    return Decoder(
        width=config.hidden_size,
        hidden=config.intermediate_size,
        layers=config.num_hidden_layers,
        attention=attention_of(config),
        head_width=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        vocabulary=config.vocab_size,
        layer_parameters=sum(p.numel() for p in own),
        layer_matrices=sum(p.numel() for p in own if p.ndim == 2),
        outer_parameters=sum(p.numel() for p in language.parameters()) - layers,
    )


def attention_of(config: Any) -> Attention:
    """What attention is in transformers' language model of such a config.

    Raises:
        AttributeError: it tells no heads.
    """
    window = getattr(config, "sliding_window", None)
    # Where a model tells layers apart, those of other kinds take no window.
    sliding = window is not None and "sliding_attention" in (
        getattr(config, "layer_types", None) or ["sliding_attention"]
    )
    besides = {
        f"a sliding window of {window or 0:,}": sliding,
        "dropout": getattr(config, "attention_dropout", 0.0),
        "capped products": getattr(config, "attn_logit_softcapping", None),
    }
    heads: int = config.num_attention_heads
    few: int | None = getattr(config, "num_key_value_heads", None)
    return Attention(heads, few or heads, tuple(name for name, wanted in besides.items() if wanted))


def saved_bytes(module: nn.Module, run: Callable[[], object]) -> int:
    """What `run` leaves for the way back, beside the parameters and buffers of `module`; what is shared counts once."""
    known = {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}
    found: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            found[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        made = run()
    total = sum(storage.nbytes() for storage in found.values())
    del made
    return total


def _of_model(name: str, dtype: str) -> Networks:
    outline = outline_of(name, device="cpu", dtype=dtype)
    encoder: Any = outline.model.encoder
    engine: Any = outline.model.engine
    numbers = getattr(torch, dtype)
    side_px: int = encoder.recipe.side_px
    features = None

    def view(count: int) -> torch.Tensor:
        return outline.made.tensor((count, 3, side_px, side_px), numbers)

    tower, projector = encoder.tower, encoder.projector
    with torch.no_grad(), outline.made.mode:
        features = tower(view(1))
    size = tuple(features.shape[1:])
    parts = {
        "vision": _seeing(tower, view),
        "projector": _seeing(projector, lambda count: outline.made.tensor((count, *size), numbers)),
    }
    shape = encoder.shape_of(1, (side_px, side_px), tiled=False)
    frames = int(getattr(outline.model.sampler, "frames", 0))
    return Networks(decoder_of(engine.language), parts, outline.model.layout.count(shape), frames)


def _seeing(network: nn.Module, view: Callable[[int], torch.Tensor]) -> Seeing:
    """One view more is what two leave, or compute, beyond one."""
    network.train().requires_grad_(True)
    one, two = (view(count) for count in (1, 2))
    saved = saved_bytes(network, lambda: network(two)) - saved_bytes(network, lambda: network(one))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(one)
    return Seeing(sum(p.numel() for p in network.parameters()), saved, float(counter.get_total_flops()))
