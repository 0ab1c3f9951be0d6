"""checkpoint/sums: folders in; refused where a file is not the one whose SHA-256 was told. Knows nothing of tensors.

Two things tell sums: a SHA256SUMS in the folder, as `sha256sum *` prints it; and the hub's cache, where a large file is
a link to one that is named by its sum. Where neither does, nothing is checked. What was found right is remembered by
inode, time and size, so that gigabytes are hashed once and not at each start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from platformdirs import user_cache_path

from longtake.checkpoint.files import bad_checkpoint, refuse_any

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
HUB_BLOBS = "blobs"
WORTH_REMEMBERING_BYTES = 2**26
"""A smaller file is hashed sooner than its sum is looked up and kept."""

Stamp = tuple[int, int, int]
"""Inode, time of the last change in nanoseconds, bytes."""


def refuse_changed(folders: Iterable[Path]) -> None:
    """Hold the files of some checkpoints against the sums that are told of them.

    Raises:
        LongtakeError: `model.bad_checkpoint`, naming all files that differ or are missing, or a broken SHA256SUMS.
    """
    memory = _Memory.read()
    for folder in folders:
        told = told_sums(folder)
        missing = sorted(name for name in told if not (folder / name).is_file())
        differ = [
            name for name, wanted in told.items() if name not in missing and memory.sum_of(folder / name) != wanted
        ]
        faults = {"missing": missing, "of other bytes": sorted(differ)}
        advice = f"copy them again; if the change is yours, write {SUMS} anew or remove it"
        refuse_any(folder, faults, advice, lead="files are not those whose SHA-256 is told: ")
    memory.write()


def told_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 that is told of each file of a folder; nothing is read but the list.

    Raises:
        LongtakeError: `model.bad_checkpoint` for a broken SHA256SUMS.
    """
    return dict([*_hub_sums(folder), *_own_sums(folder)])


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Write the SHA256SUMS of some files of a folder."""
    lines = [f"{_hashed(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _own_sums(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and sums of a folder's SHA256SUMS."""
    path = folder / SUMS
    if not path.is_file():
        return
    advice = f"write it with `sha256sum * > {SUMS}`, or remove it"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise bad_checkpoint(path, f"cannot be read: {error}", advice) from error
    for number, line in enumerate(lines, 1):
        found = LINE.fullmatch(line)
        if not found or Path(found[2]).is_absolute() or ".." in Path(found[2]).parts:
            raise bad_checkpoint(path, f"line {number} is not the SHA-256 of a file in this folder", advice)
        yield found[2], found[1]


def _hub_sums(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and sums of the files that are links into the hub's cache; its small files are named by other sums."""
    for path in sorted(folder.iterdir()):
        blob = path.resolve()
        if path.is_symlink() and blob.parent.name == HUB_BLOBS and re.fullmatch("[0-9a-f]{64}", blob.name):
            yield path.name, blob.name


class _Memory:
    """Sums of files that were hashed before, in the user's cache folder. To lose it costs time only."""

    def __init__(self, kept: dict[str, tuple[Stamp, str]]) -> None:
        self._kept = kept
        self._grew = False

    @classmethod
    def read(cls) -> _Memory:
        """What is remembered; nothing where that cannot be read."""
        try:
            told = json.loads(_memory_path().read_text(encoding="utf-8"))
            return cls(
                {
                    path: ((int(one), int(two), int(three)), str(sum_))
                    for path, ((one, two, three), sum_) in told.items()
                }
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return cls({})

    def sum_of(self, path: Path) -> str:
        """The file's SHA-256, remembered or reckoned."""
        place, now = str(path.resolve()), path.stat()
        stamp = (now.st_ino, now.st_mtime_ns, now.st_size)
        known, sum_ = self._kept.get(place, (None, ""))
        if known == stamp:
            return sum_
        sum_ = _hashed(path)
        if now.st_size >= WORTH_REMEMBERING_BYTES:
            self._kept[place] = stamp, sum_
            self._grew = True
        return sum_

    def write(self) -> None:
        """Keep what was reckoned. Of two processes the later wins; a folder that may not be written is left alone."""
        if not self._grew:
            return
        path = _memory_path()
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(self._kept), encoding="utf-8")
            fresh.replace(path)


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory_path() -> Path:
    return user_cache_path("longtake") / "sums.json"
