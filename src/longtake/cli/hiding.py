"""cli/hiding: the command that hides needles in a haystack: niah."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.asking import roped
from longtake.cli.found import report
from longtake.cli.opening import Way, opened_video
from longtake.cli.options import Show
from longtake.cli.output import remark, say
from longtake.cli.progress import Progress, bars
from longtake.cli.together import Crew, together
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from longtake.families import Model
    from longtake.niah import Cell, Grid, Row, Trial
    from longtake.niah.drawn import DrawnTrials, FindKind
    from longtake.niah.haystack import Source
    from longtake.niah.looking import Eye
    from longtake.niah.planning import Plan
    from longtake.niah.running import Run

DRAWN_TRIALS = 20


@dataclass(frozen=True)
class Hay:
    """The haystack, as the user put it.

    Attributes:
        files: videos.
        every_frame: take all frames, not one a second.
        frames, depths: ranges as typed.
        way: how the files are read.
    """

    files: tuple[str, ...]
    every_frame: bool
    frames: str
    depths: str
    way: Way


@dataclass(frozen=True)
class Task:
    """What is asked of drawn needles, and among what they hide, as the user put it.

    Attributes:
        name: of niah.drawn.TASKS.
        kind: what `find` asks for.
        distractors: share of the haystack's frames that show other scenes.
    """

    name: str
    kind: FindKind
    distractors: float


@dataclass(frozen=True)
class Needles:
    """The needles, as the user put them.

    Attributes:
        place: a data set of needles; None draws them.
        names: of those to take; none for all.
        trials: how many; None for all there are, or DRAWN_TRIALS drawn ones.
        seed: of drawing, and of shuffling shots.
        task: what drawn needles are for.
    """

    place: str | None
    names: tuple[str, ...]
    trials: int | None
    seed: int
    task: Task

    def read(self) -> DrawnTrials:
        """The trials.

        Raises:
            LongtakeError: `usage.bad_option`, `media.*`.
        """
        from longtake.niah.drawn import DrawnTrials, draw_trials
        from longtake.niah.needles import read_needles

        if self.task.distractors > 1:
            reason = f"cannot be {self.task.distractors:g} for frames"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--distractors", reason, "give a share from 0 to 1")
        if self.place is not None:
            if (self.task.name, self.task.kind) != ("find", "value"):
                reason, advice = "is for drawn needles; a data set brings its questions", "leave it or --needles out"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--task", reason, advice)
            return DrawnTrials(tuple(read_needles(self.place, self.names)[: self.trials]))
        if self.names:
            reason, advice = "drawn needles have no names", "name a data set with --needles"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--needle {self.names[0]}", reason, advice)
        return draw_trials(self.task.name, self.trials or DRAWN_TRIALS, seed=self.seed, kind=self.task.kind)

    def symbols(self, beside: DrawnTrials, longest: int) -> list[tuple[NDArray[np.uint8], ...]]:
        """Pictures of other things for a haystack of `longest` frames; none where none are wanted.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.niah.drawn import MOST_SYMBOLS, draw_symbols, film_symbols

        wanted = min(MOST_SYMBOLS, ceil(self.task.distractors * longest))
        return film_symbols(draw_symbols(beside, wanted, seed=self.seed), seed=self.seed)


@dataclass(frozen=True)
class Seeker:
    """Which model is asked, and how it is run, as the user put it."""

    model: str
    layout: str | None
    rope: str | None
    settings: Mapping[str, Mapping[str, str]]
    device: str
    dtype: str
    ranks: int | None = None

    @property
    def crew(self) -> Crew:
        """Who runs the model's language model."""
        return Crew(self.ranks, self.model, self.device, self.dtype, self.rope, self.settings["rope"])

    def load(self, device: str) -> Model:
        """The model; it goes beyond its trained context.

        Raises:
            LongtakeError: `model.*`, `usage.bad_option`.
        """
        from longtake import parts
        from longtake.loading import load

        if self.settings["sampler"]:
            reason = "nothing is sampled here: the haystack is one frame a second, or with --every-frame all"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--set sampler", reason, "set options of the layout only")
        model = load(self.model, device=device, dtype=self.dtype)
        settings = self.settings["layout"]
        layout: Any = (
            parts.with_settings(model.layout, settings, label="layout")
            if self.layout is None
            else parts.build("layouts", self.layout, settings, label="layout")
        )
        model = dataclasses.replace(model, layout=layout, beyond_trained_context=True)
        return roped(model, self.rope, self.settings["rope"])


def hide_and_seek(hay: Hay, needles: Needles, seeker: Seeker, *, output: str | None, show: Show) -> None:
    """`longtake niah`: hide needles, ask for them, print how often they were found; without `output` only the plan.

    Raises:
        LongtakeError: `partial.failed` if a cell could not be read, after all were asked.
    """
    from longtake.niah import Grid
    from longtake.niah.ranges import depths, frame_counts

    if not seeker.crew.begins():
        return
    grid = Grid(frame_counts(hay.frames), depths(hay.depths))
    with ExitStack() as stack:
        progress = stack.enter_context(bars(wanted=show.talks))
        chosen = _chosen(hay, grid.frames[-1], stack)
        drawn, model = needles.read(), stack.enter_context(together(seeker.load, seeker.crew))
        hiding = _Hiding(hay, needles, seeker, grid, drawn, tuple(chosen), model)
        plan = hiding.plan()
        if output is None:
            say(hiding.told(plan))
            return
        if show.talks:
            remark(hiding.told(plan))
        with resumable(output):
            run, rows, origin = hiding.run(plan, Path(output), progress)
    if show.talks and int(str(origin.get("most_repeats", 1))) > 1:
        times = f"up to {origin['most_repeats']} times, shot after shot in orders that the seed draws"
        remark(f"the films have {origin['different_frames']:,} frames: longer haystacks show some again, {times}")
    report(run, rows, origin, title=hiding.title, show=show)


@dataclass(frozen=True)
class _Hiding:
    """All that one run is made of."""

    hay: Hay
    needles: Needles
    seeker: Seeker
    grid: Grid
    drawn: DrawnTrials
    chosen: tuple[Source, ...]
    model: Model

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.drawn.trials

    @property
    def cells(self) -> list[Cell]:
        return self.grid.cells(self.trials)

    @property
    def title(self) -> str:
        """Of the heatmap."""
        share = self.needles.task.distractors
        among = f", {share:.0%} of the frames distractors" if share else ""
        return f"{Path(self.model.name).name}: {len(self.trials)} needles a cell{among}"

    @property
    def eye(self) -> Eye:
        from longtake.niah.looking import Eye

        return Eye(self.model)

    def plan(self) -> Plan:
        """What asking all cells reads."""
        from longtake.niah.looking import stand_in
        from longtake.niah.planning import plan_of

        return plan_of(self.model, self.cells, stand_in(self.eye, self.trials, self.grid.frames[-1]).prompt)

    def told(self, plan: Plan) -> str:
        """The plan in a line, with the time that it takes on this machine."""
        from longtake.niah.looking import needles_of
        from longtake.niah.planning import measure

        (first,) = needles_of(self.eye, self.trials[:1]).values()
        pace = measure(self.model.engine, first[0].shape[-1])
        return plan.told(self.grid, pace, self.model.engine.trained_context)

    def run(self, plan: Plan, output: Path, progress: Progress) -> tuple[Run, list[Row], Mapping[str, object]]:
        """Ask what is left to ask in the folder `output`."""
        from longtake.loading import folder_of
        from longtake.niah.distracting import with_symbols
        from longtake.niah.identity import digest_of_pictures, haystack_settings, model_settings, settings_of
        from longtake.niah.looking import Laid, needles_of, read_haystack, stand_in
        from longtake.niah.rows import begin
        from longtake.niah.running import Run

        seed, share = self.needles.seed, self.needles.task.distractors
        symbols = self.needles.symbols(self.drawn, self.grid.frames[-1])
        haystack = haystack_settings(self.chosen, every_frame=self.hay.every_frame, seed=seed)
        haystack["distractors"] = {
            "share": share,
            "pictures": digest_of_pictures(picture for symbol in symbols for picture in symbol),
        }
        own = self.model
        model = model_settings(folder_of(self.seeker.model), own.layout, own.engine.rope, dtype=self.seeker.dtype)
        settings = settings_of(self.grid, self.trials, haystack, model=model)
        folder = begin(output, settings, {cell.key for cell in self.cells})
        run = Run(self.model, self.cells, plan, folder)
        origin = None if run.left else run.told_haystack()
        if origin is not None:
            # Nothing is left to ask: nothing is decoded either.
            return run, run.rows(stand_in(self.eye, (), 1).prompt, progress), origin
        needles = needles_of(self.eye, self.trials, progress=progress)
        hay = read_haystack(self.eye, self.chosen, self.grid.frames[-1], seed=seed, progress=progress)
        if symbols:
            hay = with_symbols(self.eye, hay, symbols, share=share, seed=seed)
        return run, run.rows(Laid(self.eye, hay, needles).prompt, progress), {**hay.origin, "notes": list(hay.notes)}


@contextmanager
def resumable(output: str) -> Iterator[None]:
    """Tells whoever stops the run that it can go on.

    Raises:
        LongtakeError: `interrupted`.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        advice = "run the same command again to go on from there"
        raise LongtakeError(ErrorCode.INTERRUPTED, output, "stopped by Ctrl-C; its rows are kept", advice) from error


def _chosen(hay: Hay, wanted: int, stack: ExitStack) -> list[Source]:
    """The frames that will be read, of files that stay open until `stack` ends."""
    from longtake.niah.haystack import sources

    videos = [stack.enter_context(opened_video(path, hay.way)) for path in hay.files]
    return sources(videos, wanted, every_frame=hay.every_frame)
