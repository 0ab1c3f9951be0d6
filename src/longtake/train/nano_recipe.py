"""train/nano_recipe: what a nano is made of, its stages and controls, and how much of everything, as values."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.train.base import AGAIN, BASE
from longtake.train.read import LONG, LONG_CUT_SHORT, Diet

SIDE_PX = 96
TOWER_WIDTH = 128
WIDTH = 128
PROJECTOR_WIDTH = 2048
"""Wide enough to hold the vectors of 1,200 values: with 512 they came out at a cosine of 0.8 to their words."""
LAYERS = 4
BASE_THETA = 1e4
"""RoPE's base while short films are read."""
LONG_THETA = 3e7
"""RoPE's base from then on: the slowest pairs turn less than once in 16,384 positions."""
DEFAULT_FRAMES = 64
SHARDS = 2
"""Files that the training pictures are drawn into, each by a process of its own; one more holds the held-out ones."""
MINUTES = 75
"""On two cores with bfloat16 matrix units. Measured once: 4 to draw, 62 for the stages, 6 for the exam."""
MINUTES_AGAIN = 25
"""More, where short films have to be read again: one reading took 18 to 27."""


@dataclass(frozen=True)
class Branch:
    """What becomes of the language model after `base`.

    Attributes:
        name: of the stage, and of the folder that the model is written to.
        theta: RoPE's base from here on.
        diet: what is read.
        steps: of as many tokens each.
        from_stage: whose weights it begins with.
        context: positions that it is then trained to read.
    """

    name: str
    theta: float
    diet: Diet
    steps: int
    context: int
    from_stage: str = BASE


SHORT_CONTEXT = 256
NANO = Branch("long", LONG_THETA, LONG, 3_000, LONG.span)
SHORT_ONLY = Branch("control_a", BASE_THETA, LONG_CUT_SHORT, 3_000, SHORT_CONTEXT)
WIDER_BASE_AT_TEST = Branch("control_b", LONG_THETA, LONG_CUT_SHORT, 0, SHORT_CONTEXT, from_stage="control_a")
SHORT_AT_WIDER_BASE = Branch("control_c", LONG_THETA, LONG_CUT_SHORT, 3_000, SHORT_CONTEXT)
STAGES = (BASE, AGAIN, NANO.name, "see", "meet", "align")
CONTROLS = (SHORT_ONLY, WIDER_BASE_AT_TEST, SHORT_AT_WIDER_BASE)


@dataclass(frozen=True)
class Recipe:
    """How much of everything; `share` of 1 makes the shipped weights.

    Attributes:
        share: of every number of steps and pictures; a hundredth learns nothing, but everything runs.
        seed: of data and first weights.
        questions: graded questions of the exam.
    """

    share: float = 1.0
    seed: int = 0
    questions: int = 800

    def __post_init__(self) -> None:
        if not 0.01 <= self.share <= 10:  # of fewer pictures none may show what a text tells of
            raise ValueError(f"share is {self.share}; want at least 0.01 and at most 10")

    def part(self, whole: int) -> int:
        """`share` of `whole`, at least 4."""
        return max(4, round(whole * self.share))
