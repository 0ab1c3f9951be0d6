"""video/apart/wire: a message of plain values in, bytes out and back. Runs nothing that it reads; knows no process.

    length of text, of arrays | text: JSON, in which arrays and records are marked | the arrays, one after the other

Whoever sends may have been taken over by a hostile file: of what arrives only JSON, the array types and the records
listed here are made, and nothing is larger than the receiver allows.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.video.container import FileState
from longtake.video.display.colour import Colour
from longtake.video.display.orientation import Orientation
from longtake.video.display.picture import Picture
from longtake.video.options import Limits
from longtake.video.packets.scanning import FrameTable, PacketTable
from longtake.video.video_file import HeaderFacts, StreamFacts

Message = dict[str, Any]
"""Names and values: None, bool, int, float, str, Fraction, arrays, the records below, and tuples of all these."""

Fill = Callable[[memoryview], None]
"""Fills the whole of what it is given with the next bytes that came.

Raises:
    EOFError: if there are no more.
"""

_RECORDS: dict[str, type[Any]] = {
    record.__name__: record
    for record in (
        Colour, FileState, FrameTable, HeaderFacts, Limits, Orientation, PacketTable, Picture, StreamFacts
    )
}  # fmt: skip
_DTYPES = frozenset({"bool", "uint8", "int32", "int64", "float32", "float64"})
_LENGTHS = struct.Struct(">QQ")
_ALIGNED_BYTES = 8
MOST_TEXT_BYTES = 64 << 20
"""Of one message: lost spans and notes are the only text that grows with a file, by some 40 bytes a span."""


class WireError(Exception):
    """The bytes are no message, or one that is larger than allowed."""


def packed(message: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The message as bytes, to be written one after the other; large arrays are not copied.

    Raises:
        TypeError: if it holds a value of another kind than `Message` names.
    """
    arrays: list[memoryview] = []
    text = json.dumps({name: _plain(value, arrays) for name, value in message.items()}).encode()
    return [_LENGTHS.pack(len(text), sum(len(part) for part in arrays)), text, *arrays]


def unpacked(fill: Fill, *, most_bytes: int) -> Message:
    """The next message.

    Args:
        most_bytes: of its arrays together.

    Raises:
        EOFError: if there is none.
        WireError: if the bytes are none, or it is too large.
    """
    head = bytearray(_LENGTHS.size)
    fill(memoryview(head))
    text_bytes, array_bytes = _LENGTHS.unpack(head)
    if text_bytes > MOST_TEXT_BYTES or array_bytes > most_bytes:
        raise WireError(f"a message of {text_bytes:,} and {array_bytes:,} bytes")
    text = bytearray(text_bytes)
    fill(memoryview(text))
    body = np.empty(array_bytes, dtype=np.uint8)
    fill(body.data)
    try:
        return {str(name): _value(plain, body) for name, plain in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ArithmeticError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def _plain(value: Any, arrays: list[memoryview]) -> Any:
    """What JSON can say of `value`; its arrays go to the end of `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_plain(one, arrays) for one in value]
    if isinstance(value, Fraction):
        return {"Fraction": [value.numerator, value.denominator]}
    if isinstance(value, np.ndarray) and value.dtype.name in _DTYPES:
        start = sum(len(part) for part in arrays)
        arrays.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        arrays.append(memoryview(bytes(-value.nbytes % _ALIGNED_BYTES)))
        return {"array": [value.dtype.name, list(value.shape), start]}
    if type(value).__name__ in _RECORDS:
        parts = {field.name: _plain(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
        return {type(value).__name__: parts}
    raise TypeError(f"a message cannot hold {type(value).__name__} {getattr(value, 'dtype', '')}".rstrip())


def _value(plain: Any, body: NDArray[np.uint8]) -> Any:
    if isinstance(plain, list):
        return tuple(_value(one, body) for one in plain)
    if not isinstance(plain, dict):
        return plain
    ((kind, parts),) = plain.items()
    if kind == "Fraction":
        numerator, denominator = parts
        return Fraction(int(numerator), int(denominator))
    if kind == "array":
        dtype, shape, start = parts
        return _array(dtype, shape, start, body)
    return _RECORDS[kind](**{name: _value(part, body) for name, part in parts.items()})


def _array(dtype: str, shape: list[int], start: int, body: NDArray[np.uint8]) -> NDArray[Any]:
    """A view of `body`."""
    if dtype not in _DTYPES or min(shape, default=0) < 0 or start < 0:
        raise ValueError(f"an array of {dtype} {shape} at {start}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if start + size > len(body):
        raise ValueError(f"an array of {size:,} bytes at {start:,} of {len(body):,}")
    return body[start : start + size].view(dtype).reshape(shape)
