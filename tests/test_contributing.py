"""CONTRIBUTING.md and README.md: their examples work as they stand there."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import typer

import longtake
from longtake import parts
from longtake.cli.app import app
from longtake.vision import FeatureGrid, GridShape

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = re.findall(r"the whole of `src/longtake/(\w+)/(\w+)\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def with_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The rooms, each with one more folder that holds the example's file."""
    for room, name, source in EXAMPLES:
        folder = tmp_path / room
        folder.mkdir()
        (folder / f"{name}.py").write_text(source)
        package = importlib.import_module(f"longtake.{room}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    yield longtake
    for room, name, _ in EXAMPLES:
        sys.modules.pop(f"longtake.{room}.{name}", None)


def test_there_is_a_sampler_and_a_layout() -> None:
    assert [(room, name) for room, name, _ in EXAMPLES] == [("samplers", "ends"), ("layouts", "mean")]


def test_example_sampler(with_examples: ModuleType, bunny: Path) -> None:
    assert "ends" in parts.names("samplers")
    video = with_examples.open_video(str(bunny))
    last = int(video.numbers[-1])
    sampler = parts.build("samplers", "ends", {"frames": "4"}, label="sampler")
    assert sampler.pick(video, "") == [0, 1, last - 1, last]


def test_example_layout(with_examples: ModuleType) -> None:
    layout = parts.build("layouts", "mean", {}, label="layout")
    grid = FeatureGrid(torch.tensor([[[[1.0], [3.0]]], [[[5.0], [9.0]]]]), np.array([0.0, 2.0]))
    (piece,) = layout.arrange(grid)
    assert piece.tokens_ND.tolist() == [[2.0], [7.0]]
    assert piece.times_s.tolist() == [0.0, 2.0]
    assert layout.count(GridShape(2, 1, 2)) == len(piece.tokens_ND)


def test_every_longtake_line_of_the_readme_is_a_command_with_such_options() -> None:
    whole_lines = re.sub(r"\\\n\s*", "", (ROOT / "README.md").read_text())  # a backslash continues a command
    lines = re.findall(r"^\$ longtake (.+?)(?:\s{2,}#.*)?$", whole_lines, re.MULTILINE)
    command = typer.main.get_command(app)
    assert len(lines) >= 10
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        command.commands[name].make_context(name, arguments)
