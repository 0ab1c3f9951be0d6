"""video/structure/flash: an FLV file in, where its tags do not join out. Knows nothing of packets or codecs.

    header | 0 | tag: kind, length, time, 0, content | length of that tag | tag ...    (Adobe FLV 10.1, annex E)

Some writers get the length behind a tag wrong, so it counts only where the next tag does not begin as one should.
"""

from __future__ import annotations

import re

from longtake.video.structure.breaks import Break, Window

_HEAD_BYTES, _BEHIND_BYTES = 11, 4
_SOUND = 8
_KINDS = frozenset({_SOUND, 9, 18})
_TAG_START = re.compile(rb"[\x08\x09\x12\x28\x29\x32].{7}\0\0\0", re.DOTALL)


def breaks(window: Window) -> list[Break]:
    """Where tags are damaged or cut off, in the order of the file."""
    found: list[Break] = []
    position = int.from_bytes(window.at(5, 4), "big") + _BEHIND_BYTES
    before = position
    sound_kind = b""
    while position < window.size:
        head = window.at(position, _HEAD_BYTES)
        behind = position + _HEAD_BYTES + int.from_bytes(head[1:4], "big") + _BEHIND_BYTES
        sound = len(head) == _HEAD_BYTES and head[0] & 31 in _KINDS and head[0] < 64 and head[8:] == b"\0\0\0"
        if sound and behind <= window.size + _BEHIND_BYTES and _joins(window, behind):
            if head[0] == _SOUND:
                content = window.at(position + _HEAD_BYTES, 1)
                sound_kind = sound_kind or content
                if content != sound_kind:  # pictures under the number of sound
                    found.append(Break(position, behind))
            before, position = position, behind
            continue
        after = _next_tag(window, position + 1)
        if after == window.size and (sound and behind > after or len(head) < _HEAD_BYTES):
            found.append(Break(position, after, "end"))
        else:
            found.append(Break(before, after))
        before, position = after, after
    return found


def _joins(window: Window, behind: int) -> bool:
    """Whether the tag that ends at `behind` is followed by one, by the end, or by its own length."""
    head = window.at(behind, _HEAD_BYTES)
    return len(head) < _HEAD_BYTES or (head[0] & 31 in _KINDS and head[0] < 64 and head[8:] == b"\0\0\0")


def _next_tag(window: Window, position: int) -> int:
    """Where the next tag begins that says the same length in front and behind."""
    while (position := window.find(_TAG_START, position, _HEAD_BYTES)) < window.size:
        length = int.from_bytes(window.at(position + 1, 3), "big") + _HEAD_BYTES
        if window.at(position + length, _BEHIND_BYTES) == length.to_bytes(_BEHIND_BYTES, "big"):
            return position
        position += 1
    return position
