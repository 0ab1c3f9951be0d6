"""niah.planning: cells in, what asking them will cost out, before anything is read. Knows nothing of files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from longtake.engines import Engine
from longtake.families import Model
from longtake.niah import Cell, Grid
from longtake.niah.sweep import Asking, PromptOf, in_reading_order, shared_tokens
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.video.times import spoken_s

FIRST_TOKENS, MORE_TOKENS = 1024, 3072
"""What is read to measure the machine: a short prompt, and what a longer one costs beyond it."""


@dataclass(frozen=True)
class Plan:
    """What a run will read.

    Attributes:
        cells: how many questions.
        longest_tokens: positions of the longest prompt, its question included.
        reads: for each cell, positions that are there already and positions that are read.
        steps: times that a few tokens are read or one is generated.
        alone_tokens: what one forward pass for each cell would read, question and right answer included.
        shared_tokens: the same of what is read.
        trained_frames: the longest haystack that the model was trained to read; None where that is all of them.
    """

    cells: int
    longest_tokens: int
    reads: tuple[tuple[int, int], ...]
    steps: int
    alone_tokens: int
    shared_tokens: int
    trained_frames: int | None

    @property
    def factor(self) -> float:
        """How many times fewer tokens are read than by one pass for each cell."""
        return self.alone_tokens / max(1, self.shared_tokens)

    def told(self, grid: Grid, pace: Pace, trained_context: int, unit: str = "frames") -> str:
        """All of it in a line; what encoding the haystack takes comes on top.

        Args:
            grid: whose cells are asked.
            pace: of this machine.
            trained_context: positions that the model was trained to read.
            unit: what the haystack's length is counted in.
        """
        lengths, depths = len(grid.frames), len(grid.depths)
        begins = "" if self.trained_frames is None else f", which ends after {self.trained_frames:,} {unit}"
        facts = [
            f"{self.cells:,} cells ({lengths} lengths x {depths} depths x {self.cells // (lengths * depths)} needles)",
            f"{self.shared_tokens:,} tokens to read where one pass for each cell would read {self.alone_tokens:,}: "
            f"{self.factor:.1f} times fewer",
            f"about {spoken_s(pace.seconds(self))} to read and ask",
            f"the longest prompt has {self.longest_tokens:,} tokens, this model was trained to read "
            f"{trained_context:,}{begins}",
        ]
        return "; ".join(facts)


@dataclass(frozen=True)
class Pace:
    """What reading takes on this machine: n positions after p others n x token_s + n x (p + n / 2) x pair_s seconds.

    Attributes:
        token_s, pair_s: as above.
        step_s: one new token, after some thousands.
    """

    token_s: float
    pair_s: float
    step_s: float

    def seconds(self, plan: Plan) -> float:
        """What the plan's prompts and questions take; encoding the haystack is not counted."""
        reading = sum(new * self.token_s + new * (kept + new / 2) * self.pair_s for kept, new in plan.reads)
        return reading + plan.steps * self.step_s


def plan_of(model: Model, cells: Sequence[Cell], prompt_of: PromptOf) -> Plan:
    """Count what `sweep` will read, by putting the same prompts side by side.

    Args:
        model: that will be asked.
        cells: of the run.
        prompt_of: as of `sweep`; `looking.stand_in` makes one that needs no features.
    """
    reads, before = list[tuple[int, int]](), None
    lengths: dict[int, int] = {}
    asking = {cell.trial.name: Asking(model, cell.trial) for cell in cells}
    for cell in in_reading_order(cells):
        asked = asking[cell.trial.name]
        prompt = asked.after(prompt_of(cell))
        length = len(prompt.token_ids_L)
        keep = 0 if before is None else min(shared_tokens(before, prompt), length - 1)
        reads.append((keep, length - keep))
        lengths[cell.frames] = max(lengths.get(cell.frames, 0), length + len(asked.answer_ids))
        before = prompt
    answers = [len(asking[cell.trial.name].answer_ids) for cell in cells]
    return Plan(
        cells=len(cells),
        longest_tokens=max(kept + new for kept, new in reads),
        reads=tuple(reads),
        # The given answer is read at once, the generated one token by token, to the one that ends it.
        steps=sum(answer + 2 for answer in answers),
        alone_tokens=sum(kept + new for kept, new in reads) + sum(answers),
        shared_tokens=sum(new for _, new in reads) + sum(answers),
        trained_frames=_trained_frames(lengths, model.engine.trained_context),
    )


def _trained_frames(lengths: Mapping[int, int], trained_context: int) -> int | None:
    """The last length of a haystack with which everything fits, between columns on the straight line from one to the
    next; None where the longest fits.
    """
    frames = sorted(lengths)
    if lengths[frames[-1]] <= trained_context:
        return None
    tokens = [lengths[one] for one in frames]
    return int(np.interp(trained_context, [0, *tokens], [0, *frames]))


def measure(engine: Engine, width: int) -> Pace:
    """Time readings of noise of the language model's width (0: of text), and tell what any reading takes.

    A second or two for nano; on a machine that does other things too the figure is as rough as its moment.
    """
    begin_s = time.perf_counter()
    prefix = engine.prefill(_noise(FIRST_TOKENS, width), room_tokens=MORE_TOKENS)
    first_s = time.perf_counter() - begin_s
    prefix = engine.extend(prefix, FIRST_TOKENS, _noise(MORE_TOKENS, width))
    more_s = time.perf_counter() - begin_s - first_s
    engine.force(prefix, [0], [0])
    step_s = time.perf_counter() - begin_s - first_s - more_s
    # Two equations in token_s and pair_s.
    times = MORE_TOKENS / FIRST_TOKENS
    pairs_first, pairs_more = FIRST_TOKENS**2 / 2, MORE_TOKENS * (FIRST_TOKENS + MORE_TOKENS / 2)
    pair_s = max(0.0, (more_s - times * first_s) / (pairs_more - times * pairs_first))
    return Pace(max(0.0, first_s - pair_s * pairs_first) / FIRST_TOKENS, pair_s, step_s / 2)


def _noise(tokens: int, width: int) -> Prompt:
    if not width:
        return Prompt(torch.zeros(tokens, dtype=torch.int64), torch.zeros(0, 1))
    generator = torch.Generator().manual_seed(0)
    return Prompt(torch.full((tokens,), VISUAL_PLACE), torch.randn(tokens, width, generator=generator))
