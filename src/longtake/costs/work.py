"""costs.work: operations on tensors in; how much of each kind was computed, and how much was alive at once, out.

What an operation costs goes by its kind: matrices multiply at so many operations a second, few rows by a large matrix
as fast as memory hands it on, and each call takes its time whatever it does.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SMALL_MATRIX = 2**19
"""Matrices of fewer numbers multiply slower; rates are measured on either side."""
LARGE_BLOCK = 2**22
"""Larger ones the system hands out anew each time, page by page as they are first written (cli/heap)."""
MEASURED = ("float32", "bfloat16", "float16")
"""What rates are measured for; the little that is computed in others counts as the first."""
CURVES = ("gelu", "silu", "sigmoid", "softmax", "exp", "tanh", "rsqrt", "cos", "sin", "pow", "mean", "norm", "pool")
"""Parts of the names of what is computed number by number, and dearer than a product."""


@dataclass(frozen=True)
class Work:
    """How much is computed, by kind: `KIND DTYPE` or `KIND` to operations, bytes, numbers or calls."""

    amounts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Work) -> Work:
        kinds = {**self.amounts, **other.amounts}
        return Work({kind: self.amounts.get(kind, 0.0) + other.amounts.get(kind, 0.0) for kind in kinds})

    def __sub__(self, other: Work) -> Work:
        return self + other * -1

    def __mul__(self, times: float) -> Work:
        return Work({kind: times * amount for kind, amount in self.amounts.items()})

    @property
    def operations(self) -> float:
        """Those of matrices, attention and convolutions."""
        kinds = ("multiply", "attend", "convolve")
        return sum(amount for kind, amount in self.amounts.items() if kind.startswith(kinds))

    def seconds(self, rates: Mapping[str, float]) -> float:
        """What it takes, by what one of each kind takes."""
        return max(0.0, sum(rates[kind] * amount for kind, amount in self.amounts.items() if amount))


class Watching(TorchDispatchMode):
    """Inside, operations are counted by kind, and tensors while they live.

    Attributes:
        peak_bytes: the most that was alive at once of what was made inside.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._amounts: dict[str, float] = {}
        self._alive: dict[int, int] = {}

    @property
    def work(self) -> Work:
        """So far."""
        return Work(dict(self._amounts))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        taken = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        given = [one for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
        name = str(func).removeprefix("aten.").partition(".")[0]
        if name == "device" or not given:
            return made
        old = {one.untyped_storage()._cdata for one in taken}
        new = [one for one in given if one.untyped_storage()._cdata not in old]
        for one in new:
            self._born(one.untyped_storage())
        self._add("calls", 1)
        if new or name.endswith("_"):
            self._computed(name, taken, given[0], kwargs or {})
        return made

    def _born(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._alive:
            return
        self._alive[key] = storage.nbytes()
        if storage.nbytes() >= LARGE_BLOCK:
            self._add("fresh", storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(self._alive.values()))
        weakref.finalize(storage, self._alive.pop, key, None)

    def _computed(self, name: str, taken: list[torch.Tensor], made: torch.Tensor, told: Mapping[str, Any]) -> None:
        dtype = str(made.dtype).removeprefix("torch.")
        dtype = dtype if dtype in MEASURED else MEASURED[0]
        if name in ("linear", "mm", "addmm", "matmul", "bmm"):
            matrix = next((one for one in reversed(taken) if one.dim() > 1), taken[-1])
            inner = taken[1].shape[-1] if name == "linear" else taken[-2].shape[-1]
            small = "small " if math.prod(matrix.shape[-2:]) < SMALL_MATRIX else ""
            self._add(f"multiply {small}{dtype}", 2.0 * made.numel() * inner)
            self._add(f"stream {dtype}", matrix.nbytes)
        elif "conv" in name:
            self._add(f"convolve {dtype}", 2.0 * made.numel() * math.prod(taken[1].shape[1:]))
        elif "attention" in name:
            query, key = taken[0], taken[1]
            causal = bool(told.get("is_causal")) or "flash" in name and query.shape[2] == key.shape[2]
            pairs = query.shape[2] * key.shape[2] * (0.5 if causal and query.shape[2] > 1 else 1.0)
            self._add(f"attend {dtype}", 4.0 * query.shape[0] * query.shape[1] * pairs * query.shape[3])
            self._add(f"stream {dtype}", 2.0 * key.numel() * key.element_size())
        elif "transformer_encoder_layer" in name:
            rows, width = taken[0].numel() // taken[0].shape[-1], taken[0].shape[-1]
            matrices = sum(one.numel() for one in taken[1:] if one.dim() == 2)
            self._add(f"multiply small {dtype}", 2.0 * rows * matrices)
            self._add(f"attend {dtype}", 4.0 * rows * taken[0].shape[1] * width)
        else:
            if any(curve in name for curve in CURVES):
                self._add(f"curve {dtype}", max(one.numel() for one in [made, *taken]))
            # Of an empty tensor nothing is written; of a copy into a part, only the part.
            if not name.startswith(("empty", "new_empty")):
                sizes = [one.nbytes for one in taken]
                self._add(
                    "move", made.nbytes + sum(sizes) if not name.endswith("_") else 2 * min([*sizes, made.nbytes])
                )

    def _add(self, kind: str, amount: float) -> None:
        self._amounts[kind] = self._amounts.get(kind, 0.0) + amount
