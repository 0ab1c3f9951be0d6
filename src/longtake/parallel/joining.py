"""parallel/joining: this process's place among those that torchrun, or whoever else, started, out. Starts none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from longtake import started
from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel import Ranks

PATIENCE = timedelta(minutes=30)
"""How long one rank waits for another before it gives up: a checkpoint of 7B takes minutes to read."""


@contextmanager
def joined(device: torch.device, *, ranks: int | None = None) -> Iterator[Ranks]:
    """Join the others, and leave them in the end; alone where nobody started others.

    Args:
        device: of which kind; each rank of a machine with graphics cards takes its own.
        ranks: that are wanted; None takes as many as were started.

    Raises:
        LongtakeError: `usage.bad_option` if another number of them was started.
    """
    size = started.size()
    if ranks not in (None, size):
        reason = f"{ranks} ranks are wanted, and {size} of them run"
        advice = f"start it by torchrun --nproc-per-node {ranks}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--ranks", reason, advice)
    if not started.is_started():
        yield Ranks(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", started.rank_here())
        torch.cuda.set_device(device)
    # Gloo also between graphics cards, for what lies in the processor's memory.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device, dist.group.WORLD)
    finally:
        dist.destroy_process_group()
