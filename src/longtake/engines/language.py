"""engines: what is used of a transformers causal language model. Knows none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch


class LanguageModel(Protocol):
    """What is used of a transformers causal language model."""

    @property
    def config(self) -> Any: ...
    @property
    def model(self) -> Callable[..., Any]: ...
    @property
    def lm_head(self) -> Callable[[torch.Tensor], torch.Tensor]: ...
    def get_input_embeddings(self) -> torch.nn.Module: ...
