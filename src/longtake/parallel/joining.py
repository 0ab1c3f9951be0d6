"""parallel/joining: this process's place among those that torchrun, or whoever else, started, out. Starts none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel import Ranks

PATIENCE = timedelta(minutes=30)
"""How long one rank waits for another before it gives up: a checkpoint of 7B takes minutes to read."""


def is_started() -> bool:
    """Whether this process is one of several that were started together, as torchrun tells it."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def leads() -> bool:
    """Whether this process speaks for all that were started together; true of one alone."""
    return os.environ.get("RANK", "0") == "0"


def alone(command: str) -> None:
    """Refuse what only one process may do.

    Raises:
        LongtakeError: `usage.bad_option` where several were started.
    """
    if is_started() and int(os.environ["WORLD_SIZE"]) > 1:
        reason, advice = (
            f"runs in one process, and {os.environ['WORLD_SIZE']} were started",
            "start it without torchrun",
        )
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, command, reason, advice)


@contextmanager
def joined(device: torch.device, *, ranks: int | None = None) -> Iterator[Ranks]:
    """Join the others, and leave them in the end; alone where nobody started others.

    Args:
        device: of which kind; each rank of a machine with graphics cards takes its own.
        ranks: that are wanted; None takes as many as were started.

    Raises:
        LongtakeError: `usage.bad_option` if another number of them was started.
    """
    size = int(os.environ["WORLD_SIZE"]) if is_started() else 1
    if ranks not in (None, size):
        reason = f"{ranks} ranks are wanted, and {size} of them run"
        advice = f"start it by torchrun --nproc-per-node {ranks}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--ranks", reason, advice)
    if not is_started():
        yield Ranks(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # Gloo also between graphics cards, for what lies in the processor's memory.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device, dist.group.WORLD)
    finally:
        dist.destroy_process_group()
