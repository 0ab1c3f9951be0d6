"""Runs the command line for tests: the real `main`, in this process."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from longtake.cli import main

LONGTAKE = [sys.executable, "-m", "longtake"]
ONE_LINE = re.compile(r"error\[[a-z_.]+\]: [^\n]+ \([^\n]+\)\n")
"""What a refusal looks like: code, what it is about and why, what to do; nothing before or after."""


class Cli:
    """Calling it gives (exit status, standard output, standard error)."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """The object that `--json` prints when all goes well."""
        status, out, err = self(*arguments, "--json")
        assert (status, err) == (0, "")
        found = json.loads(out)
        assert type(found) is dict
        return found
