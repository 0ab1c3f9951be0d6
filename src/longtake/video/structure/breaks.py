"""video/structure/breaks: where the structure of a container is broken, and the bytes in which that is looked for."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

_WINDOW_BYTES = 1 << 20

Kind = Literal["structure", "checksum", "end", "open"]
"""Parts do not join; they do, but a checksum says that bytes in them were changed; the file ends inside a part; it ends
behind a whole part, and yet nothing says that this is the end."""


@dataclass(frozen=True)
class Break:
    """A stretch of a file that cannot be trusted.

    Attributes:
        start: byte at which the last part begins before the structure fails: its length may be what is wrong.
        end: byte from which the structure is sound again; `start` where something is missing between two sound parts.
    """

    start: int
    end: int
    kind: Kind = "structure"


class Window:
    """The bytes of a file, a part of them in memory. Not mapped: a file that shrinks would end the process.

    `heard` is told of each part that is read: how many bytes of the file lie before it.
    """

    def __init__(self, file: BinaryIO, size: int, heard: Callable[[int], None]) -> None:
        self.size, self._file, self._heard = size, file, heard
        self._start, self._bytes = 0, b""

    def at(self, position: int, count: int) -> bytes:
        """`count` bytes from there on, fewer at the end of the file."""
        offset = position - self._start
        if offset < 0 or offset + count > len(self._bytes):
            self._heard(position)
            self._file.seek(position)
            self._start, offset = position, 0
            self._bytes = self._file.read(max(count, _WINDOW_BYTES))
        return self._bytes[offset : offset + count]

    def find(self, pattern: re.Pattern[bytes], start: int, longest: int) -> int:
        """Where the first match begins at or behind `start`, or the end; a match has at most `longest` bytes."""
        while start < self.size:
            part = self.at(start, min(_WINDOW_BYTES, self.size - start))
            found = pattern.search(part)
            if found:
                return start + found.start()
            start += max(len(part) - longest + 1, 1)
        return self.size

    def crc32(self, start: int, end: int) -> int:
        """Of the bytes from `start` to `end`, as in zlib."""
        crc = 0
        for position in range(start, end, _WINDOW_BYTES):
            crc = zlib.crc32(self.at(position, min(_WINDOW_BYTES, end - position)), crc)
        return crc
