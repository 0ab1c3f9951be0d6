"""evals.benchmarks.vniah: what `longtake niah` asked in, items out. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from longtake.errors import LongtakeError
from longtake.evals import Card, Item, Split
from longtake.evals.asking import Asking
from longtake.evals.figures import Figure, Mark
from longtake.evals.needles import needle_figures, read_cells


@dataclass(frozen=True)
class Vniah:
    """The visual needle in a haystack: a picture among thousands of frames (LongVA, arXiv 2406.16852)."""

    card: ClassVar[Card] = Card(
        title="V-NIAH",
        files="rows.jsonl, with settings.json beside: the --output of longtake niah",
        splits=(
            Split(
                "LongVA's five needles",
                450,
                digest="150e8bf2be827e34d22596eb42d4bf2fae56ed88a4317f9eebbb5bff0e57e1d2",
                source="200 to 3,000 frames by 200, 6 depths, the pictures of its dataset.json",
            ),
            Split(
                "20 drawn needles",
                1_800,
                digest="36043582aed58cb5e35e0cfd93b3f1164a32e78c9fb897cf98b05dea6349d3fc",
                source="longtake niah FILE; which ones, its --seed says",
            ),
        ),
        metric="forced accuracy: every token of the right answer is the likeliest one, given those before it",
        source="arXiv 2406.16852, section on V-NIAH; docs/niah.md",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`. `longtake eval vniah` takes in what came of these questions."""
        yield from read_cells(files, "frames")

    def asking(self, item: Item) -> Asking | None:
        """As it stands."""
        return Asking()

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """LongVA's forced accuracy, that of what was generated, and the first by length and depth."""
        return needle_figures(marks)
