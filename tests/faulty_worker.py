"""Runs the real worker, but for files whose names ask for a fault: `FAULT@STAGE+COUNT.suffix`.

The fault happens inside decoding, when the file's COUNTth packet of that stage ("scan", "decode") is told of. A file
`FAULT@STAGE+COUNT.at` beside it is then written: when it happened.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

from longtake.video.apart import worker
from longtake.video.apart.wire import Message
from longtake.video.options import Heard

NAME = re.compile(r"(\w+)@(\w+)\+(\d+)")


def sleep() -> None:
    time.sleep(3600)


def spin() -> None:
    """Keeps Python's lock, as a codec may: no other thread runs."""
    sum(range(1 << 62))


def allocate() -> None:
    """Is refused long before a busy machine has cleared so many pages: nobody writes to them."""
    held = []
    while True:
        held.append(bytearray(1 << 24))


def bad_alloc() -> None:
    """What a C++ library does that is refused memory."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n")
    os.abort()


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def abort() -> None:
    os.abort()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os.write(2, b"codec: giving up\n")
    os._exit(3)


def babble() -> None:
    """Writes between the messages, as a worker that was taken over may. It cannot know the descriptor, so to all."""
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    sleep()


def blunder() -> None:
    raise ZeroDivisionError("a mistake of the worker's own")


def slow() -> None:
    time.sleep(0.12)


class FaultyWorker(worker.Worker):
    """Serves as a `Worker` does, until the fault."""

    def _do(self, request: Message) -> None:
        if "path" in request:
            self._path = Path(request["path"])
        super()._do(request)

    def _heard(self, number: int) -> Heard:
        heard, path, counted = super()._heard(number), self._path, 0
        found = NAME.match(path.name)

        def faulty(stage: str, done: int, total: int) -> None:
            nonlocal counted
            heard(stage, done, total)
            if found is not None and stage == found[2]:
                counted += 1
                if counted == int(found[3]) or found[1] == "slow":
                    path.with_suffix(".at").touch()
                    getattr(sys.modules[__name__], found[1])()

        return faulty


if __name__ == "__main__":
    worker.Worker = FaultyWorker
    worker.main()
