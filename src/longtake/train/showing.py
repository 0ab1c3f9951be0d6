"""train/showing: how far a training is, on standard error; and a stop that leaves everything in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0
"""Where standard error is no terminal, a line is written this often instead of a bar."""

Heard = Callable[[int, float | None], bool]
"""Called with steps done and loss, None for what has none; true asks the training to stop."""


class Teller:
    """Says what is going on, or nothing at all if it is quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
        self._drawn = not quiet and self._console.is_terminal
        self._told_s = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False)

    @contextmanager
    def stage(self, name: str, steps: int, stop: Callable[[], bool]) -> Iterator[Heard]:
        """Shows the steps of one stage; the loss shown is that of the last ten or so, as a moving average."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, disable=not self._drawn) as bars:
            task = bars.add_task(name, total=steps)
            total, weight = 0.0, 0.0

            def hear(done: int, loss: float | None) -> bool:
                nonlocal total, weight
                if loss is not None:
                    # Over its weight: else the first loss would count for ten.
                    total, weight = 0.9 * total + 0.1 * loss, 0.9 * weight + 0.1
                told = f"recent loss {total / weight:.3f}" if weight else ""
                bars.update(task, completed=done, description=f"{name}  {told}")
                if not self._drawn and (done == steps or time.monotonic() - self._told_s > LINE_EVERY_S):
                    self._told_s = time.monotonic()
                    self.say(f"{name}: step {done:,} of {steps:,}{', ' if told else ''}{told}")
                return stop()

            yield hear


@contextmanager
def stop_between_steps() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only makes what is yielded say true; a second one stops at once as ever.

    Only the main thread hears signals; elsewhere Ctrl-C is as ever.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def hear(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
