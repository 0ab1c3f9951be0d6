"""engines: what is used of a transformers causal language model. Knows none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from longtake.networks import input_device
from longtake.prompt import VISUAL_PLACE


class LanguageModel(Protocol):
    """What is used of a transformers causal language model."""

    @property
    def config(self) -> Any: ...
    @property
    def model(self) -> Callable[..., Any]: ...
    @property
    def lm_head(self) -> Callable[[torch.Tensor], torch.Tensor]: ...
    def get_input_embeddings(self) -> torch.nn.Module: ...


def embedded(language: LanguageModel, ids_C: torch.Tensor, visual_ND: torch.Tensor) -> torch.Tensor:
    """(C, D): what the model reads at these places of a prompt, visual tokens where they belong."""
    embedding = language.get_input_embeddings()
    ids_C = ids_C.to(input_device(embedding))
    embedded_CD: torch.Tensor = embedding(ids_C.clamp(min=0))
    embedded_CD[ids_C == VISUAL_PLACE] = visual_ND.to(embedded_CD)
    return embedded_CD
