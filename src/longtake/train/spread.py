"""train/spread: ranks in; who reads what of a step, what they tell each other, and how they hold the parameters, out.

    rank          0        1        2        3       of 4, a ring of 2
    data rank     0        0        1        1       different rows of one step
    in its ring   0        1        0        1       different positions of the same rows

All ranks hold the parameters together, whatever they read: the gradient of a step is that of the mean over the targets
of all of them. Knows nothing of what is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel import ALONE, Ranks
from longtake.parallel.attending import RING
from longtake.parallel.talking import tells_of_others

Found = TypeVar("Found")

Hold = Literal["whole", "sharded", "aside"]
"""How ranks hold parameters and what optimisers keep of them: all of it on each; each a part (FSDP2); each a part that
lies in the processor's memory and is brought to the device for each layer."""

NUMBERS_AT_ONCE = 2**24
"""Of gradients that are told at once: 64 MiB of float32."""


@dataclass(frozen=True)
class Spread:
    """A stage over ranks, as one of them sees it.

    Attributes:
        ranks: all of them.
        ring: those that read the same rows as this one, each its positions.
        hold: how they hold the parameters.
        attending: how those of a ring attend together, by its name in `parallel.attending`.
        mesh: all ranks in a line, for torch; None for one that nobody started others beside.
        within: runs what computes with the parameters; sharded ones that belong to no layer are whole inside.
    """

    ranks: Ranks = ALONE
    ring: Ranks = ALONE
    hold: Hold = "whole"
    mesh: DeviceMesh | None = None
    attending: str = RING
    within: Callable[[Callable[[], torch.Tensor]], torch.Tensor] = lambda work: work()

    @property
    def leads(self) -> bool:
        """Whether this rank is the one that writes and speaks."""
        return self.ranks.leads

    @property
    def data_ranks(self) -> int:
        """How many read different rows of a step."""
        return self.ranks.size // self.ring.size

    @property
    def data_rank(self) -> int:
        """Which of those this one is."""
        return self.ranks.rank // self.ring.size

    def own(self, batches: int) -> range:
        """The numbers of a step's batches that this rank reads.

        Raises:
            ValueError: they do not divide.
        """
        if batches % self.data_ranks:
            raise ValueError(f"{batches} batches of a step over {self.data_ranks} data ranks; want a multiple")
        each = batches // self.data_ranks
        return range(self.data_rank * each, (self.data_rank + 1) * each)

    def summed(self, *numbers: float) -> list[float]:
        """Each number, summed over all ranks. Every rank calls it."""
        if self.ranks.size == 1:
            return [float(number) for number in numbers]
        told = torch.tensor(numbers, dtype=torch.float64, device=self.ranks.device)
        dist.all_reduce(told, group=self.ranks.group)
        return [float(number) for number in told.tolist()]

    def any(self, wanted: bool) -> bool:
        """Whether any rank wants it. Every rank calls it."""
        return self.summed(float(wanted))[0] > 0

    def led(self, do: Callable[[], Found]) -> Found:
        """What the leading rank finds or makes by `do`, on every rank; where it refuses, all do. Every rank calls it.

        Raises:
            LongtakeError: the leading rank's.
        """
        if self.ranks.size == 1:
            return do()
        told: list[Any] = [None, None]
        if self.leads:
            try:
                told[0] = do()
            except LongtakeError as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0, group=self.ranks.group)
        if told[1] is not None:
            raise told[1]
        found: Found = told[0]
        return found

    def told(self, mine: Found) -> list[Found]:
        """What each rank has, in their order. Every rank calls it."""
        if self.ranks.size == 1:
            return [mine]
        everybodys: list[Any] = [None] * self.ranks.size
        dist.all_gather_object(everybodys, mine, group=self.ranks.group)
        return everybodys

    def wait(self) -> None:
        """Until every rank is here."""
        if self.ranks.size > 1:
            dist.barrier(group=self.ranks.group)

    def average(self, module: nn.Module) -> None:
        """Make the gradients of `module`, and its running statistics, the mean of all ranks'. Sharded ones are so."""
        if self.ranks.size == 1:
            return
        learning = [p for p in module.parameters() if p.requires_grad and not isinstance(p, DTensor)]
        if self.hold != "whole" and not learning:
            return
        # Where no rank has a gradient there must be none: an optimiser leaves such a parameter as it is.
        has = torch.tensor([float(parameter.grad is not None) for parameter in learning], device=self.ranks.device)
        dist.all_reduce(has, group=self.ranks.group)
        told: list[torch.Tensor] = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        for parameter, ranks in zip(learning, has.tolist(), strict=True):
            if ranks:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                told.append(parameter.grad)
        for some in _handfuls(told):
            self._average(some)

    def _average(self, some: list[torch.Tensor]) -> None:
        flat = torch.cat([tensor.detach().flatten().float() for tensor in some])
        dist.all_reduce(flat, group=self.ranks.group)
        flat /= self.ranks.size
        for tensor, mean in zip(some, flat.split([tensor.numel() for tensor in some]), strict=True):
            tensor.detach().copy_(mean.view_as(tensor))


ONE = Spread()
"""A stage of one process."""


def hold_of(weights: Literal["auto", "whole", "sharded", "aside"], ranks: Ranks, *, whole: bool) -> Hold:
    """How ranks hold parameters where a recipe says `weights`.

    Args:
        whole: something wants them whole, where the recipe leaves it open.

    Raises:
        LongtakeError: `usage.bad_option` for weights aside where torch was not told of any ranks.
    """
    if weights == "auto":
        return "sharded" if ranks.size > 1 and not whole else "whole"
    if weights == "aside" and ranks.group is None:
        reason, advice = (
            "only ranks put weights aside, and one may do so alone",
            "start it by torchrun --nproc-per-node 1",
        )
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "weights = aside", reason, advice)
    return weights if ranks.group is not None else "whole"


def spread_over(ranks: Ranks, *, ring: int, hold: Hold) -> Spread:
    """The spread of a stage over `ranks`, of which `ring` that stand side by side read the same rows.

    Raises:
        LongtakeError: `usage.bad_option` where rings do not divide the ranks.
    """
    if ring < 1 or ranks.size % ring:
        reason = f"{ranks.size} ranks make no rings of {ring}"
        advice = "start a multiple of it by torchrun --nproc-per-node, or take --ring 1"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--ring {ring}", reason, advice)
    alone = Ranks(0, 1, ranks.device)
    if ranks.group is None:
        return Spread(ranks, alone)
    line = init_device_mesh(ranks.device.type, (ranks.size,), mesh_dim_names=("ranks",))
    if ring == 1:
        return Spread(ranks, alone, hold, line)
    both = init_device_mesh(ranks.device.type, (ranks.size // ring, ring), mesh_dim_names=("data", "ring"))
    own = Ranks(ranks.rank % ring, ring, ranks.device, both["ring"].get_group())
    return Spread(ranks, own, hold, line)


@contextmanager
def heard(spread: Spread, subject: str) -> Iterator[None]:
    """Tells as `ranks.lost` what torch says inside when another rank is no longer there."""
    try:
        yield
    except RuntimeError as error:
        if spread.ranks.size == 1 or not tells_of_others(error):
            raise
        reason = f"another of the {spread.ranks.size} ranks has ended, or cannot be reached"
        advice = "look at what ended it: often memory that ran out; the same command goes on from the last checkpoint"
        raise LongtakeError(ErrorCode.RANKS_LOST, subject, reason, advice) from error


def _handfuls(tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The tensors in order, in lists of about NUMBERS_AT_ONCE numbers."""
    lists: list[list[torch.Tensor]] = []
    waiting = 0
    for tensor in tensors:
        if not lists or waiting + tensor.numel() > NUMBERS_AT_ONCE:
            lists.append([])
            waiting = 0
        lists[-1].append(tensor)
        waiting += tensor.numel()
    return lists
