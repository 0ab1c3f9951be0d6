"""evals.benchmarks.textneedle: what `longtake niah` asked in, items out. Knows no model."""

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
class Textneedle:
    """The needle in a haystack of text: a sentence among thousands (Kamradt 2023; LongVA, arXiv 2406.16852)."""

    card: ClassVar[Card] = Card(
        title="text needle",
        files="rows.jsonl, with settings.json beside: the --output of longtake niah --text",
        splits=(
            Split(
                "20 numbers in text",
                1_800,
                digest="44ab14e991ae8d1f2597e097fe98962afae473db9c82e08aaebb48b4b49b3381",
                source="longtake niah --text FILE; which ones, its --seed says",
            ),
            Split(
                "20 drawn needles in captions",
                1_800,
                digest="99fe313078dd4feef237e2e7118fc792b2694f1ac18b0d105f9193c0e3402330",
                source="longtake niah --text world; which ones, its --seed says",
            ),
        ),
        metric="forced accuracy: every token of the right answer is the likeliest one, given those before it",
        source="arXiv 2406.16852, figure on the language model; docs/niah.md",
    )

    def read(self, files: Path) -> Iterator[Item | LongtakeError]:
        """See `Benchmark.read`. `longtake eval textneedle` takes in what came of these questions."""
        yield from read_cells(files, "tokens")

    def asking(self, item: Item) -> Asking | None:
        """As it stands."""
        return Asking()

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """LongVA's forced accuracy, that of what was generated, and the first by length and depth."""
        return needle_figures(marks)
