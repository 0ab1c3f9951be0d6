"""costs.arranging: a step of training that may be too large in; what would make it fit, and the longest row, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from longtake.costs.holding import peak
from longtake.costs.training import Arrangement, Hold, Load, Networks

MOST_RANKS = 4096
_HOLDS: tuple[Hold, ...] = ("whole", "sharded", "aside")


Laid = Callable[[Arrangement], Load | None]
"""What a stage computes, laid out so; None where that training would not begin."""


@dataclass(frozen=True)
class Way:
    """Another way to lay a training on devices.

    Attributes:
        told: what is to be done, for a sentence.
        arranged: the way.
        bytes: of the widest moment on a device.
    """

    told: str
    arranged: Arrangement
    bytes: int


def ways(networks: Networks, laid: Laid, arranged: Arrangement, room_bytes: int) -> list[Way]:
    """What would make it fit: the mildest change on as many ranks, and the fewest ranks that are enough; none may do.

    Recomputation costs a third of the time, offloading the way to the processor's memory and back, a longer ring
    messages, more ranks money: in that order. Of samples with pictures none is shared by a ring, and weights that have
    adapters beside them are whole on each rank.
    """
    found = []
    for changes in (_on_as_many(arranged), _on_more(arranged)):
        for changed in changes:
            load = laid(changed)
            needs = None if load is None else peak(networks, load, changed).total_bytes
            if needs is not None and needs <= room_bytes:
                found.append(Way(_told(arranged, changed), changed, needs))
                break
    return found


def longest_row(networks: Networks, load: Load, arranged: Arrangement, room_bytes: int) -> int:
    """Tokens of the longest row that fits, all else as it is; 0 where not even one of two does."""
    if peak(networks, replace(load, length=2), arranged).total_bytes > room_bytes:
        return 0
    fits, too_long = 2, 4
    while too_long < 2**40 and peak(networks, replace(load, length=too_long), arranged).total_bytes <= room_bytes:
        fits, too_long = too_long, 2 * too_long
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if peak(networks, replace(load, length=middle), arranged).total_bytes <= room_bytes:
            fits = middle
        else:
            too_long = middle
    return fits


def _on_as_many(arranged: Arrangement) -> Iterator[Arrangement]:
    again = (True,) if arranged.recompute else (False, True)
    for hold in _HOLDS[_HOLDS.index(arranged.hold) :]:
        for ring in _rings(arranged, arranged.ranks):
            for recompute in again:
                yield replace(arranged, ring=ring, recompute=recompute, hold=hold)


def _on_more(arranged: Arrangement) -> Iterator[Arrangement]:
    """Twice the ranks, and so on, which hold less each: by rings as long as before, or longer ones."""
    holds: tuple[Hold, ...] = ("sharded", "whole") if arranged.hold == "whole" else (arranged.hold,)
    ranks = 2 * arranged.ranks
    while ranks <= MOST_RANKS:
        for ring in _rings(arranged, ranks):
            for hold in holds:
                yield replace(arranged, ranks=ranks, ring=ring, recompute=True, hold=hold)
        ranks *= 2


def _rings(arranged: Arrangement, ranks: int) -> list[int]:
    return [ring for ring in range(arranged.ring, ranks + 1) if ranks % ring == 0]


def _told(old: Arrangement, new: Arrangement) -> str:
    words = []
    if new.ranks != old.ranks:
        words.append(f"--ranks {new.ranks}")
    if new.ring != old.ring:
        words.append(f"--ring {new.ring}")
    if new.recompute and not old.recompute:
        words.append("--recompute")
    if new.hold != old.hold:
        words.append(f"--weights {new.hold}")
    return " ".join(words)
