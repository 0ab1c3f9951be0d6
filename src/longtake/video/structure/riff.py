"""video/structure/riff: an AVI file in, where its chunks do not join out. Knows nothing of packets or codecs.

    RIFF "AVI " | LIST hdrl | JUNK | LIST movi: 00dc 01wb [LIST "rec "] [ix00] ... | idx1 | RIFF "AVIX" | LIST movi ...

Read as one chain: the lengths of lists that hold frames are not asked, since many writers leave them wrong.
"""

from __future__ import annotations

import re

from longtake.video.structure.breaks import Break, Window

_HEAD_BYTES = 8
_LIST_BYTES = 12
_MOST_HEADER_BYTES = 1 << 20
_FRAME = re.compile(rb"\d\d(?:d[bcdx]|wb|pc|tx|sb|iv|pn)|ix\d\d", re.DOTALL)
_CHUNK_START = re.compile(rb"\d\d(?:d[bc]|wb|pc|tx)|ix\d\d|idx1|JUNK|LIST|RIFF", re.DOTALL)
_ENTERED = frozenset({b"movi", b"rec ", b"AVI ", b"AVIX"})
_PASSED = frozenset({b"JUNK", b"junk", b"idx1", b"LIST", b"RIFF", b"PAD ", b"INFO"})
_ENOUGH = 3
"""So many chunks in a row are no chance."""


def breaks(window: Window) -> list[Break]:
    """Where chunks are damaged, in the order of the file; those that the end of the file cuts off are not told."""
    found: list[Break] = []
    position, before, among_frames = 0, 0, False
    sounds: list[bool] = []
    while position + _HEAD_BYTES <= window.size:
        behind = _next(window, position)
        kind = window.at(position, 4)
        if behind is not None and behind <= window.size + 1:
            if kind == b"LIST" and not among_frames:
                sounds += _sounds(window.at(position, min(behind - position, _MOST_HEADER_BYTES)))
                among_frames = window.at(position + 8, 4) == b"movi"
            if kind[2:] in (b"dc", b"db", b"wb") and not _has(sounds, kind):
                found.append(Break(position, behind))
            before, position = position, behind
            continue
        if not among_frames:
            return found  # a chunk of the header that nobody knows
        after = _next_chain(window, position + 1)
        if after < window.size or behind is None:
            found.append(Break(before, after))
        before, position = after, after
    return found


def _next(window: Window, position: int) -> int | None:
    """Where the chunk behind the one at `position` begins, which for a list of frames is inside; None if it is none."""
    head = window.at(position, _LIST_BYTES)
    kind, length = head[:4], int.from_bytes(head[4:8], "little")
    if kind in (b"LIST", b"RIFF") and head[8:] in _ENTERED:
        return position + _LIST_BYTES
    if kind not in _PASSED and not _FRAME.fullmatch(kind):
        return None
    behind = position + _HEAD_BYTES + length
    # Chunks begin at even bytes; some writers forget that.
    odd = length % 2 and not _is_chunk(window.at(behind, 4))
    return behind + 1 if odd else behind


def _sounds(header: bytes) -> list[bool]:
    """Of each stream whose header is there, whether it is sound."""
    return [one[4:8] == b"auds" for one in header.split(b"strh")[1:]]


def _has(sounds: list[bool], kind: bytes) -> bool:
    """Whether the file has a stream of that number, and sound under the name of sound."""
    number = int(kind[:2])
    return not sounds or (number < len(sounds) and sounds[number] == (kind[2:] == b"wb"))


def _is_chunk(kind: bytes) -> bool:
    return kind in _PASSED or _FRAME.fullmatch(kind) is not None


def _next_chain(window: Window, position: int) -> int:
    while (position := window.find(_CHUNK_START, position, 4)) < window.size:
        behind: int | None = position
        for _ in range(_ENOUGH):
            behind = _next(window, behind) if behind is not None and behind < window.size else behind
        if behind is not None and behind <= window.size + 1:
            return position
        position += 1
    return position
