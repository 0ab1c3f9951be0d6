"""cli/hiding_text: the command that hides needles, for haystacks of text: niah --text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.found import report
from longtake.cli.hiding import DRAWN_TRIALS, Needles, Seeker, resumable
from longtake.cli.opening import Way
from longtake.cli.options import FRAMES_RANGE, TOKENS_RANGE, Show
from longtake.cli.output import remark, say
from longtake.cli.progress import Progress, bars
from longtake.cli.together import together
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.families import Model
    from longtake.niah import Cell, Grid, Row, Trial
    from longtake.niah.planning import Plan
    from longtake.niah.running import Run
    from longtake.niah.text import TextHaystack

WORLD = "world"
"""In place of files: captions of the drawn world."""


@dataclass(frozen=True)
class TextHay:
    """The haystack, as the user put it.

    Attributes:
        files: text files; WORLD alone for captions.
        tokens, depths: ranges as typed.
        frames, every_frame, way: what is for frames alone, as typed.
    """

    files: tuple[str, ...]
    tokens: str
    depths: str
    frames: str
    every_frame: bool
    way: Way

    @property
    def is_world(self) -> bool:
        """Whether captions are wanted."""
        return self.files == (WORLD,)


def is_text(text: bool, tokens: str) -> bool:
    """Whether a haystack of text is wanted.

    Raises:
        LongtakeError: `usage.bad_option` where its length is typed for frames.
    """
    if tokens != TOKENS_RANGE and not text:
        reason, advice = "is the length of a haystack of text", "add --text, or give --frames"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--tokens", reason, advice)
    return text


def hide_in_text(hay: TextHay, needles: Needles, seeker: Seeker, *, output: str | None, show: Show) -> None:
    """`longtake niah --text`: hide sentences, ask for them, print how often they were found; without `output` only the
    plan.

    Raises:
        LongtakeError: `usage.bad_option`, `media.*`; `partial.failed` if a cell could not be read.
    """
    from longtake.niah import Grid
    from longtake.niah.ranges import depths, frame_counts

    if not seeker.crew.begins():
        return
    _refuse_what_is_for_frames(hay, needles, seeker)
    grid = Grid(frame_counts(hay.tokens, "--tokens"), depths(hay.depths))
    with together(seeker.load, seeker.crew) as model:
        trials, haystack = _hidden(hay, needles, model, grid.frames[-1])
        reading = _Reading(hay, needles, seeker, grid, trials, haystack, model)
        plan = reading.plan()
        if output is None:
            say(reading.told(plan))
            return
        if show.talks:
            remark(reading.told(plan))
        with bars(wanted=show.talks) as progress, resumable(output):
            run, rows = reading.run(plan, Path(output), progress)
    report(run, rows, haystack.origin, title=reading.title, show=show)


@dataclass(frozen=True)
class _Reading:
    """All that one run is made of."""

    hay: TextHay
    needles: Needles
    seeker: Seeker
    grid: Grid
    trials: tuple[Trial, ...]
    haystack: TextHaystack
    model: Model

    @property
    def cells(self) -> list[Cell]:
        from longtake.niah.text import cells_in

        return cells_in(self.haystack, self.grid, self.trials)

    @property
    def title(self) -> str:
        """Of the heatmap."""
        distractors = self.needles.task.distractors
        among = (
            f", {distractors:.0%} of the captions distractors" if self.hay.is_world else f", {distractors:.0f} others"
        )
        return f"{Path(self.model.name).name}: text, {len(self.trials)} needles a cell{among if distractors else ''}"

    def plan(self) -> Plan:
        """What asking all cells reads."""
        from longtake.niah.planning import plan_of
        from longtake.niah.text import LaidText

        return plan_of(self.model, self.cells, LaidText.of(self.model, self.haystack, self.trials).prompt)

    def told(self, plan: Plan) -> str:
        """The plan in a line, with the time that it takes on this machine."""
        from longtake.niah.planning import measure

        engine = self.model.engine
        told = plan.told(self.grid, measure(engine, 0), engine.trained_context, str(self.haystack.origin["unit"]))
        again = "; the text comes again from its beginning" if self.haystack.origin.get("cycled") else ""
        return told + again

    def run(self, plan: Plan, output: Path, progress: Progress) -> tuple[Run, list[Row]]:
        """Ask what is left to ask in the folder `output`."""
        from longtake.loading import folder_of
        from longtake.niah.identity import model_settings, settings_of
        from longtake.niah.rows import begin
        from longtake.niah.running import Run
        from longtake.niah.text import LaidText

        own = self.model
        model = model_settings(folder_of(self.seeker.model), own.layout, own.engine.rope, dtype=self.seeker.dtype)
        settings = settings_of(self.grid, self.trials, self._told_haystack(), model=model)
        folder = begin(output, settings, {cell.key for cell in self.cells})
        run = Run(self.model, self.cells, plan, folder)
        return run, run.rows(LaidText.of(self.model, self.haystack, self.trials).prompt, progress)

    def _told_haystack(self) -> dict[str, object]:
        from longtake.niah.identity import digest_of_ids

        distractors = self.needles.task.distractors
        told: Mapping[str, object] = {"text": digest_of_ids(self.haystack.ids_L), "seed": self.needles.seed}
        return {**told, "distractors": distractors}


def _hidden(hay: TextHay, needles: Needles, model: Model, longest: int) -> tuple[tuple[Trial, ...], TextHaystack]:
    """What is hidden, and in what."""
    from longtake.niah.drawn import MOST_SYMBOLS, draw_symbols, draw_trials
    from longtake.niah.text import number_needles, read_texts, write_world

    count, seed, task = needles.trials or DRAWN_TRIALS, needles.seed, needles.task
    if not hay.is_world:
        files = [Path(file) for file in hay.files]
        trials = number_needles(count, seed=seed, distractors=int(task.distractors))
        return tuple(trials), read_texts(model.tokenizer, files, longest)
    drawn = draw_trials(task.name, count, seed=seed, kind=task.kind, in_words=True)
    wanted = min(MOST_SYMBOLS, ceil(task.distractors * longest))
    symbols = draw_symbols(drawn, wanted, seed=seed)
    return drawn.trials, write_world(model.tokenizer, longest, symbols, share=task.distractors, seed=seed)


def _refuse_what_is_for_frames(hay: TextHay, needles: Needles, seeker: Seeker) -> None:
    """Options that say nothing about text are not passed over in silence.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    task, share = needles.task, needles.task.distractors
    wrong = {
        "--frames": hay.frames != FRAMES_RANGE,
        "--every-frame": hay.every_frame,
        "--needles": needles.place is not None,
        "--needle": bool(needles.names),
        "--layout": seeker.layout is not None,
        "--set layout": bool(seeker.settings["layout"]),
        "--on-corrupt": hay.way.on_corrupt != "error",
        "--limit": bool(hay.way.limits),
        "--isolate": hay.way.isolate,
        "--task": not hay.is_world and task.name != "find",
        "--kind": not hay.is_world and task.kind != "value",
        WORLD: WORLD in hay.files and not hay.is_world,
    }
    for option in (option for option, given in wrong.items() if given):
        world = f", or give `{WORLD}` alone in place of files" if option in ("--task", "--kind", WORLD) else ""
        advice = "give --tokens" if option == "--frames" else f"leave it out{world}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, "does not go with these haystacks of text", advice)
    if not (share <= 1 if hay.is_world else share.is_integer()):
        advice = "give a share from 0 to 1" if hay.is_world else "give a number of sentences; LongVA takes 0, 3 and 5"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--distractors", f"cannot be {share:g} here", advice)
