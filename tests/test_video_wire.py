"""Messages come back as they were sent; bytes that are none, or ask for more than is allowed, make nothing."""

from __future__ import annotations

import json
import struct
from fractions import Fraction

import numpy as np
import pytest

from longtake.video.apart.wire import Fill, Message, WireError, packed, unpacked
from longtake.video.display.orientation import Orientation
from longtake.video.options import Limits


def source(data: bytes) -> Fill:
    rest = memoryview(data)

    def fill(view: memoryview) -> None:
        nonlocal rest
        if len(rest) < len(view):
            raise EOFError
        view[:], rest = rest[: len(view)], rest[len(view) :]

    return fill


def raw(text: object, body: bytes = b"") -> bytes:
    """A message as anyone could write it."""
    shown = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack(">QQ", len(shown), len(body)) + shown + body


def back(message: Message) -> Message:
    return unpacked(source(b"".join(packed(message))), most_bytes=1 << 20)


def test_a_message_comes_back_as_it_was() -> None:
    message = {
        "none": None, "yes": True, "count": 1 << 62, "share": 0.1, "end": float("inf"), "name": "caf\udce9\n\u202e",
        "spans": ((0.5, None), (2.0, 3.0)), "aspect": Fraction(16, 11), "turn": Orientation(90, mirrored=True),
        "limits": Limits(bytes=7),
    }  # fmt: skip
    assert back(message) == message


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (3,), (3, 5, 3), (0, 2)])
def test_arrays_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    first = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    turned = np.asfortranarray(first)
    came = back({"first": first, "odd": np.arange(5, dtype=np.uint8), "turned": turned})
    for name in ("first", "turned"):
        assert came[name].dtype == first.dtype and came[name].shape == shape
        assert (came[name] == first).all()
    assert came["odd"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", [b"bytes", [1], {1: 2}, object(), np.array([object()]), np.int64(3)])
def test_other_values_are_not_sent(value: object) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        packed({"value": value})


@pytest.mark.parametrize(
    "data",
    [
        raw(b"not json"), raw(b"\xff\xfe"), raw([1]), raw("text"), raw(b"[" * 100_000),
        raw({"x": {"Popen": {"args": "true"}}}), raw({"x": {"Orientation": {"evil": 1}}}), raw({"x": {}}),
        raw({"x": {"Limits": {"bytes": -1}}}), raw({"x": {"Fraction": [1, 0]}}), raw({"x": {"Fraction": "1"}}),
        raw({"x": {"array": ["object", [1], 0]}}, bytes(8)), raw({"x": {"array": ["uint8", [9], 0]}}, bytes(8)),
        raw({"x": {"array": ["uint8", [1], -1]}}, bytes(8)), raw({"x": {"array": ["uint8", [-1], 0]}}, bytes(8)),
        raw({"x": {"array": ["uint8", [1 << 70], 0]}}, bytes(8)), raw({"x": {"array": ["uint8"]}}, bytes(8)),
        raw({"x": {"array": ["int64", [0.5], 0]}}, bytes(8)), raw({"x": {"array": [[], [1], 0]}}, bytes(8)),
        struct.pack(">QQ", 1 << 60, 0), struct.pack(">QQ", 2, 1 << 60), raw({}, bytes(1025)),
    ],
    ids=range(22),
)  # fmt: skip
def test_bytes_that_are_no_message_make_nothing(data: bytes) -> None:
    with pytest.raises(WireError):
        unpacked(source(data), most_bytes=1024)


def test_bytes_that_end_too_soon_are_the_end() -> None:
    whole = b"".join(packed({"x": np.arange(4, dtype=np.uint8)}))
    for length in (0, 1, 15, 16, 20, len(whole) - 1):
        with pytest.raises(EOFError):
            unpacked(source(whole[:length]), most_bytes=1024)
