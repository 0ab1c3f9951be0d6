"""train/lessons: stages with what they need beside themselves in; timed, run one after the other, and told.

Both `train text` and `train align` are lists of lessons. Knows nothing of text or pictures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.train.curves import draw_curves, read_log
from longtake.train.loop import Manner, Optimisers, Stage, gradients, run
from longtake.train.recipes import write_whole
from longtake.train.saving import kept
from longtake.train.showing import Teller, stop_between_steps
from longtake.train.spread import ONE, Spread
from longtake.video.times import spoken_s

BEFORE = "before.json"
SUMMARY = "summary.json"
CURVES = "curves.png"
LONG_STEP_S = 5.0
"""A step that takes longer is timed once, a shorter one three times."""


@dataclass
class Meter:
    """Counts tokens as they are read."""

    tokens: int = 0

    def add(self, tokens: int) -> None:
        """Count some more."""
        self.tokens += tokens

    def take(self) -> int:
        """The tokens since the last time."""
        tokens, self.tokens = self.tokens, 0
        return tokens


@dataclass(frozen=True)
class Lesson:
    """A stage, and how it is run.

    Attributes:
        batches: that make one step.
        optimisers: makes the stage's optimisers, each with its full rate.
        seek: makes the batches of this step the next ones.
        meter: counts the tokens of the stage's batches.
        told: what the plan says of it.
        spread: of it over ranks, every one of which has this lesson.
        noted: more for a row of the log.
    """

    stage: Stage
    batches: int
    optimisers: Callable[[Stage], Optimisers]
    seek: Callable[[int], None]
    told: dict[str, Any]
    meter: Meter = field(default_factory=Meter)
    spread: Spread = ONE
    noted: Callable[[], dict[str, float]] = dict

    def manner(self, **more: Any) -> Manner:
        """How its stage is run; `more` as `Manner` has it."""
        return Manner(optimisers=self.optimisers, batches=self.batches, spread=self.spread, **more)

    def tokens(self) -> int:
        """Those that all ranks have read since the last time. Every rank calls it."""
        return round(self.spread.summed(self.meter.take())[0] / self.spread.ring.size)


@dataclass(frozen=True)
class Pace:
    """Steps to a row of the log and to a checkpoint; and the seed of everything drawn."""

    log_every: int
    save_every: int
    seed: int


def timed(lesson: Lesson) -> tuple[float, float]:
    """Seconds and tokens of one step, measured: forward, back, and an optimiser's step at a rate of nothing.

    Parameters stay as they are, and so do running statistics. Every rank calls it. The first step is not counted: what
    is made once is made there.
    """
    stage, spread = lesson.stage, lesson.spread
    lesson.seek(0)
    stage.module.train()
    optimisers = lesson.optimisers(stage)
    spent: list[float] = []
    buffers = [(buffer, buffer.clone()) for buffer in stage.module.buffers()]
    with torch.random.fork_rng(devices=[]):
        while len(spent) < 2 or (spent[0] < LONG_STEP_S and len(spent) < 4):
            lesson.meter.take()
            started_s = time.perf_counter()
            gradients(stage, lesson.manner(), seed=0, step=0)
            for optimiser, _ in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            # Of all ranks, so that all take as many.
            spent.append(spread.summed(time.perf_counter() - started_s)[0] / spread.ranks.size)
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    return float(np.mean(spent[1:])), float(lesson.tokens())


_TOLD_ALOUD = ("name", "steps", "done_steps", "seconds_a_step", "tokens_a_step", "seconds")


def plan(lessons: Sequence[Lesson], parameters: dict[str, int], pace: Pace, folder: Path) -> dict[str, Any]:
    """What will be trained, how long each stage takes by its measured step, and what of it is done already."""
    stages = []
    for lesson in lessons:
        done = lesson.spread.led(partial(done_steps, folder, lesson.stage, pace))
        step_s, tokens = timed(lesson) if done < lesson.stage.steps else (0.0, 0.0)
        stages.append(
            {
                "name": lesson.stage.name,
                **lesson.told,
                "steps": lesson.stage.steps,
                "done_steps": done,
                "seconds_a_step": round(step_s, 3),
                "tokens_a_step": round(tokens),
                "seconds": round(step_s * (lesson.stage.steps - done), 1),
            }
        )
    return {"parameters": parameters, "stages": stages, "seconds": round(sum(stage["seconds"] for stage in stages), 1)}


def tell_plan(planned: dict[str, Any], teller: Teller) -> None:
    """The plan in a few lines."""
    parts = ", ".join(f"{name} {count:,}" for name, count in planned["parameters"].items())
    teller.say(f"trains {parts} parameters")
    for stage in planned["stages"]:
        tokens = stage["steps"] * stage["tokens_a_step"]
        about = ", ".join(f"{key} {stage[key]}" for key in stage if key not in _TOLD_ALOUD and stage[key])
        left = f"{stage['done_steps']:,} done" if stage["done_steps"] else spoken_s(stage["seconds"])
        teller.say(f"  {stage['name']}: {stage['steps']:,} steps, {tokens:,} tokens, {left}; {about}")
    teller.say(f"about {spoken_s(planned['seconds'])} by the steps just timed; Ctrl-C stops, the same command goes on")


def done_steps(folder: Path, stage: Stage, pace: Pace) -> int:
    """The steps that the stage's last checkpoint holds."""
    found = kept(folder, stage.name)
    return found[1] if found else 0


def run_lessons(lessons: Sequence[Lesson], folder: Path, pace: Pace, teller: Teller) -> None:
    """Run the stages in order, each from its last checkpoint in `folder`. Every rank calls it.

    Raises:
        LongtakeError: `interrupted` after Ctrl-C, when the step that was under way is done and kept;
            `model.nonfinite` for a loss that is no number.
    """
    with stop_between_steps() as stop:
        for lesson in lessons:
            stage, clock = lesson.stage, _Clock(lesson)
            with teller.stage(stage.name, stage.steps, stop) as hear:
                manner = lesson.manner(
                    log_every=pace.log_every,
                    save_every=pace.save_every,
                    before_step=lesson.seek,
                    after_step=hear,
                    told=lambda: clock.told() | lesson.noted(),  # noqa: B023  called within this turn of the loop
                )
                lesson.meter.take()
                try:
                    run(stage, folder, seed=pace.seed, manner=manner)
                except FloatingPointError as error:
                    advice = "take lower rates or a longer warm-up, and another --output"
                    raise LongtakeError(ErrorCode.MODEL_NONFINITE, str(folder), str(error), advice) from error
                except KeyboardInterrupt:
                    reason = f"stopped by Ctrl-C in {stage.name} after step {done_steps(folder, stage, pace):,}"
                    advice = "the same command goes on from there"
                    raise LongtakeError(ErrorCode.INTERRUPTED, str(folder), reason, advice) from None


def measured_once(folder: Path, measure: Callable[[], Any], spread: Spread = ONE) -> Any:
    """What `measure` finds before the first step, as JSON values; whoever goes on takes what was found then.

    Every rank calls it, and all measure.

    Raises:
        LongtakeError: `disk.write`.
    """
    path = folder / BEFORE
    found = spread.led(lambda: path.read_text(encoding="utf-8") if path.exists() else "")
    if not found:
        found = json.dumps(measure()) + "\n"
        spread.led(lambda: _keep(path, found))
    return json.loads(found)


def _keep(path: Path, text: str) -> None:
    with writing(str(path.parent)):
        write_whole(path, text)


def finish(folder: Path, lessons: Sequence[Lesson], more: dict[str, Any]) -> dict[str, Any]:
    """Write summary.json and curves.png; returns the summary."""
    names = [lesson.stage.name for lesson in lessons]
    logs = {name: read_log(folder / f"{name}.jsonl") for name in names}
    summary = {
        "model": str(folder / "model"),
        "tokens": sum(row["tokens"] for rows in logs.values() for row in rows),
        # A log may have been thrown away with its checkpoint kept.
        "loss": {name: rows[-1]["loss"] if rows else None for name, rows in logs.items()},
        **more,
        "curves": str(folder / CURVES) if draw_curves(folder, names, folder / CURVES) else None,
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


class _Clock:
    """What a row of the log says of tokens and time."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson
        self._since_s = time.monotonic()

    def told(self) -> dict[str, Any]:
        now_s, tokens = time.monotonic(), self._lesson.tokens()
        spent_s, self._since_s = now_s - self._since_s, now_s
        return {"tokens": tokens, "tokens_a_second": round(tokens / max(spent_s, 1e-6))}
