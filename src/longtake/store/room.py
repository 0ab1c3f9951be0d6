"""store/room: how much a store holds, and what goes to make room: what was used longest ago. Opens no tensors."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from longtake.identity import told_sha256
from longtake.store.files import ABOUT, files_of, records_in

PLACE = "used"
"""In the folder of an entry: its time of change says when the entry was last used."""
LOCK = "lock"
MOST_BYTES = 20 << 30
SHARE_OF_FREE = 10
"""One part in so many of the disk that would be free without the store."""
STALE_S = 3600.0
"""A file that is still being written after so long belongs to a process that was killed."""


@dataclass(frozen=True)
class Held:
    """What a store holds of one thing.

    Attributes:
        kind, key: of the entry.
        path: its folder.
        bytes, records: of all its files.
        used_s: when it was last used, in seconds since 1970.
        about: what decides what is kept; empty if that cannot be read any more.
        label: for people.
        whole: whether `about` is what the key says it is.
    """

    kind: str
    key: str
    path: Path
    bytes: int
    records: int
    used_s: float
    about: Mapping[str, Any] = field(repr=False)
    label: str
    whole: bool


def held(folder: Path) -> list[Held]:
    """All that a store holds, the longest unused first."""
    found = [one for path in _entries(folder) if (one := _held(path)) is not None]
    return sorted(found, key=lambda one: (one.used_s, one.key))


def default_most_bytes(most_bytes: int | None, folder: Path) -> int:
    """What a store may hold: as told, or else 20 GiB, or a tenth of what is free without it where that is less.

    Raises:
        OSError: the disk does not tell.
    """
    if most_bytes is not None:
        return most_bytes
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free + sum(_bytes(path) for path in _entries(folder))
    return min(MOST_BYTES, free // SHARE_OF_FREE)


def make_room(folder: Path, need: int, *, keep: Path, most_bytes: int) -> None:
    """Remove what was used longest ago until `need` more bytes fit into `most_bytes`; never the entry at `keep`.

    One process at a time does so; another that comes meanwhile goes on without, and the store may hold a little more
    for that moment. Files that a killed process was writing are removed too.

    Raises:
        OSError: they would not fit beside that entry alone, or the disk refuses.
    """
    own = _bytes(keep)
    if own + need > most_bytes:
        reason = f"the store may hold {most_bytes:,} bytes, and this video alone wants {own + need:,}"
        raise OSError(errno.EDQUOT, reason)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as alone:
        if not alone:
            return
        entries = {path: _bytes(path) for path in _entries(folder)}
        for path in entries:
            _remove_stale(path)
        total = sum(entries.values())
        if total + need <= most_bytes:
            return
        for path in sorted(entries, key=_used_s):
            if path != keep and total + need > most_bytes:
                remove(path)
                total -= entries[path]


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process makes room now; where the file system knows no locks, one has to do without."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except NotImplementedError:
        yield True
        return
    try:
        yield True
    finally:
        lock.release()


def remove(path: Path) -> None:
    """Remove an entry's folder, as far as the disk lets. What another process has open stays with that process."""
    shutil.rmtree(path, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    found: list[Path] = []
    for kind in ("features", "prefixes"):
        with contextlib.suppress(OSError), os.scandir(folder / kind) as places:
            found += [Path(place.path) for place in places if place.is_dir(follow_symlinks=False)]
    return found


def _bytes(path: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as places:
        for place in places:
            with contextlib.suppress(OSError):
                total += place.stat().st_size
    return total


def _used_s(path: Path) -> float:
    for place in (path / PLACE, path):
        with contextlib.suppress(OSError):
            return place.stat().st_mtime
    return 0.0


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(path) as places:
        for place in places:
            if place.name.startswith(".") and time.time() - place.stat().st_mtime > STALE_S:
                os.unlink(place.path)


def _held(path: Path) -> Held | None:
    if not path.is_dir():
        return None
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        label = str(about.pop("label"))
        whole = told_sha256({"kind": path.parent.name, **about}) == path.name
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        about, label, whole = {}, "", False
    records = sum(records_in(file) for file in files_of(path))
    return Held(path.parent.name, path.name, path, _bytes(path), records, _used_s(path), about, label, whole)
