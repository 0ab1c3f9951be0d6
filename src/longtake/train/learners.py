"""train/learners: a model's parts in; what of each learns, by which optimiser and at which rate, out. Knows no loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from longtake.train.loop import Optimisers, Stage
from longtake.train.lora import Adapted, Lora, adapt
from longtake.train.schedule import adam


@dataclass(frozen=True)
class Learners:
    """The parts of a model, and what of each learns: all of it, or the adapters beside its matrices.

    Attributes:
        parts: the networks, by the names that recipes use.
        adapted: the language model's adapters; None where it learns itself.
    """

    parts: Mapping[str, nn.Module]
    adapted: Adapted | None = None

    @classmethod
    def of(cls, parts: Mapping[str, nn.Module], lora: Lora | None, *, seed: int) -> Learners:
        """The learners of a model; with `lora` its language model gets adapters, in place.

        Raises:
            LongtakeError: as `lora.adapt`.
        """
        return cls(parts, adapt(parts["language"], lora, seed=seed) if lora else None)

    def module(self, names: Iterable[str]) -> nn.ModuleDict:
        """All that learns of some parts, and nothing else."""
        return nn.ModuleDict({name: self._learner(name) for name in names})

    def counted(self, names: Iterable[str]) -> dict[str, int]:
        """How many parameters that are, for each part in the order of the model."""
        chosen = set(names)
        learners = {name: self._learner(name) for name in self.parts if name in chosen}
        return {name: sum(p.numel() for p in learner.parameters()) for name, learner in learners.items()}

    def optimisers(self, rates: Mapping[str, float], *, decay: float) -> Callable[[Stage], Optimisers]:
        """What makes AdamW for each part of `rates` at its rate; all other parts are kept from learning."""

        def make(stage: Stage) -> Optimisers:
            for part in self.parts.values():
                part.requires_grad_(False)
            learning = {name: self._learner(name) for name in rates}
            for learner in learning.values():
                learner.requires_grad_(True)
            return adam(learning, rates, decay=decay)

        return make

    def merge(self) -> None:
        """Make plain weights of adapters; they cannot learn after that."""
        if self.adapted is not None:
            self.adapted.merge()

    def _learner(self, name: str) -> nn.Module:
        return self.adapted.adapters if self.adapted is not None and name == "language" else self.parts[name]
