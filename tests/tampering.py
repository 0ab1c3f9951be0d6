"""Does each test that docs/parity.md names fail where the recorded numbers are others? `python tests/tampering.py`

In a copy of the tests each recorded file is changed, one after the other, and the tests named for it are run: minutes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from originals import SAME
from parity import GOLDEN, HELD, HERE, RUN

KEPT = ("total", "n", "T", "N", "D", "side", "name", "kind", "checkpoint", "min_frame_num", "max_frame_num")
"""What a case is found by stays, so that it is the answer that is another."""


def tampered(path: Path) -> None:
    """Other numbers in a recorded file, in the same form."""
    if path.suffix == ".json":
        path.write_text(json.dumps(_other(json.loads(path.read_text()))))
    elif path.suffix == ".npz":
        np.savez(path, **{name: _moved(array) for name, array in np.load(path).items()})  # type: ignore[arg-type]
    else:
        tensors = load_file(path)
        save_file({name: tensor.flip(-1).contiguous() for name, tensor in tensors.items()}, path)


def _other(told: object, key: str = "") -> object:
    if isinstance(told, bool) or key in KEPT:
        return told
    if isinstance(told, dict):
        return {name: _other(value, name) for name, value in told.items()}
    if isinstance(told, list):
        return [_other(value, key) for value in told]
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


def main() -> int:
    """One line for each; 1 if a test passes all the same."""
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tests"
        shutil.copytree(HERE, copy)
        for file, test in tried():
            if sys.argv[1:] and sys.argv[1] not in file:
                continue
            tampered(copy / "golden" / file)
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{test}"]
            ended = subprocess.run(command, cwd=folder, capture_output=True, check=False)
            shutil.copy(GOLDEN / file, copy / "golden" / file)
            passed += ended.returncode == 0
            print("PASSED" if ended.returncode == 0 else "failed", file, test, flush=True)  # noqa: T201
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
