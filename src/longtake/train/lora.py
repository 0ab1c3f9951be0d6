"""train/lora: a language model in; small matrices beside its own, which learn in their place, and the sum of both, out.

The package `peft` does it (the extra `lora`); nothing of it is imported unless a recipe asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from longtake.errors import ErrorCode, LongtakeError

OF_A_LAYER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All matrices of a layer of Qwen2, Llama and Mistral."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation of the language model. Source: arXiv 2106.09685, section 4.1.

    Attributes:
        rank: of what is added to a matrix.
        alpha: what is added counts alpha / rank times.
        modules: the matrices that are adapted, by the last part of their names.
    """

    rank: int = 16
    alpha: int = 32
    modules: tuple[str, ...] = OF_A_LAYER

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.modules:
            raise ValueError(
                f"lora has rank {self.rank}, alpha {self.alpha}; want at least 1, more than 0, and modules"
            )


class Adapters(nn.Module):
    """The small matrices alone, so that a checkpoint of the training holds nothing else."""

    def __init__(self, language: nn.Module) -> None:
        super().__init__()
        for name, parameter in language.named_parameters():
            if "lora_" in name:
                self.register_parameter(name.replace(".", "-"), parameter)


@dataclass(frozen=True)
class Adapted:
    """A language model with adapters; as yet it says what it said without.

    Attributes:
        adapters: that learn.
    """

    adapters: Adapters
    _wrapped: Any = field(repr=False)

    def merge(self) -> None:
        """Put what was learned into the model's own matrices, in place, and take the adapters out."""
        self._wrapped.merge_and_unload()


def adapt(language: nn.Module, lora: Lora, *, seed: int) -> Adapted:
    """Put adapters beside some of the matrices of `language`, in place.

    Raises:
        LongtakeError: `environment.missing` without peft; `usage.bad_option` where no matrix has such a name.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        advice = "pip install 'longtake[lora]'"
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "peft", "is needed to train by LoRA", advice) from error
    # A list of names is matched by peft one by one, and what fits none of them is no error there.
    ends = {name.rpartition(".")[2] for name, part in language.named_modules() if isinstance(part, nn.Linear)}
    lacking = [name for name in lora.modules if name not in ends]
    if lacking:
        advice = f"name some of {', '.join(sorted(ends))}"
        reason = "the language model has no such matrix"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"lora.modules {', '.join(lacking)}", reason, advice)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.modules), bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = LoraModel(language, config, "default")
    return Adapted(Adapters(language), wrapped)
