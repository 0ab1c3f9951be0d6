"""parallel/seats: one process in; it and others that it starts beside it, joined, out. Knows no model and no work.

On one machine torch.multiprocessing starts the others, and this process is the first: it keeps its terminal, its exit
status and its Ctrl-C, and the others say nothing. Who needs several machines starts all of them by torchrun.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch exports it without saying so
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel.joining import is_started, joined
from longtake.parallel.talking import Talk, lost

HOST = "127.0.0.1"
LOOK_S = 0.05
"""How often the others are looked after while they start."""
GIVEN_UP_S = 5.0
"""So long a thread may take to notice that nobody will come."""
LAST_WORDS_S = 30.0
"""So long one that has ended may take until the system tells how."""

Work = Callable[[Talk], None]
"""What all but the first do; of a module's top level, so that another process finds it."""


def started_size() -> int:
    """How many processes torchrun has started; 1 where it has not."""
    return int(os.environ["WORLD_SIZE"]) if is_started() else 1


@contextmanager
def company(work: Work, size: int, device: torch.device) -> Iterator[Talk]:
    """Inside, this process is the first of `size`, and all others do `work`; where torchrun has started them already,
    it only joins them.

    Args:
        work: what the others do; it ends when the first tells them to.
        size: how many processes.
        device: of which kind; each has a graphics card of its own, or its share of the processor's threads.

    Raises:
        LongtakeError: `ranks.lost`, with what is known of why, if one of the others ends before this one.
    """
    if is_started():
        with joined(device, ranks=size) as ranks:
            yield Talk.among(ranks)
        return
    meeting = [TCPStore(HOST, 0, size, is_master=True, wait_for_workers=False)]
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": HOST, "MASTER_PORT": str(meeting[0].port)}
    # The system has chosen the port, and whoever joins finds somebody there already.
    place["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    before = torch.get_num_threads()
    threads = max(1, before // size)
    with _deaf_children():
        # Daemons, so that none outlives this process whatever ends it.
        others = start_processes(
            _seated, (work, place, threads, device.type), nprocs=size - 1, join=False, daemon=True, start_method="spawn"
        )
    try:
        torch.set_num_threads(threads)
        with ExitStack() as stack:
            stack.enter_context(_environment({**place, "RANK": "0", "LOCAL_RANK": "0"}))
            joining = _Joining(lambda: Talk.among(stack.enter_context(joined(device, ranks=size))), meeting.clear)
            yield joining.while_they_live(others)
        others.join(LAST_WORDS_S)
    except LongtakeError as error:
        if error.code is ErrorCode.RANKS_LOST:
            _raise_why(others)
        raise
    finally:
        torch.set_num_threads(before)
        for process in others.processes:
            process.kill()
            process.join()


def _seated(index: int, work: Work, place: Mapping[str, str], threads: int, kind: str) -> None:
    """What another process does from its first to its last."""
    # Ctrl-C reaches all of a terminal's processes; the first says what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.environ.get("LONGTAKE_TRACEBACK") != "1":
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    rank = str(index + 1)
    os.environ.update({**place, "RANK": rank, "LOCAL_RANK": rank})
    torch.set_num_threads(threads)
    with joined(torch.device(kind), ranks=int(place["WORLD_SIZE"])) as ranks:
        work(Talk.among(ranks))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that are started inside never hear Ctrl-C, not even while they begin; this one hears it behind."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Whoever starts a process first starts this one too, which would let signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Joining:
    """What waits for other processes, and hears nothing of one that ends meanwhile; so a thread does it.

    Attributes:
        join: that, until all are there.
        give_up: takes away what `join` waits at, so that it fails.
    """

    join: Callable[[], Talk]
    give_up: Callable[[], None]
    _joined: Future[Talk] = field(default_factory=Future)

    def while_they_live(self, others: ProcessContext) -> Talk:
        """What `join` comes to.

        Raises:
            LongtakeError: `ranks.lost` if one of the others ends before.
        """
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                with _told_why():
                    others.join(LOOK_S)
        except BaseException:
            # A thread that comes back while Python ends would abort it.
            self.give_up()
            thread.join(GIVEN_UP_S)
            raise
        return self._joined.result(0)

    def _work(self) -> None:
        try:
            self._joined.set_result(self.join())
        except (LongtakeError, RuntimeError, OSError) as error:
            self._joined.set_exception(error)


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    """Inside, this process is told so much; torch reads it when processes join."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _raise_why(others: ProcessContext) -> None:
    """Say how one of the others ended, if the system tells in time."""
    until_s = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < until_s:
        with _told_why():
            if others.join(LOOK_S):
                return


@contextmanager
def _told_why() -> Iterator[None]:
    """Tells in one line what torch knows of a process that has failed."""
    try:
        yield
    except ProcessExitedException as error:
        how = f"by {error.signal_name}" if error.signal_name else f"with status {error.exit_code}"
        raise lost(f"rank {error.error_index + 1} has ended {how}") from None
    except ProcessRaisedException as error:
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        with contextlib.suppress(IndexError):
            raise lost(f"rank {error.error_index + 1} has failed: {words[-1]}") from None
        raise lost(f"rank {error.error_index + 1} has failed") from None
