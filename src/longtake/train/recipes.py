"""train/recipes: a TOML file and settings in, one frozen dataclass out. Knows no recipe; its fields say what fits."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from longtake.errors import ErrorCode, LongtakeError

Recipe = TypeVar("Recipe")

KEPT = "recipe.json"
"""The file of a run's folder that says what is trained there."""


def read_recipe(
    kind: type[Recipe], path: str | None, settings: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> Recipe:
    """A recipe of `kind` from a TOML file, with settings over it.

    Args:
        kind: a frozen dataclass, whose fields are numbers, texts, truths, tuples and dataclasses of these.
        path: the file; None starts from the fields' defaults.
        settings: `KEY=VALUE`, the value as TOML writes it (quotes may be left out); `stages.0.steps=20` reaches inside.
        given: keys with their values, over the file and under the settings.

    Raises:
        LongtakeError: `usage.bad_option`, with the key's name and what fits.
    """
    table = {**(read_table(path) if path is not None else {}), **(given or {})}
    for setting in settings:
        _set(_reachable(kind, table, setting), setting)
    made = _make(kind, table, path or "recipe", "")
    return typing.cast(Recipe, made)


def keep_recipe(folder: Path, told: Mapping[str, Any]) -> None:
    """Write into `folder` what is trained there.

    Raises:
        LongtakeError: `usage.bad_option` if something else is, with the keys that differ.
    """
    path = folder / KEPT
    mine = json.loads(json.dumps(told))
    if not path.exists():
        write_whole(path, json.dumps(mine, indent=2) + "\n")
        return
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise bad_recipe(str(path), f"is no recipe of a training: {error}", "give another --output") from error
    differ = [key for key in {**kept, **mine} if kept.get(key) != mine.get(key)]
    if differ:
        reason = "holds a training of another recipe or of other data: " + "; ".join(
            f"{key} was {_short(kept.get(key))} and is {_short(mine.get(key))}" for key in differ[:3]
        )
        advice = "give the same again to go on, or another --output to begin anew"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(folder), reason, advice)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, whenever the process is killed."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def bad_recipe(where: str, reason: str, advice: str) -> LongtakeError:
    """The refusal of a recipe."""
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, where, reason, advice)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def read_table(path: str) -> dict[str, Any]:
    """What a recipe's file says.

    Raises:
        LongtakeError: `usage.bad_option` for a file that is not there, or no TOML.
    """
    advice = "see the recipes that ship: recipes/"
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise bad_recipe(path, f"cannot be read: {error.strerror or error}", advice) from error
    except ValueError as error:
        raise bad_recipe(path, f"cannot be read as TOML: {error}", advice) from error


def _reachable(kind: Any, table: dict[str, Any], setting: str) -> dict[str, Any]:
    """`table`, with the default written out of a key that `setting` reaches into."""
    first, dot, _ = setting.partition("=")[0].partition(".")
    default = next((field.default for field in dataclasses.fields(kind) if field.name == first), None)
    if dot and first not in table and isinstance(default, tuple):
        table[first] = [dataclasses.asdict(one) for one in default]
    return table


def _set(table: dict[str, Any], setting: str) -> None:
    """Put one `KEY=VALUE` into a table."""
    key, equals, text = setting.partition("=")
    if not (key and equals):
        raise bad_recipe(f"--set {setting}", "is not KEY=VALUE", "write it like --set rate=0.001")
    *way, last = key.split(".")
    place: Any = table
    for step in way:
        try:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        except (ValueError, IndexError) as error:
            advice = f"count from 0; there are {len(place)}"
            raise bad_recipe(f"--set {setting}", f"there is no {step} in the list", advice) from error
    if not isinstance(place, dict):
        raise bad_recipe(f"--set {setting}", "its key names no table", "write it like --set stages.0.steps=20")
    place[last] = _value(text)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _make(kind: Any, table: Any, path: str, key: str) -> Any:
    """`table` as the dataclass `kind`."""
    where = f"{path}: {key}" if key else path
    if not isinstance(table, Mapping):
        raise bad_recipe(where, f"is {_short(table)}", "want a table of keys and values")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in table:
        if name not in fields:
            fits = f"there are {', '.join(fields)}"
            raise bad_recipe(f"{where}{'.' if key else ': '}{name}", "there is no such key", fits)
    values = {name: _fit(hints[name], value, path, f"{key}.{name}" if key else name) for name, value in table.items()}
    needed = dataclasses.MISSING
    lacking = [n for n, f in fields.items() if n not in values and f.default is needed and f.default_factory is needed]
    if lacking:
        raise bad_recipe(where, f"has no {', '.join(lacking)}", "add it")
    try:
        return kind(**values)
    except ValueError as error:
        raise bad_recipe(where, str(error), "see docs/training.md") from error


def refuse_uneven(recipe: Any, step: str, ranks: int) -> None:
    """Refuse a step that so many ranks cannot share.

    Args:
        step: the recipe's key that says how much a step reads.
        ranks: that read different samples.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    count = getattr(recipe, step)
    if count % ranks:
        reason = f"{count} are not to be shared by {ranks} ranks"
        advice = f"change {step}, or the number of ranks"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{step} = {count}", reason, advice)


def _fit(hint: Any, value: Any, path: str, key: str) -> Any:
    """`value` as the type `hint`."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (choice for choice in choices if choice is not type(None))
        return _fit(hint, value, path, key)
    if dataclasses.is_dataclass(hint):
        return _make(hint, value, path, key)
    if typing.get_origin(hint) is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_fit(choices[0], one, path, f"{key}.{place}") for place, one in enumerate(values))
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise bad_recipe(f"{path}: {key}", f"is {_short(value)}", "want a table of names and values")
        return {name: _fit(choices[1], one, path, f"{key}.{name}") for name, one in value.items()}
    if typing.get_origin(hint) is typing.Literal:
        if value not in choices:
            fits = f"take one of {', '.join(map(str, choices))}"
            raise bad_recipe(f"{path}: {key}", f"is {_short(value)}", fits)
        return value
    return _plain(hint, value, f"{path}: {key}")


def _plain(hint: Any, value: Any, where: str) -> Any:
    names = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise bad_recipe(where, f"is {_short(value)}", f"want {names[hint]}")
    if hint is float and not math.isfinite(value):
        raise bad_recipe(where, f"is {value}", "want a finite number")
    return value
