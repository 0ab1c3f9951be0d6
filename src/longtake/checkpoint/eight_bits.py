"""checkpoint/eight_bits: a matrix in; the same in eight bits, its rows scaled, out. Knows no names of layers.

Only the matrices of repeated layers are kept so: there lie nine tenths of a large model, and its first and last ones
(embeddings, projector, head) cost more in error than they take in memory. Why not the package torchao: without being
compiled its layer widens a whole matrix for every token (benchmarks/int8.py has the figures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

STEPS = 127
"""Of int8 in either direction; -128 is left out, so that zero stays in the middle."""
WIDENED_NUMBERS = 2**20
"""So many numbers of a matrix are widened at once: two to four MiB, which a processor's cache holds."""
READ_DIRECTLY = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention)
"""Layers of torch that reach into the matrices of those inside them."""


class Int8Linear(nn.Module):
    """A linear layer whose matrix is kept in eight bits, with one scale for each output.

    Each number is off by at most half a step, 1/254 of the largest of its row. What is computed has the dtype of what
    comes in; float16 may overflow. Nothing is trained.

    Args:
        matrix_OI: (outputs, inputs) int8.
        scale_O: (outputs,) float32; a number of the matrix times its row's scale is the weight.
        bias_O: (outputs,), or None.
    """

    matrix_OI: torch.Tensor
    scale_O: torch.Tensor

    def __init__(self, matrix_OI: torch.Tensor, scale_O: torch.Tensor, bias_O: nn.Parameter | None) -> None:
        super().__init__()
        self.register_buffer("matrix_OI", matrix_OI)
        self.register_buffer("scale_O", scale_O)
        self.bias = bias_O

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs); some rows of the matrix are widened at a time."""
        outputs, inputs = self.matrix_OI.shape
        rows = min(outputs, max(1, WIDENED_NUMBERS // inputs))
        made = x.new_empty(*x.shape[:-1], outputs)
        # One buffer for all: memory that is taken anew for each chunk costs more than the chunk.
        widened_RI = x.new_empty(rows, inputs)
        for start in range(0, outputs, rows):
            some_RI = self.matrix_OI[start : start + rows]
            part_RI = widened_RI[: len(some_RI)].copy_(some_RI)
            # Scaled part by part: torch widens both sides of what it multiplies by float32, at four bytes a number.
            part = nn.functional.linear(x, part_RI)
            made[..., start : start + rows] = part.mul_(self.scale_O[start : start + rows])
        return made if self.bias is None else made + self.bias

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"in_features={self.matrix_OI.shape[1]}, out_features={self.matrix_OI.shape[0]}"


@dataclass(frozen=True)
class Shrunk:
    """A linear layer that is to be kept in eight bits, and where in its network it is."""

    parent: nn.Module
    name: str
    linear: nn.Linear

    def take(self, matrix_OI: torch.Tensor, scale_O: torch.Tensor) -> None:
        """Put the same in eight bits in its place. The bias must be there already."""
        setattr(self.parent, self.name, Int8Linear(matrix_OI, scale_O, self.linear.bias))


def shrunk_layers(modules: Mapping[str, nn.Module]) -> dict[int, Shrunk]:
    """The linear layers inside repeated ones (members of an `nn.ModuleList`), by the `id` of their weight.

    Left as they are: tied matrices, and those that torch's own layers read without calling the layer.
    """
    found = {id(one.linear.weight): one for module in modules.values() for one in _inside_repeated(module)}
    uses = Counter(
        id(parameter) for module in modules.values() for _, parameter in module.named_parameters(remove_duplicate=False)
    )
    return {key: one for key, one in found.items() if uses[key] == 1}


def _inside_repeated(module: nn.Module) -> Iterator[Shrunk]:
    for repeated in module.modules():
        if not isinstance(repeated, nn.ModuleList):
            continue
        for parent in repeated.modules():
            if isinstance(parent, READ_DIRECTLY):
                continue
            for name, child in parent.named_children():
                if type(child) is nn.Linear:
                    yield Shrunk(parent, name, child)


def in_eight_bits(rows_RI: torch.Tensor, matrix_RI: torch.Tensor) -> torch.Tensor:
    """Write the nearest of 255 even steps a row into `matrix_RI`; returns (R,) float32, the size of each row's step.

    Args:
        rows_RI: (R, inputs) float32, finite. They are overwritten: a copy would be as large as what is made.
        matrix_RI: (R, inputs) int8, on any device.
    """
    lowest_R, highest_R = torch.aminmax(rows_RI, dim=1)
    scale_R = torch.maximum(-lowest_R, highest_R) / STEPS
    scale_R[scale_R == 0] = 1.0
    matrix_RI.copy_(rows_RI.div_(scale_R[:, None]).round_())
    return scale_R
