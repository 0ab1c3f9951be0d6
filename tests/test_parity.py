"""The page of what is equal to the originals: every recorded file has its row, and every row tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from originals import REFUSED, SAME
from parity import GOLDEN, HELD, HERE, QUIRKS, SECTIONS, Held, count_in, page, recorded_files

LEFT = ("judge_prompts.json",)
"""Somebody else's wording, which a user may supply; nothing here is made from it."""


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((HERE / file).read_text())


def function_of(test: str) -> ast.FunctionDef:
    file, _, name = test.partition("::")
    (found,) = [node for node in tree_of(file).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found


def test_every_recorded_file_has_one_row() -> None:
    told = [file for row in HELD for file in (row.file, *row.others)]
    assert len(set(told)) == len(told)
    assert sorted(told) == [file for file in recorded_files() if not file.startswith("f_e2e/")]


def test_nothing_that_was_recorded_is_left_out(shared: Path) -> None:
    """The files are the recorded ones to the byte, but for the one list that is cut."""
    for section in SECTIONS:
        theirs = {path.name: path for path in (shared / "golden" / section).iterdir() if path.name not in LEFT}
        assert set(theirs) == {path.name for path in (GOLDEN / section).iterdir()}
        for name, path in theirs.items():
            if name != "vniah_fps.json":
                assert path.read_bytes() == (GOLDEN / section / name).read_bytes(), name
    for path in (shared / "golden" / "checkpoints").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (GOLDEN / path.relative_to(shared / "golden")).read_bytes(), path


@pytest.mark.parametrize("row", HELD, ids=lambda row: row.file)
def test_a_row_is_counted_and_held(row: Held) -> None:
    assert row.cases == count_in(row.file)
    assert row.tests or row.refused.startswith("all: ")
    folder, _, name = row.file.partition("/")
    stem = re.sub(r"^(longva|sf)", "", Path(name).stem)
    for test in row.tests:
        text = (HERE / test.partition("::")[0]).read_text()
        assert folder in text and stem in text, f"{test} does not read {row.file}"


@pytest.mark.parametrize(
    "test", sorted({test for row in (*HELD, *QUIRKS) for test in row.tests}), ids=lambda test: test.partition("::")[2]
)
def test_a_named_test_exists_and_is_not_skipped(test: str) -> None:
    told = ast.unparse(function_of(test))
    assert "skip" not in told and "xfail" not in told
    assert "assert" in told


def test_the_page_tells_every_case() -> None:
    told = page()
    for name in [row.file.partition("/")[2] for row in HELD] + [case.name for case in (*SAME, *REFUSED)]:
        assert f"`{name}`" in told
    assert sum(line.startswith("| `") and "**refused**" in line for line in told.splitlines()) == len(REFUSED)
    assert all(case.quirk for case in REFUSED)


def test_every_whole_run_has_answers_wide_enough_apart() -> None:
    """A greedy token is only worth comparing where the second likeliest is further off than the tolerance."""
    for case in SAME:
        steps = np.sort(np.asarray(case.recorded["step_logits"]), axis=-1)
        assert float((steps[:, -1] - steps[:, -2]).min()) > 1e-3, case.name
