"""Do the tests that docs/parity.md names fail where the recorded numbers are others? `python tests/tampering.py`

In a copy of the tests the recorded files are changed, a few at a time, and the tests named for them are run: minutes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from safetensors.torch import load_file, save_file

from originals import SAME
from parity import GOLDEN, HELD, HERE, RUN

KEPT = ("total", "n", "T", "N", "D", "side", "name", "kind", "checkpoint", "min_frame_num", "max_frame_num")
"""What a case is found by stays, so that it is the answer that is another."""
WORDS = ("prompt", "option_prompt", "options", "option")
"""Where the answer is words."""


def tampered(path: Path) -> None:
    """Other numbers in a recorded file, in the same form."""
    if path.suffix == ".json":
        path.write_text(json.dumps(_other(json.loads(path.read_text()))))
    elif path.suffix == ".npz":
        np.savez(path, **{name: _moved(array) for name, array in np.load(path).items()})  # type: ignore[arg-type]
    else:
        # Pooling does not mind in which order channels stand, so where outputs are told apart only they are changed.
        tensors = load_file(path)
        outputs = [name for name in tensors if name.endswith(".out")] or list(tensors)
        save_file({**tensors, **{name: tensors[name].flip(-1).contiguous() for name in outputs}}, path)


def _other(told: object, key: str = "") -> object:
    if isinstance(told, bool) or key in KEPT:
        return told
    if isinstance(told, dict):
        return {name: _other(value, name) for name, value in told.items()}
    if isinstance(told, list):
        return [_other(value, key) for value in told]
    if isinstance(told, str):
        return told[::-1] if key in WORDS else told
    return told + 1 if isinstance(told, int | float) else told


def _moved(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return array[::-1] if array.dtype == np.uint8 else array + np.asarray(1, array.dtype)


def tried() -> Iterator[tuple[str, str]]:
    """Each recorded file and each test that is said to hold it."""
    for row in HELD:
        for file in (row.file, *row.others):
            yield from ((file, test) for test in row.tests)
    for case in SAME:
        for suffix in (".json", ".npz"):
            yield f"f_e2e/{case.name}{suffix}", f"{RUN}[{case.name}]"


def rounds() -> list[dict[str, set[str]]]:
    """Files with their tests, so that in each round a test is named for one changed file only."""
    tests_of: dict[str, set[str]] = {}
    for file, test in tried():
        tests_of.setdefault(file, set()).add(test)
    made: list[dict[str, set[str]]] = []
    for file, tests in tests_of.items():
        free = [one for one in made if not any(tests & others for others in one.values())]
        made += [] if free else [{}]
        (free or made[-1:])[0][file] = tests
    return made


def failing(folder: Path, tests: set[str]) -> set[str]:
    """Which of the tests fail, with any of their parameters."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run(
        [*command, *(f"tests/{test}" for test in sorted(tests))], cwd=folder, capture_output=True, check=False
    )
    bad = [
        case for case in ElementTree.parse(report).iter("testcase") if case.findall("failure") or case.findall("error")
    ]
    names = {f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}" for case in bad}
    return {test for test in tests if any(name == test or name.startswith(f"{test}[") for name in names)}


def main() -> int:
    """One line for each file and test. 1 if no test of a file minds that it says something else; a test may hold only
    what of a file is refused, or only one of its companions.
    """
    unheld = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tests"
        shutil.copytree(HERE, copy)
        for tests_of in rounds():
            for file in tests_of:
                tampered(copy / "golden" / file)
            failed = failing(Path(folder), set().union(*tests_of.values()))
            for file, tests in tests_of.items():
                shutil.copy(GOLDEN / file, copy / "golden" / file)
                unheld += not tests & failed
                for test in sorted(tests):
                    print("failed" if test in failed else "PASSED", file, test, flush=True)  # noqa: T201
    return 1 if unheld else 0


if __name__ == "__main__":
    sys.exit(main())
