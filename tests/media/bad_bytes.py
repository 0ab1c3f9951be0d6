"""media/bad_bytes: the bytes of a sound video in, the same bytes cut, overwritten or rearranged out."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import av

from .bad_case import Maker
from .bad_sources import source

Edit = Callable[[bytes], bytes]

_MP4_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"moof", b"traf")
TS_BYTES = 188


def put(data: bytes | Callable[[], bytes]) -> Maker:
    """A maker that writes `data`, or what it gives when it is called."""
    return lambda path: _write(path, data if isinstance(data, bytes) else data())


def edited(name: str, *edits: Edit) -> Maker:
    """A maker that writes the source `name` after the edits, from first to last."""

    def make(path: Path) -> None:
        data = source(name)
        for edit in edits:
            data = edit(data)
        _write(path, data)

    return make


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def cut(share: float) -> Edit:
    """Only the first `share` of the bytes."""
    return lambda data: data[: int(len(data) * share)]


def without_last(count: int) -> Edit:
    """All but the last bytes."""
    return lambda data: data[:-count]


def from_packet(share: float) -> Edit:
    """A transport stream from `share` of it on, whole packets."""
    return lambda data: data[int(len(data) * share) // TS_BYTES * TS_BYTES :]


def zeros(start: float, end: float) -> Edit:
    """Zero bytes from one share of the file to another, as where a download left a hole."""

    def edit(data: bytes) -> bytes:
        first, last = int(len(data) * start), int(len(data) * end)
        return data[:first] + bytes(last - first) + data[last:]

    return edit


def noise(start: float, end: float, *, seed: int = 1) -> Edit:
    """Random bytes from one share of the file to another."""

    def edit(data: bytes) -> bytes:
        first, last = int(len(data) * start), int(len(data) * end)
        return data[:first] + random.Random(seed).randbytes(last - first) + data[last:]

    return edit


def swapped(old: bytes, new: bytes, *, count: int = -1) -> Edit:
    """`new` in place of `old`, which must be there; both of one length, so that no offset moves."""

    def edit(data: bytes) -> bytes:
        assert old in data and len(old) == len(new)
        return data.replace(old, new, count)

    return edit


def box(data: bytes, *path: bytes) -> tuple[int, int]:
    """Start and end of the first MP4 box at `path`, such as (b"moov", b"trak"), its header included."""
    first, last = 0, len(data)
    for depth, wanted in enumerate(path):
        while first < last:
            size = int.from_bytes(data[first : first + 4], "big")
            size = int.from_bytes(data[first + 8 : first + 16], "big") if size == 1 else size or last - first
            if data[first + 4 : first + 8] == wanted:
                break
            first += max(8, size)
        else:
            raise AssertionError(f"no box {wanted!r}")
        if depth + 1 < len(path):
            first, last = first + 8, first + size
    return first, first + size


STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def in_box(path: Iterable[bytes], offset: int, new: bytes) -> Edit:
    """`new` written `offset` bytes behind the eight-byte header of a box."""

    def edit(data: bytes) -> bytes:
        first, last = box(data, *path)
        at = first + 8 + offset
        assert at + len(new) <= last
        return data[:at] + new + data[at + len(new) :]

    return edit


def filled_box(path: Iterable[bytes], offset: int, word: Callable[[int, int], int]) -> Edit:
    """Each 32-bit number of a box from `offset` on becomes word(place, old)."""

    def edit(data: bytes) -> bytes:
        first, last = box(data, *path)
        old = [int.from_bytes(data[at : at + 4], "big") for at in range(first + 8 + offset, last - 3, 4)]
        new = b"".join((word(place, value) & 0xFFFFFFFF).to_bytes(4, "big") for place, value in enumerate(old))
        return data[: first + 8 + offset] + new + data[first + 8 + offset + len(new) :]

    return edit


def renamed_box(path: Iterable[bytes], name: bytes) -> Edit:
    """A box under another name, its bytes as they were: b"free" hides it."""

    def edit(data: bytes) -> bytes:
        first, _ = box(data, *path)
        return data[: first + 4] + name + data[first + 8 :]

    return edit


def packets(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the bytes of each video packet, in stored order (not for transport streams)."""
    found, behind = [], 0
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                start = data.index(bytes(packet), behind)
                behind = start + packet.size
                found.append((start, behind))
    return found


def packet_noise(places: Iterable[int], *, keep: int = 0, seed: int = 1) -> Edit:
    """Random bytes in place of some stored packets, but for the first `keep` bytes of each."""

    def edit(data: bytes) -> bytes:
        out, chance, where = bytearray(data), random.Random(seed), packets(data)
        for place in places:
            start, end = where[place]
            out[start + keep : end] = chance.randbytes(end - start - keep)
        return bytes(out)

    return edit


def ts_without(places: Iterable[int]) -> Edit:
    """A transport stream that has lost the packets at `places`."""
    gone = frozenset(places)
    return lambda data: b"".join(packet for place, packet in enumerate(ts_packets(data)) if place not in gone)


def ts_each(change: Callable[[int, bytearray], None]) -> Edit:
    """A transport stream after change(place, packet) of every packet."""

    def edit(data: bytes) -> bytes:
        out = [bytearray(packet) for packet in ts_packets(data)]
        for place, packet in enumerate(out):
            change(place, packet)
        return b"".join(map(bytes, out))

    return edit


def ts_packets(data: bytes) -> list[bytes]:
    """The packets of a transport stream."""
    return [data[at : at + TS_BYTES] for at in range(0, len(data), TS_BYTES)]


def moved_chunks(shift: int) -> Edit:
    """Every chunk offset of an MP4 `shift` higher."""
    return filled_box((*STBL, b"stco"), 8, lambda place, old: old + shift)


def front_bytes(extra: bytes) -> Edit:
    """Bytes before an MP4's first box, its chunk offsets moved so that they still hit."""
    return lambda data: extra + moved_chunks(len(extra))(data)


def sparse(size: int, head: bytes = b"") -> Maker:
    """A file of `size` bytes that takes almost no room on disk: `head`, then a hole."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(head)
            file.truncate(size)

    return make
