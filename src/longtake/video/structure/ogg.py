"""video/structure/ogg: an Ogg file in, where its pages do not join out. Knows nothing of packets or codecs.

Every page has a checksum and, within its stream, a number (RFC 3533, section 6). FFmpeg drops a page with a wrong
checksum and says nothing.
"""

from __future__ import annotations

import re
import zlib

from longtake.video.structure.breaks import Break, Window

_PAGE_START = re.compile(rb"OggS\0")
_HEAD_BYTES, _MOST_SEGMENTS = 27, 255
_LAST_PAGE = 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def breaks(window: Window) -> list[Break]:
    """Where pages are missing, damaged or cut off, in the order of the file."""
    found: list[Break] = []
    position, page_start = 0, 0
    next_number: dict[int, int] = {}
    unended: set[int] = set()
    while position < window.size:
        behind = _page_end(window, position)
        if behind is None:
            behind = _next_page(window, position + 1)
            cut = (
                behind == window.size
                and window.at(position, 5) == b"OggS\0"
                and _claimed_end(window, position) > behind
            )
            if cut or behind < window.size or unended:
                found.append(Break(page_start, behind, "end" if cut else "structure"))
        else:
            head = window.at(position, _HEAD_BYTES)
            serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
            if next_number.get(serial, number) != number and not (found and found[-1].end == position):
                found.append(Break(page_start, position))
            next_number[serial] = number + 1 & 0xFFFFFFFF
            unended.add(serial)
            if head[5] & _LAST_PAGE:
                unended.discard(serial)
            page_start = position
        position = behind
    if unended and not (found and found[-1].end == window.size):
        found.append(Break(window.size, window.size, "open"))
    return found


def _claimed_end(window: Window, start: int) -> int:
    head = window.at(start, _HEAD_BYTES + _MOST_SEGMENTS)
    if len(head) < _HEAD_BYTES or len(head) < _HEAD_BYTES + head[26]:
        return window.size + 1
    return start + _HEAD_BYTES + head[26] + sum(head[_HEAD_BYTES : _HEAD_BYTES + head[26]])


def _page_end(window: Window, start: int) -> int | None:
    """Where the page that begins at `start` ends; None if there is no whole page."""
    if window.at(start, 5) != b"OggS\0":
        return None
    end = _claimed_end(window, start)
    if end > window.size:
        return None
    page = window.at(start, end - start)
    return end if _checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little") else None


def _checksum(page: bytes) -> int:
    """Ogg's: the polynomial of zlib's with all bits the other way round, and neither start nor end inverted."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(_REVERSED), "big")


def _next_page(window: Window, position: int) -> int:
    while (position := window.find(_PAGE_START, position, 5)) < window.size:
        if _page_end(window, position) is not None:
            return position
        position += 1
    return position
