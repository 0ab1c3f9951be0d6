"""docs/ and its neighbours: nothing in them is still to be filled in, and headings are headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "recipes").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
UNFILLED = re.compile(r"\b(TODO|TBD|TBC|FIXME|XXX|PLACEHOLDER)\b|\?\?\?|@@|\{\{|<[A-Z]+_[A-Z_]+>|\bto be filled in\b")


def lines(page: str) -> list[str]:
    """Those of a page that are no code, numbered from its first."""
    return re.sub(r"^( *)```.*?^\1```", lambda code: "\n" * code[0].count("\n"), page, flags=re.M | re.S).splitlines()


def crowded(page: str) -> list[str]:
    """Headings without an empty line above."""
    told = lines(page)
    return [line for above, line in zip(told, told[1:], strict=False) if re.match(r"#{1,6} ", line) and above.strip()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_still_to_be_filled_in(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if UNFILLED.search(line)] == []
    assert crowded(page) == []


@pytest.mark.parametrize(
    "line", ["| TODO | 3 |", "takes ??? GiB", "held: @@held", "{{ hours }}", "<PEAK_GIB>", "to be filled in"]
)
def test_what_is_still_to_be_filled_in_is_found(line: str) -> None:
    assert UNFILLED.search(line)


def test_a_heading_that_is_stuck_to_what_is_above_it_is_found() -> None:
    assert crowded("# One\n\nText.\n## Two\n\n```\nx\n# no heading\n```\n") == ["## Two"]
