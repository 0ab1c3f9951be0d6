"""niah.running: the cells of one run asked, rows and summary written into a folder. Knows no option's spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longtake.errors import writing
from longtake.families import Model
from longtake.niah import Cell, Progress, Row
from longtake.niah.planning import Plan
from longtake.niah.rows import Folder, line_of
from longtake.niah.scoring import summary_of
from longtake.niah.sweep import PromptOf, sweep

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Run:
    """Cells to ask, and where what comes of them goes.

    Attributes:
        model: is asked.
        cells: all of them.
        plan: of these cells.
        folder: where the rows go; what is there already is not asked again.
    """

    model: Model
    cells: Sequence[Cell]
    plan: Plan
    folder: Folder

    @property
    def left(self) -> int:
        """How many cells have not been asked yet."""
        return len({cell.key for cell in self.cells} - {row.key for row in self.folder.done})

    def told_haystack(self) -> dict[str, object] | None:
        """What the folder's summary says of the haystack; None where there is no summary of this very run yet."""
        path = self.folder.path / SUMMARY
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            same = summary["settings"] == json.loads(json.dumps(self.folder.settings))
            told = summary["haystack"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return told if same and isinstance(told, dict) else None

    def rows(self, prompt_of: PromptOf, progress: Progress | None = None) -> list[Row]:
        """Ask what has not been asked yet, writing each row as it comes; all rows, in the order of the cells.

        Args:
            prompt_of: what is read before a cell's question.
            progress: hears of cells.

        Raises:
            LongtakeError: `disk.write`.
        """
        found = list(self.folder.done)
        done, longest_tokens = {row.key for row in found}, self.plan.longest_tokens
        with self.folder.appending() as file:
            for row in sweep(self.model, self.cells, prompt_of, longest_tokens=longest_tokens, done=done):
                file.write(line_of(row))
                found.append(row)
                if progress is not None:
                    progress("cells", len(found), len(self.cells))
        places = {cell.key: place for place, cell in enumerate(self.cells)}
        return sorted(found, key=lambda row: places[row.key])

    def summary(self, rows: Sequence[Row], **more: object) -> dict[str, object]:
        """Figures of the rows, what was read, and `more`; written into the folder too.

        Raises:
            LongtakeError: `disk.write`.
        """
        read: Mapping[str, object] = {"shared": self.plan.shared_tokens, "alone": self.plan.alone_tokens}
        summary = {
            "model": self.model.name,
            **summary_of(rows),
            "trained_context": self.model.engine.trained_context,
            "trained_frames": self.plan.trained_frames,
            "read_tokens": {**read, "factor": round(self.plan.factor, 2)},
            **more,
            "settings": dict(self.folder.settings),
        }
        path = self.folder.path / SUMMARY
        with writing(str(path)):
            path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        return summary
