"""cli/progress: what is done of what, drawn as bars on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""

_STEP_S = 0.05


@contextmanager
def bars(*, wanted: bool) -> Iterator[Progress]:
    """Draw one bar for each stage that is told of; nothing where unwanted or where standard error is no terminal."""
    if not (wanted and sys.stderr is not None and sys.stderr.isatty()):
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        tasks = {}
        told_s: dict[str, float] = {}

        def advance(stage: str, done: int, total: int) -> None:
            # Some stages count packets by the million.
            now_s = time.monotonic()
            if done < total and now_s - told_s.get(stage, 0.0) < _STEP_S:
                return
            told_s[stage] = now_s
            if stage not in tasks:
                tasks[stage] = drawn.add_task(stage, total=total)
            drawn.update(tasks[stage], completed=done, total=total)

        yield advance
