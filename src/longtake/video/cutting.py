"""video/cutting: an open file in, the end that its container announces out. Knows nothing of packets or codecs.

A file that was cut off while it was copied still says in its outermost boxes how long it was to be. Decoders do not
look: they stop where the bytes do, and a sampler would spread its frames over the part that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_UNKNOWN_32 = 0xFFFFFFFF
_MP4_BOXES = frozenset(b"ftyp moov mdat free skip wide uuid moof mfra sidx styp meta pnot pdin ssix emsg prft".split())
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def announced_end(file: BinaryIO, size: int) -> int | None:
    """The byte at which the outermost boxes of an MP4, Matroska or AVI file say that it ends; None if nothing is said.

    Args:
        file: seekable; left anywhere.
        size: of the file, bytes.
    """
    file.seek(0)
    head = file.read(12)
    if head[4:8] in _MP4_BOXES:
        return _mp4_end(file, size)
    if head[:4] == _EBML:
        return _matroska_end(file)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi_end(file, size)
    return None


def mp4_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """The outermost boxes of an MP4 or QuickTime file: kind and end, which may lie past the end of the file."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        box_bytes = int.from_bytes(header[:4], "big")
        if box_bytes == 1:
            box_bytes = int.from_bytes(header[8:], "big")
        if box_bytes == 0:
            box_bytes = size - position
        if box_bytes < 8:
            return
        position += box_bytes
        yield header[4:8], position


def _mp4_end(file: BinaryIO, size: int) -> int | None:
    end = None
    for kind, box_end in mp4_boxes(file, size):
        if kind not in _MP4_BOXES:
            return None
        end = box_end
    return end


def _avi_end(file: BinaryIO, size: int) -> int | None:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(8)
        chunk_bytes = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or chunk_bytes in (0, _UNKNOWN_32):
            return None
        position += 8 + chunk_bytes + chunk_bytes % 2
    return position


def _matroska_end(file: BinaryIO) -> int | None:
    file.seek(len(_EBML))
    header_bytes = _variable_integer(file)
    if header_bytes is None:
        return None
    file.seek(header_bytes, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return None
    segment_bytes = _variable_integer(file)
    return None if segment_bytes is None else file.tell() + segment_bytes


def _variable_integer(file: BinaryIO) -> int | None:
    """One EBML variable-length integer (RFC 8794, section 4); None for "unknown", which is all ones."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value
