"""checkpoint/hollow: models without weights: networks whose tensors have shape, kind and place, and no numbers.

torch calls such tensors fake: whatever is computed with them is computed in shapes only. So a model can be rehearsed
(which tensors would there be, and how large?) before any of its weights is read, or where only its config.json is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Hollow:
    """What was built without weights.

    Attributes:
        mode: torch's, which makes tensors without numbers.
        weights_bytes: of each model, what its weights would take.
        weights: of each model, how many numbers they are.
    """

    # torch has no public name for the type.
    mode: Any
    weights_bytes: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def tensor(self, shape: tuple[int, ...] | torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """One without numbers, of the processor."""
        with self.mode:
            return torch.empty(shape, dtype=dtype)


_HOLLOW: ContextVar[Hollow | None] = ContextVar("hollow", default=None)


def hollow() -> Hollow | None:
    """What is being built without weights; None where weights are read, as they are unless somebody asks."""
    return _HOLLOW.get()


@contextmanager
def without_weights() -> Iterator[Hollow]:
    """Inside, checkpoints are loaded without their weights: no weights file is opened, or need be there.

    Everything else is as ever: what config.json, tokenizer and preprocessing say is read and checked.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    made = Hollow(FakeTensorMode(allow_non_fake_inputs=True))
    token = _HOLLOW.set(made)
    try:
        yield made
    finally:
        _HOLLOW.reset(token)
