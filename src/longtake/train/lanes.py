"""train/lanes: jobs in, each lane of them run in a process of its own with a bar for every stage. Knows no stage."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from longtake.errors import ErrorCode, LongtakeError
from longtake.train.loop import logged

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Tells glibc to reuse the large blocks that every step frees; else the kernel clears 40,000 pages a second anew."""

NOT_FINITE = 3
"""Exit status of a lane whose loss is not finite."""

Job = Callable[[], None]
"""Must be picklable: it runs in a process of its own."""


@dataclass(frozen=True)
class Lane:
    """Jobs that follow one another in one process, and the names under which they log."""

    jobs: tuple[Job, ...]
    stages: tuple[str, ...]


def run_lanes(folder: Path, bars: Progress, *lanes: Lane) -> None:
    """Run the lanes side by side, each with one thread, and show how far the stages' logs in `folder` say they are.

    Raises:
        LongtakeError: `model.nonfinite` if a stage's loss was no longer a number; the other lanes were ended.
        RuntimeError: a lane failed in another way; its own words are on standard error.
    """
    os.environ.update(KEEP_FREED_MEMORY)
    spawn = multiprocessing.get_context("spawn")
    running = [(spawn.Process(target=_alone, args=(lane.jobs,)), lane) for lane in lanes]
    tasks = {name: bars.add_task(name, total=None) for lane in lanes for name in lane.stages}
    for process, _ in running:
        process.start()
    try:
        while any(process.is_alive() for process, _ in running):
            for process, lane in running:
                for name in lane.stages:
                    _show(folder, name, bars, tasks[name])
                _refuse_failed(folder, process.exitcode, lane)
            time.sleep(0.5)
    finally:
        for process, _ in running:
            process.terminate()
            process.join()
    for process, lane in running:
        _refuse_failed(folder, process.exitcode, lane)
        for name in lane.stages:
            bars.update(tasks[name], total=1, completed=1)


def progress_bars(console: Console) -> Progress:
    """A bar with counts and times for each task."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def _refuse_failed(folder: Path, exitcode: int | None, lane: Lane) -> None:
    if exitcode == NOT_FINITE:
        reason = f"the loss in {' or '.join(lane.stages)} was no longer a number"
        raise LongtakeError(ErrorCode.MODEL_NONFINITE, str(folder), reason, "take another --seed and another --output")
    if exitcode:
        raise RuntimeError(f"{', '.join(lane.stages)}: ended with exit status {exitcode}")


def _alone(jobs: tuple[Job, ...]) -> None:
    # Two threads that share a busy machine wait for each other at every step; two processes do not.
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for job in jobs:
            job()
    except FloatingPointError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_FINITE)
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    """A stage whose parent was killed would go on and write beside its successor."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _show(folder: Path, name: str, bars: Progress, task: Any) -> None:
    row = logged(folder, name)
    if row:
        bars.update(task, completed=row["step"], total=row["steps"], description=f"{name}  loss {row['loss']:.3f}")
