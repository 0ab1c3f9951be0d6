"""video/structure/matroska: a Matroska or WebM file in, where its elements do not join out. Knows no packets.

    EBML header | Segment: SeekHead Info Tracks | Cluster: [CRC-32] Timestamp SimpleBlock ... | Cluster ... | Cues

RFC 9559 (Matroska) and RFC 8794 (EBML). A cluster whose own checksum is right is not looked into. Behind damage the
next cluster is where the structure is found again; FFmpeg goes on there too, and says nothing of what it passed over.
A flipped track number of one block is found, a flipped time of one is not.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from longtake.video.structure.breaks import Break, Window

EBML, SEGMENT = 0x1A45DFA3, 0x18538067
_CLUSTER, _TRACKS = 0x1F43B675, 0x1654AE6B
_CRC_32, _VOID = 0xBF, 0xEC
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_TRACK_ENTRY, _TRACK_NUMBER = 0xAE, 0xD7
_TOP = frozenset(
    {EBML, SEGMENT, _CLUSTER, _TRACKS, 0x114D9B74, 0x1549A966, 0x1043A770, 0x1C53BB6B, 0x1941A469, 0x1254C367}
)
"""EBML header, Segment, and what a Segment holds (SeekHead, Info, Chapters, Cues, Attachments, Tags)."""
_ANYWHERE = frozenset({_CRC_32, _VOID})
_NUMBERS = frozenset({_TIMESTAMP, 0xA7, 0xAB})
"""A cluster's time, its place and the length of the one before; one bit more or less makes a block into one of them."""
_IN_CLUSTER = _ANYWHERE | {_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, 0xA7, 0xAB, 0xAF, 0x5854}
_IN_GROUP = _ANYWHERE | {_BLOCK, 0x9B, 0xFB, 0xFA, 0xA2, 0xA4, 0xFD, 0x75A1, 0x75A2, 0x8E, 0xC8, 0xAF}
_CLUSTER_START = re.compile(rb"\x1f\x43\xb6\x75[\x01-\xff].{0,7}?[\xe7\xbf\xec\xa7\xab]", re.DOTALL)
_START_BYTES, _HEAD_BYTES, _LONGEST_HEAD_BYTES = 13, 16, 12

Element = tuple[int, int, int | None]
"""Its id, the length of its head, and that of its content; None for "unknown". An id of 0 is none."""


def element(head: bytes) -> Element:
    """The id and the lengths of the element that begins with `head` (RFC 8794, sections 4 to 6)."""
    id_bytes = 9 - head[0].bit_length() if head else 9
    if id_bytes > 4 or len(head) <= id_bytes or not head[id_bytes]:
        return 0, 0, 0
    head_bytes = id_bytes + 9 - head[id_bytes].bit_length()
    mask = (1 << 7 * (head_bytes - id_bytes)) - 1
    content = int.from_bytes(head[id_bytes:head_bytes], "big") & mask
    return int.from_bytes(head[:id_bytes], "big"), head_bytes, None if content == mask else content


def announced_end(file: BinaryIO) -> int | None:
    """The byte at which the Segment says that it ends; None if it does not say."""
    file.seek(0)
    kind, head_bytes, content = element(file.read(_HEAD_BYTES))
    if kind != EBML or content is None:
        return None
    start = head_bytes + content
    if start > file.seek(0, 2):
        return None  # to go further than any file can be long is refused by the system
    file.seek(start)
    kind, head_bytes, content = element(file.read(_HEAD_BYTES))
    return None if kind != SEGMENT or content is None else start + head_bytes + content


def breaks(window: Window) -> list[Break]:
    """Where the elements of a Matroska file do not join, in the order of the file."""
    return _Walk(window).breaks()


class _Walk:
    def __init__(self, window: Window) -> None:
        self._window = window
        self._tracks: set[int] = set()
        self._breaks: list[Break] = []
        self._segment_end: int | None = None
        self._last_block, self._last_block_end = 0, 0

    def breaks(self) -> list[Break]:
        position = 0
        while position < self._window.size:
            position = self._pass_top(position)
        return self._breaks

    def _pass_top(self, start: int) -> int:
        """The end of the element at `start`, which stands in the Segment or outside; that of the file to stop."""
        kind, head_bytes, content = element(self._window.at(start, _HEAD_BYTES))
        inside, end = start + head_bytes, self._window.size
        if kind == SEGMENT:
            self._segment_end = None if content is None else inside + content
            return inside
        if kind == _CLUSTER:
            return self._pass_cluster(start, inside, None if content is None else inside + content)
        # Bytes too many in the last block of a cluster push its end out of the cluster.
        suspect = self._last_block if self._last_block_end == start else start
        if content is not None and inside + content <= end and self._belongs(kind, inside, inside + content):
            if kind == _TRACKS:
                self._tracks |= self._track_numbers(inside, inside + content)
            return inside + content
        if start == self._segment_end:
            return end  # what follows the Segment is no part of it
        if kind in _TOP and start + _HEAD_BYTES < end and content is not None and self._next_cluster(start + 4) == end:
            self._breaks.append(Break(start, end, "end"))
            return end
        return self._broken(suspect, start)

    def _belongs(self, kind: int, inside: int, behind: int) -> bool:
        """Whether it may stand there: what is not known may too, if it joins; but not a cluster under another id."""
        if kind in _TOP or kind in _ANYWHERE:
            return True
        joins = behind == self._window.size or element(self._window.at(behind, _HEAD_BYTES))[0] in _TOP | _ANYWHERE
        return kind > 0 and joins and self._window.at(inside, 1)[:1] not in (b"\xe7", b"\xbf")

    def _pass_cluster(self, start: int, inside: int, end: int | None) -> int:
        if end is not None and end <= self._window.size and self._checksum_is_right(inside, end):
            return end
        before = len(self._breaks)
        behind = self._pass_children(start, inside, end)
        has_checksum = end is not None and self._window.at(inside, 2) == b"\xbf\x84"
        if has_checksum and len(self._breaks) == before and behind == end:
            self._breaks.append(Break(start, end, "checksum"))
        return behind

    def _checksum_is_right(self, inside: int, end: int) -> bool:
        head = self._window.at(inside, 6)
        stored = int.from_bytes(head[2:], "little")
        return head[:2] == b"\xbf\x84" and self._window.crc32(inside + 6, end) == stored

    def _pass_children(self, start: int, inside: int, end: int | None) -> int:
        """The end of a cluster, or of the damage in it."""
        window, position, before = self._window, inside, start
        last = window.size if end is None else min(end, window.size)
        while position < last:
            kind, head_bytes, content = element(window.at(position, _HEAD_BYTES))
            if kind in _TOP:
                if end is not None:
                    self._breaks.append(Break(position, position))
                return position
            behind = last + 1 if content is None else position + head_bytes + content
            if kind not in _IN_CLUSTER or behind > last:
                if kind in _IN_CLUSTER and last == window.size and self._next_cluster(position) == last:
                    self._breaks.append(Break(position, last, "end"))
                    return last
                return self._broken(before, position)
            if not self._holds(kind, position + head_bytes, behind):
                self._breaks.append(Break(position, behind))
            before, position = position, behind
        self._last_block, self._last_block_end = before, position
        return position

    def _holds(self, kind: int, inside: int, end: int) -> bool:
        """Whether a block is of a track that the file has, a group of them holds what it may, a number is no block."""
        if kind == _SIMPLE_BLOCK or kind == _BLOCK:
            number = self._window.at(inside, 2)
            track = number[0] & 0x7F if number[:1] >= b"\x80" else int.from_bytes(number, "big") & 0x3FFF
            return end - inside >= 4 and (not self._tracks or track in self._tracks or number[0] < 0x40)
        if kind == _CRC_32:
            return end - inside == 4
        if kind in _NUMBERS:
            return end - inside <= 8
        if kind != _BLOCK_GROUP:
            return True
        found = False
        while inside < end:
            kind, head_bytes, content = element(self._window.at(inside, _HEAD_BYTES))
            if kind not in _IN_GROUP or content is None or inside + head_bytes + content > end:
                return False
            if kind == _BLOCK:
                found = self._holds(kind, inside + head_bytes, inside + head_bytes + content)
            inside += head_bytes + content
        return found

    def _broken(self, start: int, found: int) -> int:
        """Note a break that begins at `start` and was found at `found`; returns where the next cluster begins."""
        end = self._next_cluster(found + 1)
        cut = end == self._window.size < found + _LONGEST_HEAD_BYTES
        self._breaks.append(Break(found, end, "end") if cut else Break(start, end))
        return end

    def _next_cluster(self, position: int) -> int:
        while (position := self._window.find(_CLUSTER_START, position, _START_BYTES)) < self._window.size:
            kind, head_bytes, content = element(self._window.at(position, _HEAD_BYTES))
            first = self._window.at(position + head_bytes, 1)
            if kind == _CLUSTER and content != 0 and first in (b"\xe7", b"\xbf", b"\xec", b"\xa7", b"\xab"):
                return position
            position += 1
        return position

    def _track_numbers(self, inside: int, end: int) -> set[int]:
        numbers = set()
        while inside < end:
            kind, head_bytes, content = element(self._window.at(inside, _HEAD_BYTES))
            if not kind or content is None:
                return set()  # the damage will be told where it hides frames
            inside += head_bytes
            if kind == _TRACK_NUMBER:
                numbers.add(int.from_bytes(self._window.at(inside, content), "big"))
            inside += 0 if kind == _TRACK_ENTRY else content
        return numbers
