"""train/skips: samples that are left out, and why, in; each told once, however often a training goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from longtake.errors import LongtakeError
from longtake.train.spread import ONE, Spread

SKIPPED = "skipped.jsonl"


@dataclass
class Skips:
    """What was left out, and why; kept in a file, so that a training which goes on counts nothing twice.

    Of several ranks the leading one keeps the file; what others leave out it hears when they all `share`.
    """

    path: Path | None
    spread: Spread = ONE
    _waiting: list[LongtakeError] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        kept = self.path.read_text(encoding="utf-8") if self.path and self.path.exists() else ""
        whole = kept[: kept.rfind("\n") + 1]
        if self.path and whole != kept and self.spread.leads:
            # A process that was killed may have left half a line; that sample will be met again.
            self.path.write_text(whole, encoding="utf-8")
        self._seen = {json.loads(line)["sample"] for line in whole.splitlines()}

    @property
    def count(self) -> int:
        """Samples left out."""
        return len(self._seen)

    def notes(self) -> list[str]:
        """What the summary says of it."""
        return [f"{self.count:,} samples were left out; {self.path} says which and why"] if self.count else []

    def hear(self, error: LongtakeError) -> None:
        """Count one sample."""
        if error.subject not in self._seen and not self.spread.leads:
            self._waiting.append(error)
        self._count(error)

    def share(self) -> None:
        """Let all ranks count what any of them has left out. Every rank calls it."""
        waiting, self._waiting = self._waiting, []
        for some in self.spread.told(waiting):
            for error in some:
                self._count(error)

    def _count(self, error: LongtakeError) -> None:
        if error.subject in self._seen:
            return
        self._seen.add(error.subject)
        if self.path is not None and self.spread.leads:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"sample": error.subject, "reason": error.reason}) + "\n")
