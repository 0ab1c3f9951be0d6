"""checkpoint/stored: a folder in; where each tensor of its safetensors files lies, out. Headers only, no tensor."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from longtake.checkpoint.files import INDEX, WEIGHTS, bad_checkpoint, refuse_any, require_files
from longtake.checkpoint.hollow import hollow

COPY_AGAIN = "copy it again and compare its sha256"
LENGTH_BYTES = 8
"""A safetensors file begins with its header's length: https://github.com/huggingface/safetensors, section Format."""
LONGEST_HEADER_BYTES = 100_000_000
"""The library that writes such files makes and reads no longer header."""

DTYPES_BY_CODE = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file.

    Attributes:
        path: the file.
        shape: rows first.
        dtype: of its numbers as they are stored.
        first_byte: where in the file they begin.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    first_byte: int = 0

    @property
    def size_bytes(self) -> int:
        """What its numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


def stored_in(folder: Path) -> Mapping[str, StoredTensor]:
    """Every tensor of `folder` by name: of model.safetensors, or else of all shards that the index names.

    Under `without_weights` there is none.

    All headers are held against the sizes of their files and against the index.

    Raises:
        LongtakeError: `model.bad_checkpoint`, telling all that is wrong at once; pickled weights are not looked at.
    """
    require_files(folder, [WEIGHTS])
    if hollow() is not None:
        return {}
    if (folder / WEIGHTS).is_file():
        return _whole(folder / WEIGHTS)
    shard_of = _read_index(folder / INDEX)
    names = sorted(set(shard_of.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    shards: dict[str, dict[str, StoredTensor]] = {}
    damaged = []
    for name in names:
        if name in missing:
            continue
        try:
            shards[name] = _header(folder / name)
        except ValueError as error:
            damaged.append(f"{name} {error}")
    faults = {"missing shards": missing, "damaged shards": damaged, **_disagreements(shard_of, shards)}
    refuse_any(folder / INDEX, faults, "copy all shards again, with the index that belongs to them")
    return {name: tensor for shard in shards.values() for name, tensor in shard.items()}


def _whole(path: Path) -> dict[str, StoredTensor]:
    try:
        return _header(path)
    except ValueError as error:
        reason = f"is cut off, damaged or not safetensors: it {error}"
        raise bad_checkpoint(path, reason, COPY_AGAIN) from error


def _disagreements(
    shard_of: Mapping[str, str], shards: Mapping[str, Mapping[str, StoredTensor]]
) -> dict[str, list[str]]:
    """How the index and those shards that could be read contradict each other, tensors by the kind of fault."""
    places = [(name, file) for file, shard in shards.items() for name in shard]
    found = Counter(name for name, _ in places)
    readable = {name: file for name, file in shard_of.items() if file in shards}
    return {
        "named by the index but not stored": sorted(readable.keys() - found.keys()),
        "stored but not named by the index": sorted(found.keys() - shard_of.keys()),
        "stored in several shards": sorted(name for name, times in found.items() if times > 1),
        "in another shard than the index says": sorted(
            name for name, file in places if found[name] == 1 and shard_of.get(name, file) != file
        ),
    }


def _read_index(path: Path) -> dict[str, str]:
    """Tensor name to the name of its shard, a file beside the index.

    Raises:
        LongtakeError: `model.bad_checkpoint`.
    """
    advice = "copy it from where the checkpoint came from"
    try:
        shard_of = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise bad_checkpoint(path, f"is no index of weights: {error!r}", advice) from error
    # A shard may be a link out of the folder (the hub's cache is made of such), but the index may not point out of it.
    outside = sorted({repr(file) for file in shard_of.values() if not _is_plain(file)})
    refuse_any(path, {"shards that are no safetensors files beside it": outside}, advice)
    return shard_of


def _is_plain(file: object) -> bool:
    return isinstance(file, str) and file.endswith(".safetensors") and not set(file) & set("/\\:\0")


def _header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file, from its header.

    Raises:
        ValueError: what is wrong with the file, as the rest of a sentence that it begins.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if size < LENGTH_BYTES or length > size - LENGTH_BYTES or length > LONGEST_HEADER_BYTES:
                raise ValueError("ends before its header does")
            told = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("begins with a header that is no JSON") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if not isinstance(told, dict):
        raise ValueError("begins with a header that is no JSON object")
    told.pop("__metadata__", None)
    tensors = {name: _tensor(path, name, entry, LENGTH_BYTES + length) for name, entry in told.items()}
    _check_places(tensors, LENGTH_BYTES + length, size)
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError("names something twice in its header")
    return told


def _tensor(path: Path, name: str, entry: Any, data_begins: int) -> StoredTensor:
    try:
        code, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"does not say where {name} lies") from error
    if not isinstance(code, str) or code not in DTYPES_BY_CODE:
        raise ValueError(f"holds {name} as {code}, which longtake does not read")
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(f"does not say where {name} lies")
    tensor = StoredTensor(path, shape, DTYPES_BY_CODE[code], data_begins + begin)
    if tensor.size_bytes != end - begin:
        raise ValueError(f"has {end - begin:,} bytes for {name}, which takes {tensor.size_bytes:,}")
    return tensor


def _check_places(tensors: Mapping[str, StoredTensor], data_begins: int, size_bytes: int) -> None:
    """One tensor after the other, from the end of the header to the end of the file."""
    at = data_begins
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].first_byte, item[1].size_bytes)):
        if tensor.first_byte != at:
            raise ValueError(f"has a gap or an overlap before {name}")
        at += tensor.size_bytes
    if at > size_bytes:
        raise ValueError(f"ends {at - size_bytes:,} bytes too early")
    if at < size_bytes:
        raise ValueError(f"goes on for {size_bytes - at:,} bytes after its last tensor")
