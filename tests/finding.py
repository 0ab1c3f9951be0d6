"""Run by test_hub in a process of its own, since the hub's client reads its settings when it is imported.

Arguments: `name` or `name@beside`, any number of them, `local:` before those that may not be fetched. Prints a JSON
list: the folder of each, or the refusal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from longtake import checkpoint, loading
from longtake.errors import LongtakeError


def found(argument: str) -> str:
    name, _, beside = argument.removeprefix("local:").partition("@")
    try:
        if beside:
            return str(checkpoint.folder_of(name, beside=Path(beside)))
        return str(loading.folder_of(name, fetch=not argument.startswith("local:")))
    except LongtakeError as error:
        return str(error)


if __name__ == "__main__":
    sys.stdout.write(json.dumps([found(argument) for argument in sys.argv[1:]]))
