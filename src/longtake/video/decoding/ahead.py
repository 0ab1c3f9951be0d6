"""video/decoding/ahead: an iterator in, the same items out, made in a thread that runs some items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
_LOOK_UP_S = 0.1


class _End:
    """The last thing that a thread hands on: the error that stopped it, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Maker(Generic[Item]):
    """Makes items in a thread and puts them in a queue until it is full, or stopped."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._items = items
        self.waiting: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="longtake-ahead", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Make no more items; returns when the one in the making is done."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        making, end = iter(self._items), _End()
        try:
            for item in making:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001  whatever it is, the consumer gets it
            end = _End(error)
        if isinstance(making, Generator):
            making.close()
        self._put(end)

    def _put(self, thing: Item | _End) -> bool:
        while not self._stopped.is_set():
            try:
                self.waiting.put(thing, timeout=_LOOK_UP_S)
            except queue.Full:
                continue
            return True
        return False


def ahead(items: Iterable[Item], *, depth: int = 2) -> Generator[Item, None, None]:
    """The same items in the same order, while a thread already makes the next; at most `depth` wait.

    FFmpeg and torch release Python's lock while they work, so that reading and encoding overlap. An error comes up
    where its item would have. A consumer that stops early stops the thread after the item that it is making.

    Raises:
        ValueError: if `depth` is not positive.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; want at least 1")
    return _taken(items, depth)


def _taken(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    maker = _Maker(items, depth)
    try:
        while not isinstance(thing := maker.waiting.get(), _End):
            yield thing
        if thing.error is not None:
            raise thing.error
    finally:
        maker.stop()
