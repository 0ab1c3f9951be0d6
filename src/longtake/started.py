"""started: what torchrun tells this process in; its place among those that were started with it out. Starts none."""

from __future__ import annotations

import os

from longtake.errors import ErrorCode, LongtakeError


def is_started() -> bool:
    """Whether this process was started so, be it the only one."""
    return all(os.environ.get(name, "").isdecimal() for name in ("RANK", "WORLD_SIZE"))


def size() -> int:
    """How many were started together; 1 where nobody started others."""
    return int(os.environ["WORLD_SIZE"]) if is_started() else 1


def size_here(otherwise: int) -> int:
    """How many of them on this machine; `otherwise` where nobody says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", otherwise))


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if is_started() else 0


def rank_here() -> int:
    """Which of those on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def leads() -> bool:
    """Whether this process speaks for all that were started together; true of one alone."""
    return rank() == 0


def alone(command: str) -> None:
    """Refuse what only one process may do.

    Raises:
        LongtakeError: `usage.bad_option` where several were started.
    """
    if size() > 1:
        reason, advice = f"runs in one process, and {size()} were started", "start it without torchrun"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, command, reason, advice)
