"""parts: names become parts, text becomes options; every part of every room keeps the rules of its room."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError

EVERY_PART = [(room, name) for room in parts.ROOMS_WITH_PARTS for name in parts.names(room)]


@dataclass(frozen=True)
class Example:
    """An example of every kind of option."""

    frames: int = 8
    rate_fps: float = 1.5
    exact: bool = False
    pool: Literal["max", "average"] = "average"
    side: Literal[1, 2] = 1
    limit: int | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; want at least 1")


@dataclass(frozen=True)
class Needy:
    """Has an option without a default."""

    frames: int


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Example()),
        ({"frames": "64", "rate_fps": "0.5"}, Example(frames=64, rate_fps=0.5)),
        ({"exact": "True", "pool": "max"}, Example(exact=True, pool="max")),
        ({"side": "2", "label": "none"}, Example(side=2, label="none")),
        ({"limit": "3"}, Example(limit=3)),
        ({"limit": "none"}, Example(limit=None)),
    ],
)
def test_text_becomes_the_declared_type(settings: dict[str, str], expected: Example) -> None:
    made = parts.with_settings(Example(limit=9), settings, label="sampler")
    assert made == dataclasses.replace(expected, limit=expected.limit if "limit" in settings else 9)
    assert type(made.side) is int


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"frame": "8"}, "sampler.frame: there is no such option (there are sampler.frames, sampler.rate_fps,"),
        ({"frames": "many"}, "sampler.frames: 'many' does not fit (give a whole number)"),
        ({"frames": "1.5"}, "sampler.frames: '1.5' does not fit (give a whole number)"),
        ({"frames": "0"}, "sampler: frames is 0; want at least 1"),
        ({"rate_fps": "nan"}, "sampler.rate_fps: 'nan' does not fit (give a number)"),
        ({"exact": "yes"}, "sampler.exact: 'yes' does not fit (give true or false)"),
        ({"pool": "sum"}, "sampler.pool: 'sum' does not fit (give one of max, average)"),
        ({"limit": ""}, "sampler.limit: '' does not fit (give a whole number)"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, str], line: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        parts.with_settings(Example(), settings, label="sampler")
    assert str(caught.value).startswith(f"error[usage.bad_option]: {line}")


def test_options_and_defaults_are_the_fields() -> None:
    assert parts.options(Example(frames=3))["frames"] == 3
    assert parts.defaults(Example)["frames"] == 8
    assert parts.defaults(Needy) == {"frames": ...}
    assert parts.summary(Needy) == "Has an option without a default."


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    source = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    frames: int\n"
    source += (
        "    def pick(self, video, question): return [0]\n@dataclass(frozen=True)\nclass Other:\n    size: int = 1\n"
    )
    source += "number = 3\n"
    (tmp_path / "somebodys_parts.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "somebodys_parts"
    sys.modules.pop("somebodys_parts", None)


def test_part_that_lives_elsewhere(elsewhere: str) -> None:
    made = parts.build("samplers", f"{elsewhere}:Mine", {"frames": "5"}, label="sampler")
    assert type(made).__name__ == "Mine"
    assert made.frames == 5


@pytest.mark.parametrize(
    "name", ["{}:Absent", "{}:number", "{}:Other", "no_such_package:Mine", ".x:Mine", ":Mine", "nobodys"]
)
def test_part_that_is_not_there(elsewhere: str, name: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        parts.build("samplers", name.format(elsewhere), {}, label="sampler")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


def test_missing_option_is_told(elsewhere: str) -> None:
    with pytest.raises(LongtakeError, match="missing 1 required positional argument: 'frames'"):
        parts.build("samplers", f"{elsewhere}:Mine", {}, label="sampler")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(LongtakeError) as caught:
        parts.find("samplers", "unifrom")
    assert caught.value.advice.startswith(f"take one of {', '.join(parts.names('samplers'))}")


def test_rooms_have_their_first_parts() -> None:
    assert {"uniform", "middles", "every"} <= set(parts.names("samplers"))
    assert {"grid", "slowfast"} <= set(parts.names("layouts"))
    assert "nano" in parts.names("families")


@pytest.mark.parametrize(("room", "name"), EVERY_PART, ids=lambda value: str(value))
def test_every_part_is_a_documented_frozen_dataclass(room: str, name: str) -> None:
    part = parts.find(room, name)
    assert dataclasses.is_dataclass(part)
    assert part.__dataclass_params__.frozen
    assert parts.summary(part).endswith(".")
    assert not inspect.isabstract(part)


@pytest.mark.parametrize(("room", "name"), EVERY_PART, ids=lambda value: str(value))
def test_every_option_can_be_given_as_text(room: str, name: str) -> None:
    part = parts.find(room, name)
    spelled = {option: str(value) for option, value in parts.defaults(part).items() if value is not ...}
    assert parts.build(room, name, spelled, label=room) == part()
