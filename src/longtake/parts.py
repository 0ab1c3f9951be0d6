"""parts: a room and a name in, the part of that name out. The folder is the registry. Knows no part by name.

`layouts/slowfast.py` *is* the layout `slowfast`: its part is the class whose name is the file's without underscores,
in any case (`SlowFast`). `mypackage.mine:Mine` names a part that lives elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from longtake.errors import ErrorCode, LongtakeError

METHODS = {
    "samplers": ("pick",),
    "layouts": ("arrange", "count"),
    "ropes": ("turning", "reads", "by_length"),
    "methods": ("cost", "watch", "ask"),
    "families": ("fits", "networks", "trained_context", "renamed", "load"),
    "evals.benchmarks": ("read", "asking", "figures"),
}
"""What a part of each room, or of a folder in one, can do (the protocol at its door)."""
ROOMS_WITH_PARTS = tuple(room for room in METHODS if "." not in room)
"""Those that make up a model; benchmarks are listed by docs/evals.md."""


def names(room: str) -> list[str]:
    """The names of all parts that live in `room`, sorted. A file whose name begins with `_` is no part."""
    package = importlib.import_module(f"longtake.{room}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))


def find(room: str, name: str) -> type[Any]:
    """The class of the part `name` of `room`, or of `package.module:Class`.

    Raises:
        LongtakeError: `usage.bad_option` if there is no such part.
    """
    if ":" in name:
        return _find_elsewhere(room, name)
    known = names(room)
    if name not in known:
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION,
            name,
            f"is none of the {room.rpartition('.')[2]}",
            f"take one of {', '.join(known)}, or package.module:Class",
        )
    module = importlib.import_module(f"longtake.{room}.{name}")
    wanted = name.replace("_", "")
    own = [part for part in vars(module).values() if isinstance(part, type) and part.__module__ == module.__name__]
    return next(part for part in own if part.__name__.lower() == wanted)


def summary(part: type[Any]) -> str:
    """The first line of the part's docstring."""
    return (part.__doc__ or "").strip().partition("\n")[0]


def options(part: object) -> dict[str, object]:
    """The options of a part, by name: the fields of its dataclass."""
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(typing.cast(Any, part)) if field.init}


def told(part: Any, room: str) -> dict[str, object]:
    """A part by the name that finds it again, with its options."""
    home, own = type(part).__module__, f"longtake.{room}."
    name = home.removeprefix(own) if home.startswith(own) else f"{home}:{type(part).__qualname__}"
    return {"name": name, "options": options(part)}


def defaults(part: type[Any]) -> dict[str, object]:
    """The default of each option of a part's class; an option without one must be given and shows as `...`."""
    return {
        field.name: ... if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(part)
        if field.init
    }


def with_settings(part: Any, settings: Mapping[str, str], *, label: str) -> Any:
    """`part` with some fields replaced by values parsed from text, each by its field's declared type.

    Args:
        part: an instance of a frozen dataclass.
        settings: field name -> text, as in `--set layout.slow_frames=8`.
        label: how messages call the part ("layout").

    Raises:
        LongtakeError: `usage.bad_option` for an unknown field or a value that does not fit it.
    """
    values = _parsed(type(part), settings, label=label)
    return _made(lambda: dataclasses.replace(part, **values), label)


def build(room: str, name: str, settings: Mapping[str, str], *, label: str) -> Any:
    """The part `name` of `room` with its default options, but for `settings`.

    Raises:
        LongtakeError: `usage.bad_option`; see `find` and `with_settings`.
    """
    part = find(room, name)
    values = _parsed(part, settings, label=label)
    return _made(lambda: part(**values), label)


def _parsed(part: type[Any], settings: Mapping[str, str], *, label: str) -> dict[str, object]:
    """The values that `settings` spells for fields of the dataclass `part`.

    Raises:
        LongtakeError: `usage.bad_option` for an unknown field or a value that does not fit it.
    """
    kinds = typing.get_type_hints(part)
    known = [field.name for field in dataclasses.fields(part) if field.init]
    for key in settings:
        if key not in known:
            fits = ", ".join(f"{label}.{name}" for name in known)
            advice = f"there are {fits}" if known else f"{part.__name__} has no options"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{label}.{key}", "there is no such option", advice)
    return {key: _parse(text, kinds[key], f"{label}.{key}") for key, text in settings.items()}


def _find_elsewhere(room: str, name: str) -> type[Any]:
    module_name, _, class_name = name.partition(":")
    try:
        part = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        reason, advice = f"cannot be imported: {error}", "write package.module:Class of something installed"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, name, reason, advice) from error
    if not (isinstance(part, type) and dataclasses.is_dataclass(part)):
        reason, advice = "is not a dataclass", "a part is a frozen dataclass; see CONTRIBUTING.md"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, name, reason, advice)
    lacking = [method for method in METHODS[room] if not hasattr(part, method)]
    if lacking:
        reason = f"is none of the {room}: it has no {' and no '.join(lacking)}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, name, reason, "see CONTRIBUTING.md")
    return part


def _made(make: Callable[[], Any], label: str) -> Any:
    """What `make` makes; a value that the part itself refuses is the user's to mend."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        advice = "give a value that fits: `longtake list` shows the options"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, label, str(error), advice) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: dict[type, tuple[Callable[[str], object], str]] = {
    bool: (_truth, "true or false"),
    int: (int, "a whole number"),
    float: (_finite, "a number"),
    str: (str, "text"),
}


def _parse(text: str, kind: Any, label: str) -> object:
    """`text` as a value of the declared type `kind`: bool, int, float, str, a Literal, or one of these or None."""
    choices = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in choices:
            return None
        (kind,) = (choice for choice in choices if choice is not type(None))
        return _parse(text, kind, label)
    if typing.get_origin(kind) is typing.Literal:
        spelled = {str(choice): choice for choice in choices}
        read, fits = spelled.__getitem__, "one of " + ", ".join(spelled)
    else:
        read, fits = _READERS[kind]
    try:
        return read(text)
    except (KeyError, ValueError) as error:
        reason = f"{text!r} does not fit"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, label, reason, f"give {fits}") from error
