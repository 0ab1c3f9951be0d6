"""parallel/products: queries, keys and values of a block in; attention to it, and its gradients, out. Knows no ranks.

A gradient is that of the whole attention of which the block is a part: from the whole's output and the log of its sum
of exponents a block's weights come out as they are in the whole (FlashAttention, arXiv 2205.14135, appendix B.2). So
torch's kernels, given those of the whole in the place of their own, return a block's share of the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from longtake.engines.merging import Part, exponents, folded, unfolded, with_lse, written_out

Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Of queries, keys and values."""
TILE = 256
"""Rows whose products are in memory at a time where they are written out."""


class Products(Protocol):
    """Attention to a block. Queries are (B, H, rows, D), keys and values (B, K, positions, D), H a multiple of K."""

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Part:
        """(B, H, rows, D), and the log of the sums of exponents, (B, H, rows), in float32 at least."""
        ...

    def gradients(self, inputs: Gradients, gradient: torch.Tensor, whole: Part) -> Gradients:
        """Of `inputs`, which are query, key and value, from the gradient of the whole output.

        Args:
            whole: output and log of the sums of exponents of all that these rows see.
        """
        ...


def products(query: torch.Tensor, scaling: float, *, triangle: bool) -> Products:
    """How a block is computed on the device of its queries.

    Args:
        scaling: of the products.
        triangle: each row sees the keys up to its own place (as many as rows); if not, all.
    """
    device, halves = query.device.type, query.dtype in (torch.float16, torch.bfloat16)
    if device == "cpu":
        return OnProcessor(scaling, triangle)
    if device == "cuda" and halves and query.shape[-1] % 8 == 0 and query.shape[-1] <= 256:
        return OnGraphicsCard(scaling, triangle)
    return WrittenOut(scaling, triangle)


@dataclass(frozen=True)
class OnProcessor:
    """Torch's flash attention for processors."""

    scaling: float
    triangle: bool

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Part:
        return with_lse(query, key, value, self.scaling, triangle=self.triangle)

    def gradients(self, inputs: Gradients, gradient: torch.Tensor, whole: Part) -> Gradients:
        found: Gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            gradient, *inputs, *whole, 0.0, self.triangle, scale=self.scaling
        )
        return found


@dataclass(frozen=True)
class OnGraphicsCard:
    """Torch's flash attention for graphics cards, for half precision and heads of a multiple of 8 up to 256."""

    scaling: float
    triangle: bool

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Part:
        found = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, self.triangle, scale=self.scaling
        )
        return found[0], found[1]

    def gradients(self, inputs: Gradients, gradient: torch.Tensor, whole: Part) -> Gradients:
        # The counts are those of packed rows, the seed and the offset those of dropout: there is neither.
        none = torch.zeros(2, dtype=torch.int64, device=gradient.device)
        found: Gradients = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            gradient, *inputs, *whole, None, None, inputs[0].shape[2], inputs[1].shape[2],
            0.0, self.triangle, none, none, scale=self.scaling,
        )  # fmt: skip
        return found


@dataclass(frozen=True)
class WrittenOut:
    """The same in plain products, some rows at a time: for any device and any precision.

    In float32 at least, whatever autocast says.
    """

    scaling: float
    triangle: bool

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Part:
        found = []
        with torch.autocast(query.device.type, enabled=False):
            for rows in _tiles(query):
                few, sees = query[:, :, rows], self._sees(query, key, rows)
                found.append(unfolded(written_out(folded(few, key), key, value, self.scaling, sees), few))
        outs, lses = zip(*found, strict=True)
        return torch.cat(outs, 2), torch.cat(lses, 2)

    def gradients(self, inputs: Gradients, gradient: torch.Tensor, whole: Part) -> Gradients:
        query, key, value = inputs
        wide = torch.promote_types(query.dtype, torch.float32)
        of_query = torch.empty_like(query, dtype=wide)
        of_key, of_value = (torch.zeros_like(one, dtype=wide) for one in (key, value))
        with torch.autocast(query.device.type, enabled=False):
            for rows in _tiles(query):
                few, wanted, out = (folded(one[:, :, rows], key).to(wide) for one in (query, gradient, whole[0]))
                lse = whole[1][:, :, rows].reshape(few.shape[:3])
                weights = (exponents(few, key, self.scaling, self._sees(query, key, rows)) - lse[..., None]).exp()
                of_value += weights.mT @ wanted
                beside = (wanted * out).sum(-1, keepdim=True)
                change = weights * (wanted @ value.to(wide).mT - beside) * self.scaling
                of_query[:, :, rows] = (change @ key.to(wide)).reshape(query[:, :, rows].shape)
                of_key += change.mT @ few
        return of_query, of_key, of_value

    def _sees(self, query: torch.Tensor, key: torch.Tensor, rows: slice) -> torch.Tensor | None:
        """(H / K x rows, positions), True where one sees the other: the heads of a group as rows of one; None: all."""
        if not self.triangle:
            return None
        places = torch.arange(query.shape[2], device=key.device)[rows].repeat(query.shape[1] // key.shape[1])
        return torch.arange(key.shape[2], device=key.device) <= places[:, None]


def _tiles(query: torch.Tensor) -> Iterator[slice]:
    yield from (slice(first, first + TILE) for first in range(0, query.shape[2], TILE))
