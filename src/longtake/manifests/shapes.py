"""manifests.shapes: what JSON holds and a dataclass in, the dataclass's value out, or which field does not fit."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Literal


class Misfit(Exception):
    """A field that does not fit: where it stands, what came and what would fit."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place or 'the whole'}: {reason}")


def shaped(kind: Any, value: Any, place: str = "") -> Any:
    """`value` as an instance of `kind`: a dataclass of such, a list, tuple or dict of such, a union, a Literal, or
    bool, int, float, str or None. Nothing is converted but whole numbers to float.

    Raises:
        Misfit: something is missing, too much, or of another type.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place)
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(inside, value, place)
    if origin is Literal:
        if value not in inside or type(value) is not str:
            raise Misfit(place, f"is {_told(value)}; want {' or '.join(inside)}")
        return value
    if origin is list:
        return [shaped(inside[0], each, f"{place}[{number}]") for number, each in enumerate(_sure(list, value, place))]
    if origin is tuple:
        items = _sure(list, value, place)
        if len(items) != len(inside):
            raise Misfit(place, f"has {len(items)} items; want {len(inside)}")
        return tuple(shaped(one, items[number], f"{place}[{number}]") for number, one in enumerate(inside))
    if origin is dict:
        return {key: shaped(inside[1], each, f"{place}.{key}") for key, each in _sure(dict, value, place).items()}
    return _plain(kind, value, place)


def _dataclass(kind: Any, value: Any, place: str) -> Any:
    found = _sure(dict, value, place)
    names = [field.name for field in dataclasses.fields(kind)]
    lacking = [name for name in names if name not in found]
    strange = [name for name in found if name not in names]
    if lacking or strange:
        parts = [f"{word} {', '.join(which)}" for word, which in (("lacks", lacking), ("has also", strange)) if which]
        raise Misfit(place, " and ".join(parts))
    kinds = typing.get_type_hints(kind)
    values = {name: shaped(kinds[name], found[name], f"{place}.{name}".removeprefix(".")) for name in names}
    try:
        return kind(**values)
    except ValueError as error:
        raise Misfit(place, str(error)) from error


def _union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    for kind in kinds:
        try:
            return shaped(kind, value, place)
        except Misfit as error:
            misfit = error
            if not isinstance(value, dict | list):
                continue
            if dataclasses.is_dataclass(kind):
                raise
    raise misfit


def _plain(kind: Any, value: Any, place: str) -> Any:
    if kind in (None, type(None)):
        fits, name = value is None, "null"
    elif kind is float:
        fits, name = type(value) in (int, float) and math.isfinite(value), "a number"
    else:
        fits, name = type(value) is kind, {bool: "true or false", int: "a whole number", str: "text"}[kind]
    if not fits:
        raise Misfit(place, f"is {_told(value)}; want {name}")
    return float(value) if kind is float else value


def _sure(kind: type, value: Any, place: str) -> Any:
    if type(value) is not kind:
        raise Misfit(place, f"is {_told(value)}; want {'a list' if kind is list else 'an object'}")
    return value


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
