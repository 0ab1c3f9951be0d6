"""store: what was made of videos in; the same out again, after a restart too, checked. Knows no model and no video.

    FOLDER/features/KEY/    one video as one encoder sees it: entry.json, and files of tensors that never change
    FOLDER/prefixes/KEY/    one prompt as one engine has read it

Nothing here has to be there: what is missing or damaged is made again. docs/store.md says how files are written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtake.identity import told_sha256
from longtake.store.files import ABOUT as ABOUT
from longtake.store.files import Damaged as Damaged
from longtake.store.files import Header as Header
from longtake.store.files import files_of, fresh_name, header_of, salvage, write_tensors
from longtake.store.room import PLACE, default_most_bytes, held, make_room, remove
from longtake.store.room import Held as Held

KINDS = ("features", "prefixes")


@dataclass(frozen=True)
class Pruned:
    """What was removed, and what could not be, or not whole."""

    removed: list[Held]
    left: list[Held]


@dataclass(frozen=True)
class Store:
    """A folder in which longtake keeps what it made of videos.

    Attributes:
        folder: where; None: LONGTAKE_STORE, or else a folder of the user's cache.
        most_bytes: what it may hold; what was used longest ago makes room. None: 20 GiB, or a tenth of what is free
            where that is less.
        prefixes: keep keys and values of whole prompts too, not only features.
    """

    folder: Path = field(default_factory=lambda: default_folder())
    most_bytes: int | None = None
    prefixes: bool = False

    def entry(self, kind: str, about: Mapping[str, object], *, label: str) -> Entry:
        """What is kept of one thing; nothing is read or written yet.

        Args:
            kind: one of KINDS.
            about: everything that decides what is kept; its sum is the entry's key.
            label: for people.
        """
        return Entry(self, kind, told_sha256({"kind": kind, **about}), about, label)

    def may_hold(self) -> int:
        """How many bytes it may hold.

        Raises:
            OSError: the disk does not tell.
        """
        return default_most_bytes(self.most_bytes, self.folder)

    def held(self) -> list[Held]:
        """All that is kept, the longest unused first."""
        return held(self.folder)

    def prune(self, *, to_bytes: int | None = None, older_than_s: float | None = None) -> Pruned:
        """Remove what was used longest ago; everything where nothing says how much.

        Args:
            to_bytes: until no more than this is left.
            older_than_s: what was not used for so long.
        """
        kept = self.held()
        total, now_s, pruned = sum(one.bytes for one in kept), time.time(), Pruned([], [])
        for one in kept:
            wanted = to_bytes is None and older_than_s is None
            wanted |= to_bytes is not None and total > to_bytes
            wanted |= older_than_s is not None and now_s - one.used_s > older_than_s
            if not wanted:
                continue
            remove(one.path)
            if one.path.exists():
                pruned.left.append(one)
            else:
                total -= one.bytes
                pruned.removed.append(one)
        return pruned

    def verify(self) -> Iterator[tuple[Held, int, int]]:
        """Read everything and check every sum: what is kept, how many records of it are right, how many were damaged.

        What is damaged is removed; what lies beside it in the same file stays.
        """
        for one in self.held():
            good = bad = 0
            if not one.whole:
                bad += 1
                with contextlib.suppress(OSError):
                    (one.path / ABOUT).unlink()
            for path in files_of(one.path):
                right, wrong = salvage(path)
                good, bad = good + right, bad + wrong
            yield one, good, bad


def default_folder() -> Path:
    """LONGTAKE_STORE, or else a folder of the user's cache."""
    from platformdirs import user_cache_path

    named = os.environ.get("LONGTAKE_STORE")
    return Path(named).expanduser() if named else user_cache_path("longtake") / "store"


@dataclass(frozen=True)
class Entry:
    """What is kept of one video as one encoder sees it, or of one prompt. Made by `Store.entry`."""

    store: Store
    kind: str
    key: str
    about: Mapping[str, object]
    label: str

    @property
    def path(self) -> Path:
        """Its folder; there may be none."""
        return self.store.folder / self.kind / self.key

    def headers(self) -> tuple[list[Header], int]:
        """What its files say of themselves, oldest first, and how many records lay in files that say nothing right.

        Such files are removed.
        """
        headers, bad = [], 0
        for path in files_of(self.path):
            try:
                headers.append(header_of(path))
            except Damaged:
                bad += salvage(path)[1]
            except OSError:
                continue  # another process has just removed it, to make room or because it is damaged
        return headers, bad

    def used(self) -> None:
        """Say that it was used now, so that others make room first."""
        with contextlib.suppress(OSError):
            os.utime(self.path / PLACE)

    def add(self, tensors: Mapping[str, Any], told: Mapping[str, object], *, records: int) -> int:
        """Keep some more, in a file of its own.

        Args:
            tensors: on the processor, contiguous.
            told: what JSON can tell of them.
            records: how many things that are of use by themselves.

        Returns:
            How many bytes that took.

        Raises:
            OSError: the disk refuses; or this is more than the store may hold.
        """
        need = sum(tensor.nbytes for tensor in tensors.values())
        make_room(self.store.folder, need, keep=self.path, most_bytes=self.store.may_hold())
        for attempt in (1, 2):
            try:
                self._begin()
                written = write_tensors(self.path, tensors, told, records=records)
                self.used()
                return written
            except FileNotFoundError:
                # Another process made room by removing this very folder; it will not do so twice in a row.
                if attempt == 2:
                    raise
        raise AssertionError("not reached")

    def _begin(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in ((ABOUT, json.dumps({"label": self.label, **self.about}, indent=1) + "\n"), (PLACE, "")):
            if not (self.path / name).exists():
                fresh = self.path / fresh_name()
                try:
                    fresh.write_text(text, encoding="utf-8")
                    fresh.replace(self.path / name)
                finally:
                    fresh.unlink(missing_ok=True)
