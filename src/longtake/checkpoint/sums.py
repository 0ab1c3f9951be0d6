"""checkpoint/sums: folders in; refused where a file is not the one whose SHA-256 was told. Knows nothing of tensors.

Two things tell sums: a SHA256SUMS in the folder, as `sha256sum *` prints it; and the hub's cache, where a large file is
a link to one that is named by its sum. Where neither does, nothing is checked. Gigabytes are hashed
once and not at each start: `identity` remembers their sums.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from longtake.checkpoint.files import bad_checkpoint, refuse_any
from longtake.identity import file_sha256

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
HUB_BLOBS = "blobs"


def refuse_changed(folders: Iterable[Path]) -> None:
    """Hold the files of some checkpoints against the sums that are told of them.

    Raises:
        LongtakeError: `model.bad_checkpoint`, naming all files that differ or are missing, or a broken SHA256SUMS.
    """
    for folder in folders:
        told = told_sums(folder)
        missing = sorted(name for name in told if not (folder / name).is_file())
        differ = [name for name, wanted in told.items() if name not in missing and sum_of(folder / name) != wanted]
        faults = {"missing": missing, "of other bytes": sorted(differ)}
        advice = f"copy them again; if the change is yours, write {SUMS} anew or remove it"
        refuse_any(folder, faults, advice, lead="files are not those whose SHA-256 is told: ")


def told_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 that is told of each file of a folder; nothing is read but the list.

    Raises:
        LongtakeError: `model.bad_checkpoint` for a broken SHA256SUMS.
    """
    return dict([*_hub_sums(folder), *_own_sums(folder)])


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Write the SHA256SUMS of some files of a folder."""
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def sum_of(path: Path) -> str:
    """The SHA-256 of a checkpoint's file.

    Raises:
        LongtakeError: `model.bad_checkpoint` if it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise bad_checkpoint(path, f"cannot be read: {error}", "copy it again") from error


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
