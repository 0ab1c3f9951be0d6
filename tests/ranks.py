"""Real processes that talk by gloo: a function of a test module in, what each rank's call returned out."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil
import torch

from longtake.parallel import Ranks
from longtake.parallel.joining import joined
from ports import free_port

PATIENCE_S = 300
"""A rank that hears nothing for so long is held for dead. Not a timed test: a machine at work may be slow."""


def run_ranks(function: Callable[..., Any], size: int, *arguments: Any, joins: bool = True) -> list[Any]:
    """Call `function(ranks, *arguments)` in `size` processes that are joined; their results in order of rank.

    Args:
        function: of a module's top level, so that another process finds it. What it returns is pickled: plain tensors,
            numbers, lists; no tensor that requires a gradient.
        joins: false calls `function(*arguments)` where nobody has joined yet, as torchrun starts a command.

    Raises:
        AssertionError: a rank failed, with its traceback; the others are ended.
    """
    spawn = multiprocessing.get_context("spawn")
    port = free_port()
    pipes, running = [], []
    for rank in range(size):
        mine, theirs = spawn.Pipe(duplex=False)
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        process = spawn.Process(target=_alone, args=(function, arguments, place, theirs, joins), daemon=True)
        process.start()
        theirs.close()
        pipes.append(mine)
        running.append(process)
    try:
        results: dict[int, Any] = {}
        while len(results) < size:
            # Whoever speaks first: one that failed leaves the others waiting.
            speaking = wait([pipe for rank, pipe in enumerate(pipes) if rank not in results], PATIENCE_S)
            assert speaking, f"of {size} ranks only {sorted(results)} said anything"
            results |= {rank: _result(pipe, rank) for rank, pipe in enumerate(pipes) if pipe in speaking}
        return [results[rank] for rank in range(size)]
    finally:
        for process in running:
            process.kill()  # they have left each other before they tell, and a slow way out is nobody's gain
            process.join()


def _result(pipe: Connection, rank: int) -> Any:
    well, told = pickle.loads(pipe.recv_bytes())
    assert well, f"rank {rank}:\n{told}"
    return told


def _alone(
    function: Callable[..., Any], arguments: tuple[Any, ...], place: dict[str, Any], pipe: Connection, joins: bool
) -> None:
    os.environ.update({key: str(value) for key, value in place.items()})
    torch.set_num_threads(1)
    try:
        if joins:
            with joined(torch.device("cpu")) as ranks:
                told = function(ranks, *arguments)
        else:
            told = function(*arguments)
        # In bytes: what `send` does with tensors wants this process alive until they are received.
        pipe.send_bytes(pickle.dumps((True, told)))
    except Exception:  # noqa: BLE001  whatever it is, the parent is told all of it
        pipe.send_bytes(pickle.dumps((False, traceback.format_exc())))


def torchrun(folder: Path, *told: str, ranks: int = 2) -> subprocess.Popen[str]:
    """`longtake TOLD` in `folder` on several ranks."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*start, "-m", "longtake", *told], cwd=folder, env=environment, **piped)


def kill_one(running: subprocess.Popen[str], rank: int, log: Path, rows: int) -> None:
    """Kill one rank of a `torchrun`, as if its machine were gone, once `log` has so many rows."""
    while not log.exists() or len(log.read_text().splitlines()) < rows:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    workers = [child for child in psutil.Process(running.pid).children() if child.environ().get("RANK") == str(rank)]
    workers[0].send_signal(signal.SIGKILL)


def place_of(ranks: Ranks) -> tuple[int, int]:
    """Which rank of how many: the least that a rank can tell."""
    return ranks.rank, ranks.size
