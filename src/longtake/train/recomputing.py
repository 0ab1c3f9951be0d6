"""train/recomputing: a network in; the same that keeps only its layers' inputs for the way back out. Knows no stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute(network: nn.Module) -> bool:
    """Let the layers of a transformers model, or of the one inside `network`, be computed again on the way back.

    Returns:
        False where there is no such model; it learns as ever, and takes the memory that it took.
    """
    found = next((part for part in network.modules() if isinstance(part, PreTrainedModel)), None)
    if found is None or not found.supports_gradient_checkpointing:
        return False
    model: Any = found
    # Its older name is deprecated in later releases of transformers 5, and the newer one is not in the earlier ones.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    return True


def ready(networks: Iterable[nn.Module]) -> None:
    """Let layers of which `recompute` was asked do it also where they do not learn, but what is before them does.

    transformers asks a layer whether it is in training mode; what is inside of it stays in the mode that it is in.
    """
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, GradientCheckpointingLayer) and layer.gradient_checkpointing and not layer.training:
                layer.train()
                for inside in layer.children():
                    inside.eval()
