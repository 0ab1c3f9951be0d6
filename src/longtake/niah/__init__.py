"""niah: a model, a haystack of frames and needles in; how often each needle is found, by length and depth, out.

The visual needle in a haystack, V-NIAH (LongVA, arXiv 2406.16852). This door holds the values; knows nothing of files.

    trials (needles) x frames x depths -> cells -> rows -> summary, heatmap
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""

Beside = Literal["", "before", "behind"]


@dataclass(frozen=True, eq=False)
class Insertion:
    """Pictures that are put into the haystack side by side: one is a needle, several are a clip. Or words, into text.

    Attributes:
        pictures: (H, W, 3) uint8 RGB each, of any size; none where words are put in.
        depth: where, as a share of the haystack; None is the cell's own depth.
        beside: makes `depth` a share of what lies before the cell's depth, or behind it, where an answer hangs on that.
        text: what is put into a haystack of text.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    depth: float | None = None
    beside: Beside = ""
    text: str = ""

    def depth_in(self, cell_depth: float) -> float:
        """Where it goes in a cell of that depth, as a share of the haystack."""
        if self.depth is None:
            return cell_depth
        begin, end = {"": (0.0, 1.0), "before": (0.0, cell_depth), "behind": (cell_depth, 1.0)}[self.beside]
        return begin + self.depth * (end - begin)


@dataclass(frozen=True, eq=False)
class Trial:
    """One question about what was put into the haystack. The plain needle has one insertion, at the cell's depth.

    Attributes:
        name: no other trial of a run has it.
        insertions: what is put in, in the order of their depths at any cell where two fall on one place.
        question: in plain words.
        answer: the right one.
        chance: how often a guess is right; None where nobody can tell.
    """

    name: str
    insertions: tuple[Insertion, ...]
    question: str
    answer: str
    chance: float | None = None

    @property
    def frames(self) -> int:
        """How many pictures are put in."""
        return sum(len(insertion.pictures) for insertion in self.insertions)


@dataclass(frozen=True)
class Cell:
    """A haystack's length, a depth and a trial: one thing to ask.

    Attributes:
        frames: of the haystack, the needle's not counted.
        depth: 0 is before the first frame, 1 behind the last.
        trial: what is put in and asked.
    """

    frames: int
    depth: float
    trial: Trial

    @property
    def key(self) -> tuple[int, float, str]:
        """What no other cell of a run has; of these three a row is made too."""
        return self.frames, round(self.depth, DEPTH_DIGITS), self.trial.name

    @property
    def places(self) -> tuple[int, ...]:
        """Before which frame of the haystack each insertion comes: int(depth x frames), as LongVA inserts."""
        return tuple(int(one.depth_in(self.depth) * self.frames) for one in self.trial.insertions)


DEPTH_DIGITS = 9
"""Depths are told with so many decimals: 3 x 0.1 is written 0.3."""


@dataclass(frozen=True)
class Row:
    """What came of one cell; a line of rows.jsonl.

    Attributes:
        frames, depth, trial: the cell's key.
        places: before which frame of the haystack each insertion came.
        question, expected: as asked, and the right answer.
        chance: the trial's.
        text: what the model generated, greedily.
        forced: whether every token of the right answer was the likeliest, given the right ones before it (LongVA's).
        generated: whether `text` is the right answer.
        logprob: natural logarithm of the right answer's probability.
        tokens: positions of prompt, question and right answer.
        beyond_trained_context: whether those are more than the model was trained to read.
        error: code and reason, where the cell could not be read; nothing is scored then.
    """

    frames: int
    depth: float
    trial: str
    places: tuple[int, ...]
    question: str
    expected: str
    chance: float | None = None
    text: str | None = None
    forced: bool | None = None
    generated: bool | None = None
    logprob: float | None = None
    tokens: int = 0
    beyond_trained_context: bool = False
    error: str | None = None

    @property
    def key(self) -> tuple[int, float, str]:
        """The cell's."""
        return self.frames, self.depth, self.trial


@dataclass(frozen=True)
class Grid:
    """Which lengths and depths are asked for.

    Attributes:
        frames: lengths of the haystack, ascending.
        depths: shares of it, ascending, 0 to 1.
    """

    frames: tuple[int, ...]
    depths: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.frames or min(self.frames) < 1 or list(self.frames) != sorted(set(self.frames)):
            raise ValueError(f"frames are {self.frames}; want whole numbers above 0, ascending")
        if not self.depths or not 0 <= min(self.depths) <= max(self.depths) <= 1:
            raise ValueError(f"depths are {self.depths}; want numbers from 0 to 1")
        if list(self.depths) != sorted(set(self.depths)):
            raise ValueError(f"depths are {self.depths}; want them ascending")

    def cells(self, trials: Sequence[Trial]) -> list[Cell]:
        """Every length, every depth, every trial."""
        return [Cell(frames, depth, trial) for frames in self.frames for depth in self.depths for trial in trials]
