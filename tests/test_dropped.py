"""A new file in samplers/, layouts/ or families/ is a part: listed, tested by the contracts and used as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tiny

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = re.findall(
    r"the whole of `src/longtake/(\w+)/(\w+)\.py`:\n\n```python\n(.*?)```",
    (ROOT / "CONTRIBUTING.md").read_text(),
    re.DOTALL,
)
FAMILY = '''"""families.stranger: nano's networks under another architecture in, a model out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.families import Model
from longtake.families.nano import Nano


@dataclass(frozen=True)
class Stranger:
    """Looks and speaks as nano does."""

    def fits(self, config: dict[str, object]) -> bool:
        return config.get("architectures") == ["Stranger"]

    def networks(self, config: dict[str, Any], *, folder: Path) -> Any:
        return Nano().networks(config, folder=folder)

    def renamed(self, name: str) -> str | None:
        return name.removeprefix("strange.")

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        return Nano().load(folder, name=name, device=device, dtype=dtype)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with three more files in it, as a folder to import from."""
    home = tmp_path_factory.mktemp("src")
    copy = home / "longtake"
    shutil.copytree(ROOT / "src" / "longtake", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for room, name, source in (*EXAMPLES, ("families", "stranger", FAMILY)):
        assert not (copy / room / f"{name}.py").exists()
        (copy / room / f"{name}.py").write_text(source)
    return home


def run(package: Path, *arguments: object) -> str:
    """What `python ARGUMENTS...` says, with that copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_they_are_listed_with_their_options(package: Path) -> None:
    told = json.loads(run(package, "-m", "longtake", "list", "--json"))
    listed = {room: {part["name"]: part for part in told[room]} for room in ("samplers", "layouts", "families")}
    assert listed["samplers"]["ends"]["options"] == {"frames": 8}
    assert listed["layouts"]["mean"]["summary"] == "One token a frame: the mean over its places."
    assert listed["families"]["stranger"]["summary"] == "Looks and speaks as nano does."


def test_the_contracts_run_over_them(package: Path) -> None:
    files = ("test_parts.py", "test_samplers.py", "test_layouts.py", "test_families.py")
    chosen = ("-k", "ends] or mean] or stranger]", "-v", "-p", "no:cacheprovider")
    told = run(package, "-m", "pytest", *(ROOT / "tests" / name for name in files), *chosen)
    for contract in (
        "every_part_is_a_documented_frozen_dataclass[samplers-ends]",
        "every_part_is_a_documented_frozen_dataclass[layouts-mean]",
        "every_part_is_a_documented_frozen_dataclass[families-stranger]",
        "count_is_what_is_arranged[mean]",
        "every_family_keeps_its_contract[stranger]",
    ):
        assert f"::test_{contract} PASSED" in told
    assert re.search(r"::test_\w+\[ends\] PASSED", told), "the samplers' own contracts"


def test_they_answer(package: Path, bunny: Path, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Stranger"]}))
    asked = ("ask", bunny, "what number is on the star?", "--model", folder, "--max-new-tokens", "2")
    told = json.loads(run(package, "-m", "longtake", *asked, "--sampler", "ends", "--layout", "mean", "--json"))
    (film,) = told["files"]
    assert (film["parts"]["sampler"]["name"], film["parts"]["layout"]["name"]) == ("ends", "mean")
    assert told["tokens"]["visual"] == len(film["frames"]) == 8
