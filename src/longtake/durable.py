"""durable: text in, files that a process which is killed leaves whole out. Knows nothing of what is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from longtake.errors import ErrorCode, LongtakeError, writing

T = TypeVar("T")


@dataclass(frozen=True)
class Appended(Generic[T]):
    """A file to which lines are appended. Made by `appending`.

    Attributes:
        line_of: what is added, as a line with its end.
    """

    path: Path
    file: BinaryIO
    line_of: Callable[[T], str]

    def add(self, what: T) -> None:
        """Hand one line to the system: a process that is killed behind this has lost nothing.

        Raises:
            LongtakeError: `disk.write`; part of the line may be there, and is dropped by whoever reads it.
        """
        rest = memoryview(self.line_of(what).encode())
        with writing(str(self.path)):
            while rest:
                rest = rest[self.file.write(rest) :]

    def settle(self) -> None:
        """Wait until the lines are on the disk: a machine that loses power behind this has lost nothing."""
        with writing(str(self.path)):
            os.fsync(self.file.fileno())


@contextmanager
def appending(path: Path, line_of: Callable[[T], str]) -> Iterator[Appended[T]]:
    """A file, to write lines behind those that are there; it is made if need be.

    Raises:
        LongtakeError: `disk.write`.
    """
    with writing(str(path)):
        file = open(path, "ab", buffering=0)
    with file:
        yield Appended(path, file, line_of)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


@contextmanager
def alone(lock: Path, subject: Path, reason: str, advice: str) -> Iterator[None]:
    """Keeps out other processes that hold to the same lock; the system lets go where this one dies.

    Args:
        lock: the file that stands for it.
        subject: what is refused to who comes second, with reason and advice.

    Raises:
        LongtakeError: `usage.bad_option` where another process is at it; `disk.write`.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock, timeout=0)
    with writing(str(subject)):
        try:
            held.acquire()
        except Timeout as error:
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(subject), reason, advice) from error
    try:
        yield
    finally:
        held.release()
