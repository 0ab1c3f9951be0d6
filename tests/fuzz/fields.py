"""fuzz/fields: the bytes of a sound video in, where its container keeps numbers, names and whole elements out.

Just enough of each format to hit what a parser believes; a sound file is expected, and what is not understood is left
to the mutators that know no format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_MP4_PARENTS = frozenset(b"moov trak mdia minf stbl edts dinf moof traf mvex udta".split())
_MP4_TABLES = frozenset(
    b"stts ctts stss stsz stco co64 stsc elst trun tfhd tfdt mvhd tkhd mdhd hdlr stsd mfhd trex mehd sidx dref".split()
)
_EBML_PARENTS = {
    0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB,
    0xB7, 0x55B0, 0x6D80,
}  # fmt: skip
_EBML_BLOCKS = {0xA3, 0xA1}
TS_BYTES = 188
M2TS_BYTES = 192
"""With a time of arrival before each packet."""


@dataclass
class Fields:
    """Places in a file.

    Attributes:
        numbers: (at, bytes) of sizes, counts, offsets, times, flags.
        names: (at, bytes) of four-letter codes, ids and start codes.
        elements: (start, end) of boxes, chunks, packets, header included.
    """

    numbers: list[tuple[int, int]] = field(default_factory=list)
    names: list[tuple[int, int]] = field(default_factory=list)
    elements: list[tuple[int, int]] = field(default_factory=list)


Finder = Callable[[bytes, Fields], None]


def fields_of(data: bytes) -> Fields:
    """The fields of `data`, by what its first bytes say it is; else the start codes that are in it."""
    found = Fields()
    finders = (finder for fits, finder in _FORMATS if fits(data))
    next(finders, _start_codes)(data, found)
    if not found.elements:
        _start_codes(data, found)
    return found


def _all(walk: Callable[[bytes, int, int, Fields], None]) -> Finder:
    return lambda data, found: walk(data, 0, len(data), found)


def _mp4(data: bytes, first: int, last: int, found: Fields) -> None:
    while first + 8 <= last:
        size, kind = int.from_bytes(data[first : first + 4], "big"), data[first + 4 : first + 8]
        end = min(last, first + size) if size >= 8 else last
        found.numbers.append((first, 4))
        found.names.append((first + 4, 4))
        found.elements.append((first, end))
        if kind in _MP4_PARENTS:
            _mp4(data, first + 8, end, found)
        elif kind in _MP4_TABLES:
            found.numbers += [(at, 4) for at in range(first + 8, min(end - 3, first + 8 + 4 * 80), 4)]
        if kind == b"stsd":
            found.numbers += [(at, 2) for at in range(first + 24, end - 1, 2)]
        first = end


def _ebml(data: bytes, first: int, last: int, found: Fields) -> None:
    while first < last:
        id_bytes = _length(data, first)
        size_bytes = _length(data, first + id_bytes) if id_bytes else 0
        if not id_bytes or not size_bytes:
            return
        kind = int.from_bytes(data[first : first + id_bytes], "big")
        start = first + id_bytes + size_bytes
        raw = data[first + id_bytes : start]
        size = int.from_bytes(raw, "big") & ((1 << 7 * size_bytes) - 1)
        end = last if size == (1 << 7 * size_bytes) - 1 else min(last, start + size)
        found.names.append((first, id_bytes))
        found.numbers.append((first + id_bytes, size_bytes))
        found.elements.append((first, end))
        if kind in _EBML_PARENTS:
            _ebml(data, start, end, found)
        elif kind in _EBML_BLOCKS:
            found.numbers += [(start, 1), (start + 1, 2), (start + 3, 1)]
        elif 0 < end - start <= 8:
            found.numbers.append((start, end - start))
        first = end


def _length(data: bytes, at: int) -> int:
    """Bytes of the variable-length integer at `at` (RFC 8794, section 4); 0 where there is none."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0


def _riff(data: bytes, first: int, last: int, found: Fields) -> None:
    while first + 8 <= last:
        kind, size = data[first : first + 4], int.from_bytes(data[first + 4 : first + 8], "little")
        end = min(last, first + 8 + size)
        found.names.append((first, 4))
        found.numbers.append((first + 4, 4))
        found.elements.append((first, end))
        if kind in (b"RIFF", b"LIST"):
            found.names.append((first + 8, 4))
            _riff(data, first + 12, end, found)
        elif kind in (b"avih", b"strh", b"strf", b"idx1", b"indx", b"dmlh") or kind[:2] == b"ix":
            found.numbers += [(at, 4) for at in range(first + 8, min(end - 3, first + 8 + 4 * 120), 4)]
        first = end + (end - first) % 2


def _transport(data: bytes, found: Fields, first: int, step: int) -> None:
    for at in range(first, len(data) - TS_BYTES + 1, step):
        found.elements.append((at, at + TS_BYTES))
        found.names.append((at, 1))
        found.numbers += [(at + 1, 2), (at + 3, 1)]
        payload = at + 4
        if data[at + 3] & 0x20:
            found.numbers += [(at + 4, 1), (at + 5, 1), (at + 6, 6)]
            payload += 1 + data[at + 4]
        if data[at + 1] & 0x40 and payload + 19 < at + TS_BYTES:
            # A packet of a stream starts here, or a table: lengths, flags and times stand in its first bytes.
            found.numbers += [(payload + place, 1) for place in range(14)] + [(payload + 9, 5), (payload + 14, 5)]


def _ogg(data: bytes, found: Fields) -> None:
    at = data.find(b"OggS")
    while at >= 0:
        behind = data.find(b"OggS", at + 4)
        found.elements.append((at, behind if behind >= 0 else len(data)))
        found.names.append((at, 4))
        found.numbers += [(at + 4, 1), (at + 5, 1), (at + 6, 8), (at + 14, 4), (at + 18, 4), (at + 22, 4), (at + 26, 1)]
        at = behind


def _flash(data: bytes, found: Fields) -> None:
    at = 9
    found.numbers += [(4, 1), (5, 4)]
    while at + 15 < len(data):
        size = int.from_bytes(data[at + 5 : at + 8], "big")
        found.numbers += [(at, 4), (at + 5, 3), (at + 8, 3), (at + 11, 1), (at + 12, 3), (at + 16, 1), (at + 17, 3)]
        found.names += [(at + 4, 1), (at + 15, 1)]
        found.elements.append((at, min(len(data), at + 15 + size)))
        at += 15 + size


def _png(data: bytes, found: Fields) -> None:
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.numbers.append((at, 4))
        found.names.append((at + 4, 4))
        found.numbers += [(place, 4) for place in range(at + 8, min(at + 8 + size, at + 40) - 3, 4)]
        found.elements.append((at, min(len(data), at + 12 + size)))
        at += 12 + size


def _ivf(data: bytes, found: Fields) -> None:
    found.numbers += [(6, 2), (12, 2), (14, 2), (16, 4), (20, 4), (24, 4)]
    at = 32
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.numbers += [(at, 4), (at + 4, 8)]
        found.elements.append((at, min(len(data), at + 12 + size)))
        at += 12 + size


def _mxf(data: bytes, found: Fields) -> None:
    at = data.find(b"\x06\x0e\x2b\x34")
    while at >= 0:
        behind = data.find(b"\x06\x0e\x2b\x34", at + 4)
        found.elements.append((at, behind if behind >= 0 else len(data)))
        found.names += [(at + 4, 4), (at + 12, 4)]
        found.numbers += [(at + 16, 4), (at + 20, 4), (at + 24, 8)]
        at = behind


def _asf(data: bytes, first: int, last: int, found: Fields) -> None:
    while first + 24 <= last:
        size = int.from_bytes(data[first + 16 : first + 24], "little")
        end = min(last, first + size) if size >= 24 else last
        found.names.append((first, 16))
        found.numbers += [(first + 16, 8), *((at, 4) for at in range(first + 24, min(end - 3, first + 24 + 160), 4))]
        found.elements.append((first, end))
        if data[first : first + 4] == b"\x30\x26\xb2\x75":
            _asf(data, first + 30, end, found)
        first = end


def _start_codes(data: bytes, found: Fields) -> None:
    """Of H.26x, MPEG and raw streams: a unit starts behind 00 00 01."""
    starts = list(_found(data, b"\0\0\1"))
    for start, behind in zip(starts, [*starts[1:], len(data)], strict=False):
        found.elements.append((start, behind))
        found.names.append((start + 3, 1))
        found.numbers += [(start + 4, 1), (start + 4, 2), (start + 6, 4)]


def _found(data: bytes, wanted: bytes) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Finder], ...] = (
    (lambda data: data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"), _all(_mp4)),
    (lambda data: data[:4] == b"\x1a\x45\xdf\xa3", _all(_ebml)),
    (lambda data: data[:4] == b"RIFF", _all(_riff)),
    (lambda data: data[:1] == b"G" == data[TS_BYTES : TS_BYTES + 1], lambda *given: _transport(*given, 0, TS_BYTES)),
    (lambda data: data[4:5] == b"G" == data[196:197], lambda *given: _transport(*given, 4, M2TS_BYTES)),
    (lambda data: data[:4] == b"OggS", _ogg),
    (lambda data: data[:3] == b"FLV", _flash),
    (lambda data: data[:8] == b"\x89PNG\r\n\x1a\n", _png),
    (lambda data: data[:4] == b"DKIF", _ivf),
    (lambda data: data[:4] == b"\x06\x0e\x2b\x34", _mxf),
    (lambda data: data[:4] == b"\x30\x26\xb2\x75", _all(_asf)),
)
