"""store/files: tensors in, a file that is named by its own bytes out; and back, each tensor checked. Knows no more.

A file is safetensors. Its header tells the SHA-256 of every tensor's bytes, and its name the SHA-256 of that header: so
a name stands for every byte behind it. Files are written under another name, renamed when they are whole, and never
changed. Of an old schema, torn, flipped or renamed: it is damaged, and what it held is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open

SCHEMA = "longtake store 1"
ABOUT = "entry.json"
"""In the folder of an entry: what it is about, for people; nothing is looked up in it."""
NAME = re.compile(r"(\d{1,9})-([0-9a-f]{32})\.safetensors")
LENGTH_BYTES, LONGEST_HEADER_BYTES = 8, 100_000_000
CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
}


MISSHAPEN = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What taking apart JSON of another form than was written raises."""


class Damaged(ValueError):
    """A file that does not hold what it did when it was written."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        path: the file.
        told: as `write_tensors` was given it.
        sums: the SHA-256 of each tensor's bytes, by its name.
    """

    path: Path
    told: Mapping[str, Any] = field(repr=False)
    sums: Mapping[str, str] = field(repr=False)


def files_of(folder: Path) -> list[Path]:
    """The files of an entry, oldest first; none where there is no such folder."""
    found: list[tuple[int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as places:
        for place in places:
            if NAME.fullmatch(place.name):
                with contextlib.suppress(OSError):
                    found.append((place.stat().st_mtime_ns, place.name))
    return [folder / name for _, name in sorted(found)]


def records_in(path: Path) -> int:
    """How many records a file's name says that it holds."""
    found = NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def fresh_name() -> str:
    """A name for a file that is being written."""
    return f".{os.getpid()}-{secrets.token_hex(8)}.tmp"


def write_tensors(
    folder: Path, tensors: Mapping[str, torch.Tensor], told: Mapping[str, object], *, records: int
) -> int:
    """Write a file; returns its bytes. Nothing is left of one that could not be written whole.

    Raises:
        OSError: the disk refuses.
    """
    # The largest numbers first, so that each tensor lies where a file that is mapped into memory must have it.
    ordered = dict(sorted(tensors.items(), key=lambda named: -named[1].dtype.itemsize))
    header = _header(ordered, told)
    name = f"{records}-{_digest(header)}.safetensors"
    fresh = folder / fresh_name()
    try:
        with fresh.open("xb", buffering=0) as file:
            _write_whole(file, [header, *map(_bytes, ordered.values())])
        fresh.replace(folder / name)
    finally:
        fresh.unlink(missing_ok=True)
    return len(header) + sum(tensor.nbytes for tensor in ordered.values())


def header_of(path: Path) -> Header:
    """What a file says of itself, held against its name and its length.

    Raises:
        Damaged: it says nothing right.
        OSError: it cannot be read.
    """
    status = path.stat()
    return _header_of(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


def tensors_of(header: Header, names: Collection[str] | None = None) -> Iterator[tuple[str, torch.Tensor | None]]:
    """Some tensors of a file, mapped into memory; None for one whose bytes are not what they were.

    Args:
        header: of the file.
        names: which; None: all.
    """
    left = dict.fromkeys(header.sums if names is None else names)
    try:
        with safe_open(header.path, "pt") as file:
            for name in list(left):
                tensor: torch.Tensor = file.get_tensor(name)
                del left[name]
                right = hashlib.sha256(_bytes(tensor)).hexdigest() == header.sums.get(name)
                yield name, tensor if right else None
    except (SafetensorError, OSError):
        yield from left.items()


def salvage(path: Path) -> tuple[int, int]:
    """Read a file and check it. A damaged one is removed, and what is right of it written again.

    Returns:
        How many records are right, and how many are not.
    """
    records = records_in(path)
    try:
        header = header_of(path)
    except Damaged:
        return 0, discarded(path)
    except OSError:
        return 0, 0  # another process has removed it
    bad = {_record(name) for name, tensor in tensors_of(header) if tensor is None}
    if not bad:
        return records, 0
    # What serves more than one record (its name is a word) makes them all of no use.
    shared = any(not name[:1].isdigit() for name in bad)
    good = {
        name: tensor.clone()
        for name, tensor in tensors_of(header, () if shared else None)
        if tensor is not None and _record(name) not in bad
    }
    right = len({_record(name) for name in good if name[:1].isdigit()})
    _unlink(path)
    if right:
        with contextlib.suppress(OSError):
            write_tensors(path.parent, good, header.told, records=right)
    return right, max(1, records - right)


def discarded(path: Path) -> int:
    """Remove a file of which nothing is of use; returns how many records that were."""
    _unlink(path)
    return max(1, records_in(path))


def _record(name: str) -> str:
    return name.partition(" ")[0]


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@lru_cache(maxsize=4096)
def _header_of(path: Path, state: tuple[int, ...]) -> Header:
    """`state` tells a file that was written over from the one that was read before."""
    named = NAME.fullmatch(path.name)
    with path.open("rb") as file:
        length = file.read(LENGTH_BYTES)
        count = int.from_bytes(length, "little")
        if named is None or count > min(LONGEST_HEADER_BYTES, state[1]):
            raise Damaged(f"{path} is no file of this store")
        header = length + file.read(count)
    if _digest(header) != named[2]:
        raise Damaged(f"the header of {path} is not the one that it was written with")
    try:
        tensors = json.loads(header[LENGTH_BYTES:])
        words = tensors.pop("__metadata__", {})
        if words.get("schema") != SCHEMA:
            raise Damaged(f"{path} is of the schema {words.get('schema')!r}, not {SCHEMA!r}")
        ends = max((told["data_offsets"][1] for told in tensors.values()), default=0)
        told, sums = dict(json.loads(words["told"])), dict(json.loads(words["sums"]))
    except Damaged:
        raise
    except MISSHAPEN as error:
        raise Damaged(f"{path} has a header that longtake never wrote") from error
    if len(header) + ends != state[1]:
        raise Damaged(f"{path} has {state[1]:,} bytes, not {len(header) + ends:,}")
    return Header(path, told, sums)


def _header(tensors: Mapping[str, torch.Tensor], told: Mapping[str, object]) -> bytes:
    """The length and the header of a safetensors file."""
    sums = {name: hashlib.sha256(_bytes(tensor)).hexdigest() for name, tensor in tensors.items()}
    words = {"schema": SCHEMA, "told": json.dumps(told), "sums": json.dumps(sums)}
    rows: dict[str, object] = {"__metadata__": words}
    at = 0
    for name, tensor in tensors.items():
        rows[name] = {
            "dtype": CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    text = json.dumps(rows).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _bytes(tensor: torch.Tensor) -> memoryview:
    numbers: Any = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(numbers)


def _digest(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()[:32]


def _write_whole(file: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
    """One write of an unbuffered file may take less than it is given."""
    for part in parts:
        left = memoryview(part)
        while len(left):
            left = left[file.write(left) :]
