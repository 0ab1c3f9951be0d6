"""fuzz/edits: a seed and a source of chance in, a list of edits out, each of which can be left out again.

An edit is (at, removed, new): `removed` bytes at `at` of the seed give way to `new`. Edits do not overlap.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from .fields import Fields, fields_of
from .seeds import Seed

Edit = tuple[int, int, bytes]
_MOST_SPLICED = 4096


def applied(data: bytes, edits: Sequence[Edit]) -> bytes:
    """`data` after the edits, which do not overlap."""
    for at, removed, new in sorted(edits, key=lambda edit: edit[0], reverse=True):
        data = data[:at] + new + data[at + removed :]
    return data


def mutation(seed: Seed, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """One to six edits of `seed`, mostly of what its container or its decoder believes."""
    found, edits = _fields(seed), list[Edit]()
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4, 6))):
        way = chance.choices(_WAYS, weights=_WEIGHTS)[0]
        for edit in way(seed, found, others, chance):
            if all(edit[0] + edit[1] <= at or at + removed <= edit[0] for at, removed, _ in edits):
                edits.append(edit)
    return edits


@lru_cache(maxsize=256)
def _fields(seed: Seed) -> Fields:
    return fields_of(seed.data)


def _number(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """A number becomes an extreme, a neighbour, a multiple, another number of the file."""
    if not found.numbers:
        return _flip(seed, found, others, chance)
    at, size = chance.choice(found.numbers)
    old, top = int.from_bytes(seed.data[at : at + size], "big"), (1 << 8 * size) - 1
    other = chance.choice(found.numbers)
    choices = (
        0, 1, 2, top, top - 1, top >> 1, (top >> 1) + 1, old + 1, old - 1, old * 2, old // 2, old ^ (top >> 1) + 1,
        old + chance.randint(-300, 300), chance.randint(0, top), len(seed.data), len(seed.data) - at,
        int.from_bytes(seed.data[other[0] : other[0] + size], "big"),
        chance.choice((8, 16, 255, 256, 65535, 1 << 31, 1 << 24)),
    )  # fmt: skip
    new = (chance.choice(choices) & top).to_bytes(size, chance.choice(("big", "big", "little")))
    return [(at, size, new)]


def _many_numbers(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """A run of neighbouring numbers, as of one table, is overwritten in one way."""
    if not found.numbers:
        return _flip(seed, found, others, chance)
    first = chance.randrange(len(found.numbers))
    value, edits, last = chance.choice((0, 1, 0xFF, None)), list[Edit](), -1
    for at, size in found.numbers[first : first + chance.randint(2, 40)]:
        if at > last:
            new = chance.randbytes(size) if value is None else bytes([value]) * size
            edits.append((at, size, new))
            last = at + size - 1
    return edits


def _name(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """A name becomes another of the file, or an unknown one."""
    if not found.names:
        return _flip(seed, found, others, chance)
    at, size = chance.choice(found.names)
    other, _ = chance.choice(found.names)
    new = seed.data[other : other + size] if chance.random() < 0.7 else chance.randbytes(size)
    return [(at, min(size, len(new)), new)]


def _element(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """An element is dropped, doubled, swapped with another, emptied, cut short, or put somewhere else."""
    if not found.elements:
        return _flip(seed, found, others, chance)
    start, end = chance.choice(found.elements)
    whole = seed.data[start:end]
    other_start, other_end = chance.choice(found.elements)
    way = chance.randrange(7)
    if way == 0:
        return [(start, end - start, b"")]
    if way == 1:
        return [(end, 0, whole * chance.choice((1, 1, 2, 16)))] if len(whole) < 65536 else []
    if way == 2:
        return [(start, end - start, seed.data[other_start:other_end]), (other_start, other_end - other_start, whole)]
    if way == 3:
        kept = min(len(whole), 8)
        return [(start + kept, end - start - kept, bytes(end - start - kept))]
    if way == 4:
        return [(start + len(whole) // 2, end - start - len(whole) // 2, b"")]
    if way == 5:
        return [(other_start, 0, whole), (start, end - start, b"")]
    return [(start, end - start, chance.randbytes(end - start))]


def _frame(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """The bytes of one frame: flipped, zeroed, its beginning changed, its end gone, another's in its place."""
    if not seed.frames:
        return _flip(seed, found, others, chance)
    start, end = chance.choice(seed.frames)
    length, way = end - start, chance.randrange(7)
    at = start + chance.randrange(max(1, length))
    if way == 0:
        return [(at, 1, bytes([seed.data[at] ^ 1 << chance.randrange(8)]))]
    if way == 1:
        size = chance.randint(1, end - at)
        return [(at, size, bytes(size))]
    if way == 2:
        size = chance.randint(1, end - at)
        return [(at, size, chance.randbytes(size))]
    if way == 3:
        at = start + chance.randrange(min(length, 24))
        return [(at, 1, chance.randbytes(1))]
    if way == 4:
        return [(at, end - at, b"")]
    if way == 5:
        other_start, other_end = chance.choice(seed.frames)
        new = seed.data[other_start:other_end][:length].ljust(length, b"\0")
        return [(start, length, new)]
    return [(at, 1, bytes([seed.data[at] ^ 1 << chance.randrange(8)])) for at in _some(start, end, chance)]


def _some(start: int, end: int, chance: random.Random) -> list[int]:
    return sorted({chance.randrange(start, end) for _ in range(chance.randint(2, 30))})


def _flip(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """Bytes anywhere, more often near the beginning: flipped, random, or a number that tempts."""
    edge = len(seed.data) if chance.random() < 0.5 else min(len(seed.data), 2048)
    tempting = (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\1", b"\xff\xff", b"\0\1")
    edits = []
    for at in _some(0, edge, chance) if chance.random() < 0.3 else [chance.randrange(edge)]:
        new = chance.choice((bytes([seed.data[at] ^ 1 << chance.randrange(8)]), chance.randbytes(1), *tempting))
        edits.append((at, min(len(new), len(seed.data) - at), new))
    return edits


def _ends(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """The file is cut at its end or its beginning, has a hole, or goes on with zeros or noise."""
    length, way = len(seed.data), chance.randrange(6)
    at = chance.randrange(length)
    if way <= 1:
        return [(at, length - at, b"")]
    if way == 2:
        return [(0, at, b"")]
    if way == 3:
        size = chance.randint(1, length - at)
        return [(at, size, bytes(size))]
    if way == 4:
        return [(length, 0, bytes(chance.randint(1, 5000)))]
    return [(length, 0, chance.randbytes(chance.randint(1, 5000)))]


def _splice(seed: Seed, found: Fields, others: Sequence[Seed], chance: random.Random) -> list[Edit]:
    """A stretch of another file, or of this one, over or between the bytes here."""
    giver = chance.choice(others) if chance.random() < 0.6 else seed
    first = chance.randrange(len(giver.data))
    new = giver.data[first : first + chance.randint(1, _MOST_SPLICED)]
    at = chance.randrange(len(seed.data))
    return [(at, min(len(new), len(seed.data) - at) if chance.random() < 0.6 else 0, new)]


Way = Callable[[Seed, Fields, Sequence[Seed], random.Random], list[Edit]]
_WAYS: tuple[Way, ...] = (_number, _many_numbers, _name, _element, _frame, _flip, _ends, _splice)
_WEIGHTS = (30, 8, 8, 14, 16, 12, 6, 6)
