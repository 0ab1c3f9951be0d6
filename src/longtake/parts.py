"""parts: a room and a name in, the part of that name out. The folder is the registry. Knows no part by name.

`layouts/slowfast.py` *is* the layout `slowfast`: its part is the class whose name is the file's without underscores,
in any case (`SlowFast`). `mypackage.mine:Mine` names a part that lives elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from longtake.errors import ErrorCode, LongtakeError

ROOMS_WITH_PARTS = ("samplers", "layouts", "families")


def names(room: str) -> list[str]:
    """The names of all parts that live in `room`, sorted."""
    package = importlib.import_module(f"longtake.{room}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))


def find(room: str, name: str) -> type[Any]:
    """The class of the part `name` of `room`, or of `package.module:Class`.

    Raises:
        LongtakeError: `usage.bad_option` if there is no such part.
    """
    module_name, _, class_name = name.partition(":")
    if class_name:
        try:
            return typing.cast("type[Any]", getattr(importlib.import_module(module_name), class_name))
        except (ImportError, AttributeError) as error:
            raise LongtakeError(
                ErrorCode.USAGE_BAD_OPTION, name, f"cannot be imported: {error}", "write package.module:Class"
            ) from error
    known = names(room)
    if name not in known:
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION, name, f"is none of the {room}", f"take one of {', '.join(known)}, or module:Class"
        )
    module = importlib.import_module(f"longtake.{room}.{name}")
    wanted = name.replace("_", "")
    return next(
        thing
        for key, thing in vars(module).items()
        if key.lower() == wanted and isinstance(thing, type) and thing.__module__ == module.__name__
    )


def summary(part: type[Any]) -> str:
    """The first line of the part's docstring."""
    return (part.__doc__ or "").strip().splitlines()[0]


def options(part: object) -> dict[str, object]:
    """The part's own options, by name: the fields of its dataclass."""
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(typing.cast(Any, part)) if field.init}


def with_settings(part: Any, settings: Mapping[str, str], *, room: str) -> Any:
    """`part` with some fields replaced by values parsed from text, each by its field's declared type.

    Args:
        part: a frozen dataclass instance.
        settings: field name -> text, as in `--set layout.slow_frames=8`.
        room: how messages call the part ("layout").

    Raises:
        LongtakeError: `usage.bad_option` for an unknown field or a value that does not fit it.
    """
    types = typing.get_type_hints(type(part))
    known = options(part)
    values: dict[str, object] = {}
    for key, text in settings.items():
        if key not in known:
            fits = ", ".join(f"{room}.{name}" for name in known) or f"none: {type(part).__name__} has no options"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{room}.{key}", "there is no such option", f"there are {fits}")
        values[key] = _parse(text, types[key], f"{room}.{key}")
    try:
        return dataclasses.replace(part, **values)
    except ValueError as error:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, room, str(error), "give a value that fits") from error


def build(room: str, name: str, settings: Mapping[str, str], *, label: str) -> Any:
    """The part `name` of `room` with its default options, but for `settings` (see `with_settings`)."""
    return with_settings(find(room, name)(), settings, room=label)


def _parse(text: str, kind: Any, label: str) -> object:
    allowed: Sequence[Any] = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        if text in allowed:
            return text
        fits = "one of " + ", ".join(map(str, allowed))
    elif kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        fits = "true or false"
    elif type(None) in allowed:
        if text.lower() == "none":
            return None
        return _parse(text, next(option for option in allowed if option is not type(None)), label)
    else:
        try:
            return kind(text)
        except ValueError:
            fits = {int: "a whole number", float: "a number"}.get(kind, str(kind))
    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, label, f"{text!r} does not fit", f"give {fits}")
