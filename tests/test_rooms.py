"""The rules of docs/rooms.md, held against every file of the package; and proof that each rule can be broken."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "longtake"
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400
HEAVY = {"torch", "numpy", "av", "typer", "rich", "PIL", "transformers", "tokenizers", "safetensors"}
TORCHLESS_ROOMS = {"errors", "parts", "shares", "video", "samplers", "pictures", "doctor", "evals", "cli"}


@dataclass(frozen=True)
class Room:
    """One row of the table in docs/rooms.md."""

    may_import: frozenset[str]
    lazily: frozenset[str]
    doors: frozenset[str]


@dataclass(frozen=True)
class Import:
    """One imported module of this package, by its path below `longtake` ("" is the package itself)."""

    module: str
    lazy: bool
    line: int

    @property
    def room(self) -> str:
        return self.module.partition(".")[0] or "longtake"


def read_table() -> dict[str, Room]:
    lines = [line for line in (ROOT / "docs" / "rooms.md").read_text().splitlines() if line.startswith("| `")]
    rows = [line.split("|")[1:-1] for line in lines]
    rooms: dict[str, Room] = {}
    everything = frozenset(row[0].strip(" `") for row in rows)
    for cell, _, imports, doors in rows:
        name = cell.strip(" `")
        assert name not in rooms, f"docs/rooms.md has two rows for {name}"
        lazily = frozenset(re.findall(r"`(\w+)` inside a function", imports))
        named = everything if "every room" in imports else frozenset(re.findall(r"`(\w+)`", imports))
        rooms[name] = Room(named - lazily, lazily, frozenset(re.findall(r"`([\w.]+)`", doors)))
    return rooms


ROOMS = read_table()


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = SOURCE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room_of(module: str) -> str:
    head = module.partition(".")[0]
    return head if head not in ("", "__main__") else {"": "longtake", "__main__": "cli"}[head]


def own_imports(tree: ast.Module) -> list[Import]:
    """What a file imports from this package, wherever the statement stands."""
    inside_functions = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if node.module == "longtake" and is_module(name.removeprefix("longtake.")) else str(node.module)
                for name in names
            ]
        else:
            continue
        found += [
            Import(name.removeprefix("longtake").removeprefix("."), id(node) in inside_functions, node.lineno)
            for name in names
            if name.split(".")[0] == "longtake"
        ]
    return found


def import_faults(module: str, tree: ast.Module) -> list[str]:
    faults = [
        f"{module}:{node.lineno}: relative import"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    here = room_of(module)
    for imported in own_imports(tree):
        there = imported.room
        if there == here:
            continue
        allowed = ROOMS[here].may_import | (ROOMS[here].lazily if imported.lazy else frozenset())
        if there not in allowed:
            faults.append(f"{module}:{imported.line}: {here} may not import {there}")
        elif imported.module not in {"", there} | ROOMS[there].doors:
            faults.append(f"{module}:{imported.line}: {imported.module} is no door of {there}")
    return faults


def first_line_faults(module: str, source: str) -> list[str]:
    room = room_of(module)
    prefixes = [f"{room}:", f"{room} (outer ring):", f"{module}:", f"{module.replace('.', '/')}:"]
    if module in ("", "__main__"):
        prefixes = ["longtake answers", "cli:"]
    line = source.partition("\n")[0]
    return [] if any(line.startswith(f'"""{prefix} ') for prefix in prefixes) else [f"{module}: begins {line!r}"]


def weight_faults(module: str, tree: ast.Module) -> list[str]:
    """Statements that do something when the file is imported, and writes on other packages' attributes."""
    quiet = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Assert, ast.FunctionDef, ast.ClassDef, ast.If)
    faults = [
        f"{module}:{node.lineno}: does something on import"
        for node in tree.body
        if not isinstance(node, quiet) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    packages = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            base = target
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(target, ast.Attribute) and isinstance(base, ast.Name) and base.id in packages:
                faults.append(f"{module}:{node.lineno}: writes on {ast.unparse(target)}")
    return faults


def torch_faults(module: str, tree: ast.Module) -> list[str]:
    if room_of(module) not in TORCHLESS_ROOMS:
        return []
    return [
        f"{module}:{node.lineno}: imports torch"
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if str(name).split(".")[0] in ("torch", "transformers")
    ]


def faults_of(module: str, source: str) -> list[str]:
    tree = ast.parse(source)
    lines = len(source.splitlines())
    return [
        *first_line_faults(module, source),
        *import_faults(module, tree),
        *weight_faults(module, tree),
        *torch_faults(module, tree),
        *([f"{module}: {lines} lines, at most {MOST_LINES}"] if lines > MOST_LINES else []),
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_file_keeps_the_rules(path: Path) -> None:
    module = module_of(path)
    assert room_of(module) in ROOMS, "a new room wants a row in docs/rooms.md"
    assert faults_of(module, path.read_text()) == []


def test_every_room_of_the_table_exists() -> None:
    assert {room_of(module_of(path)) for path in FILES} == set(ROOMS)


def test_no_room_is_allowed_one_below_it() -> None:
    order = list(ROOMS)
    last = order.index("train")
    for place, name in enumerate(order[:last]):
        assert ROOMS[name].may_import <= set(order[:place]), name
    assert all("train" not in room.may_import for name, room in ROOMS.items() if name != "train")


def test_every_door_exists_and_is_its_rooms() -> None:
    for name, room in ROOMS.items():
        for door in room.doors:
            assert door.startswith(f"{name}."), door
            assert is_module(door), door


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("video.scan", '"""video: x"""\nfrom longtake.vision import FeatureGrid\n', "video may not import vision"),
        ("video.scan", '"""video: x"""\nfrom longtake import vision\n', "video may not import vision"),
        ("video.scan", '"""video: x"""\ndef f():\n    import longtake.engines\n', "video may not import engines"),
        ("samplers.mine", '"""samplers: x"""\nfrom longtake.video.packets import scanning\n', "is no door of video"),
        ("layouts.mine", '"""layouts: x"""\nfrom .grid import Grid\n', "relative import"),
        ("pipeline", '"""pipeline: x"""\ndef f():\n    import longtake.train\n', "pipeline may not import train"),
        ("cli.app", '"""cli: x"""\nimport longtake.train\n', "cli may not import train"),
        ("layouts.mine", '"""vision: x"""\n', "begins"),
        ("layouts.mine", "import torch\n", "begins"),
        ("layouts.mine", '"""layouts: x"""\nimport torch\ntorch.manual_seed(0)\n', "does something on import"),
        ("layouts.mine", '"""layouts: x"""\nimport torch\ntorch.nn.gelu = None\n', "writes on torch.nn.gelu"),
        ("samplers.mine", '"""samplers: x"""\nimport torch\n', "imports torch"),
        ("layouts.mine", '"""layouts: x"""\n' + "x = 1\n" * MOST_LINES, "401 lines"),
    ],
)
def test_each_rule_can_be_broken(module: str, source: str, fault: str) -> None:
    assert [text for text in faults_of(module, source) if fault in text]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("layouts.mine", '"""layouts/mine: x"""\nfrom longtake.vision import FeatureGrid\nimport torch\n'),
        ("cli.train", '"""cli/train: x"""\ndef f():\n    import longtake.train\n'),
    ],
)
def test_what_is_allowed_is_no_fault(module: str, source: str) -> None:
    assert faults_of(module, source) == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, longtake; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "longtake" in loaded
    assert HEAVY & set(loaded) == set()
