"""video/structure/cutting: an open file in, the end that its container announces out. Knows no packets.

A file that was cut off while it was copied still says in its outermost boxes how long it was to be. Decoders do not
look: they stop where the bytes do, and a sampler would spread its frames over the part that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from longtake.video.structure import matroska

_UNKNOWN_32 = 0xFFFFFFFF
_MP4_BOXES = frozenset(b"ftyp moov mdat free skip wide uuid moof mfra sidx styp meta pnot pdin ssix emsg prft".split())
_MOST_BOXES = 1 << 10
_EBML = b"\x1a\x45\xdf\xa3"


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
        return matroska.announced_end(file)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi_end(file, size)
    return None


def names_other_file(file: BinaryIO, size: int) -> bool:
    """Whether an MP4 or QuickTime file says that the samples of a track lie in another file or at an address.

    An entry of a data reference box that is not flagged as "in this file" names one (ISO/IEC 14496-12, 8.7.2).
    """
    file.seek(0)
    if file.read(12)[4:8] not in _MP4_BOXES:
        return False
    spans = _boxes_in(file, [(0, size)], b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    # Behind the version, flags and count of the data reference box follow its entries.
    entries = [span for start, end in spans for span in _boxes_within(file, (start + 8, end))]
    return any(_refers_elsewhere(file, start, end) for start, end in entries)


@dataclass(frozen=True)
class Mp4Index:
    """What the index of an MP4 file says of one track.

    Attributes:
        samples: how many the sample size box lists (ISO/IEC 14496-12, 8.7.3); None without one.
        timescale: units of its times in a second (8.4.2); None where it is not said.
    """

    samples: int | None
    timescale: int | None


def mp4_index(file: BinaryIO, size: int, track: int) -> Mp4Index | None:
    """What is said of the track of that number; None in a file without, or of another kind."""
    file.seek(0)
    if file.read(12)[4:8] not in _MP4_BOXES:
        return None
    for trak in _boxes_in(file, [(0, size)], b"moov", b"trak"):
        headers = [_after_two_times(file, *span) for span in _boxes_within(file, trak, b"tkhd")]
        if track in headers:
            media = [_after_two_times(file, *span) for span in _boxes_in(file, [trak], b"mdia", b"mdhd")]
            return Mp4Index(_listed_samples(file, trak), media[0] if media else None)
    return None


def _after_two_times(file: BinaryIO, start: int, end: int) -> int:
    """The number behind version, flags and two times: a track's number in its header, units a second in its media's."""
    file.seek(start)
    header = file.read(min(end - start, 24))
    place = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[place : place + 4], "big")


def _listed_samples(file: BinaryIO, trak: tuple[int, int]) -> int | None:
    tables = _boxes_in(file, [trak], b"mdia", b"minf", b"stbl")
    for kind in (b"stsz", b"stz2"):
        for start, _ in _boxes_in(file, tables, kind):
            file.seek(start + 8)
            return int.from_bytes(file.read(4), "big")
    return None


def _boxes_in(file: BinaryIO, spans: list[tuple[int, int]], *kinds: bytes) -> list[tuple[int, int]]:
    """Start and end of what is in the boxes that one comes to by way of `kinds`, one within the other."""
    for kind in kinds:
        spans = [span for outer in spans for span in _boxes_within(file, outer, kind)]
    return spans


def _boxes_within(file: BinaryIO, span: tuple[int, int], kind: bytes | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of what is in each box of that kind (None: of any) directly within `span`."""
    position, end = span
    for _ in range(_MOST_BOXES):
        file.seek(position)
        header = file.read(16)
        box_bytes, header_bytes = int.from_bytes(header[:4], "big"), 8
        if box_bytes == 1:
            box_bytes, header_bytes = int.from_bytes(header[8:], "big"), 16
        if len(header) < 8 or not header_bytes <= box_bytes <= end - position:
            return
        if kind is None or header[4:8] == kind:
            yield position + header_bytes, position + box_bytes
        position += box_bytes


def _refers_elsewhere(file: BinaryIO, start: int, end: int) -> bool:
    """Some writers forget the flag, but then they give no name."""
    file.seek(start)
    flags = int.from_bytes(file.read(4), "big")
    return not flags & 1 and bool(file.read(min(end - start - 4, _MOST_BOXES)).strip(b"\0"))


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
