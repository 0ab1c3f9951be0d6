"""judges.crew: things to do in, what came of each out, several at once and never more. Knows nothing of judges.

Threads, because all they do is wait for replies. They end with the process: whoever stops it does not wait for replies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Dismissed(Exception):
    """Nobody waits for what was being done."""


class Gate:
    """Holds back all who ask one server while it wants nobody to: what one of them is told, the others heed too."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def wait(self, seconds: float) -> None:
        """Hold everybody, whoever calls first of all, for so long.

        Raises:
            Dismissed: the gate was closed.
        """
        with self._lock:
            self._until_s = max(self._until_s, time.monotonic() + seconds)
        self.hold()

    def hold(self) -> None:
        """Return when the time is over that anybody was told to wait.

        Raises:
            Dismissed: the gate was closed.
        """
        while not self._closed.is_set():
            rest_s = self._until_s - time.monotonic()
            if rest_s <= 0:
                return
            self._closed.wait(rest_s)
        raise Dismissed

    def close(self) -> None:
        """Nobody passes any more."""
        self._closed.set()


class Crew(Generic[Task, Outcome]):
    """So many threads that do one kind of thing."""

    def __init__(self, work: Callable[[Task], Outcome], size: int) -> None:
        self._work, self._size, self.flying = work, size, 0
        self._tasks: SimpleQueue[tuple[Task] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Outcome] | BaseException] = SimpleQueue()
        for _ in range(size):
            threading.Thread(target=self._serve, name="longtake-judge", daemon=True).start()

    @property
    def has_room(self) -> bool:
        """Whether somebody has nothing to do."""
        return self.flying < self._size

    def give(self, task: Task) -> None:
        """Have something done."""
        self.flying += 1
        self._tasks.put((task,))

    def take(self) -> Outcome:
        """What came of the next thing that is done; whatever was raised there is raised here."""
        outcome = self._done.get()
        self.flying -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome[0]

    def dismiss(self) -> None:
        """Nothing more is to be done; what is being done is nobody's business any more."""
        for _ in range(self._size):
            self._tasks.put(None)

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._done.put((self._work(task[0]),))
            except BaseException as error:  # noqa: BLE001  whatever it is, who takes gets it
                self._done.put(error)
