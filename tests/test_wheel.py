"""The wheel: everything is inside, and installed away from the checkout it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("longtake-*-py3-none-any.whl")
    return path


def test_everything_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    tracked = subprocess.run(["git", "ls-files", "src/longtake"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {name.removeprefix("src/") for name in tracked.stdout.split()}
    assets = {f"longtake/assets/nano/{name}" for name in ("model.safetensors", "config.json", "tokenizer.json")}
    assets |= {"longtake/assets/nano/README.md", "longtake/assets/demo/hour.mp4", "longtake/assets/demo/questions.json"}
    assert assets | {"longtake/py.typed"} <= wanted
    assert wanted <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_it_answers_away_from_the_checkout(wheel: Path, bunny: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True)
    code = (
        "import sys, longtake, longtake.cli; print(longtake.__file__, file=sys.stderr); "
        "sys.exit(longtake.cli.main(sys.argv[1:]))"
    )
    # -S leaves out the .pth file by which the checkout itself is installed; the packages are put back by path.
    paths = [str(target), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    question = ["ask", str(bunny), "What number is on the red star?", "--frames", "4", "--json"]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *question],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == str(target / "longtake" / "__init__.py")
    assert type(json.loads(done.stdout)["answer"]) is str
