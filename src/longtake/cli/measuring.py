"""cli/measuring: what a user wants measured in; a run of it, or what that would take, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from longtake.cli.asking import Choice, Drawing, Road, made
from longtake.cli.measured import Came, told_counted, told_foreseen
from longtake.cli.opening import opening
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json, table
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.evals import Benchmark
    from longtake.families import Model
    from longtake.measure import Scoring
    from longtake.measure.asking import Manner, Wording
    from longtake.measure.foreseeing import Counted, Foreseen
    from longtake.measure.grouping import Groups, Sheet
    from longtake.measure.running import Measuring, Opener
    from longtake.methods import Method


@dataclass(frozen=True)
class Wanted:
    """What is to be measured, as the user put it."""

    benchmark: str
    data: str
    videos: str | None
    split: str | None
    most_items: int | None
    wording: Wording
    scoring: Literal["letter", "likelihood", "both"]

    @property
    def folder(self) -> Path:
        """From which subtitles are told, and below which videos lie unless others are named."""
        path = Path(self.data)
        return path if path.is_dir() else path.parent

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        """The first says what is right."""
        return ("letter", "likelihood") if self.scoring == "both" else (self.scoring,)


@dataclass(frozen=True)
class Going:
    """How a run goes on, as the user put it."""

    out: str | None
    shard: str | None
    retry_failed: bool
    anew: bool
    most_failed: int | None


@dataclass(frozen=True)
class Measure:
    """All that `longtake eval BENCHMARK` was given."""

    wanted: Wanted
    going: Going
    looked: Looked
    choice: Choice
    drawing: Drawing
    road: Road

    def carry_out(self, *, dry: bool, show: Show) -> None:
        """Ask what is left to ask, and print what came of all of it; with `dry` only what that would take.

        Raises:
            LongtakeError: `partial.failed` if questions have failed, after what came is printed; `usage.bad_option`;
                `media.not_found` if not one video is there (a dry run first prints what can be told without);
                `interrupted`, saying how to go on; what ends a run (measure.running).
            typer.Exit: the same status with --json, after its object.
        """
        self._refuse_unfit(dry=dry)
        # All that can be wrong in files is found before torch is imported.
        groups = self.groups
        from longtake.measure.foreseeing import counted_of

        found, none_there = counted_of(groups, self.wanted.folder), self._all_groups.none_in(self._videos)
        if dry:
            self._foresee(found, none_there, show)
            return
        if none_there is not None:
            raise none_there
        if show.talks:
            for line in told_counted(found, self.sheet.told):
                remark(line)
        with self._opener() as opener:
            asked = self._ask(self._begun(opener), show)
        Came.of(Path(str(self.going.out)), self.benchmark, asked=asked).tell(show)

    def _ask(self, measuring: Measuring, show: Show) -> int:
        """Ask what is left to ask; how many questions that were."""
        dropped, left = measuring.folder.dropped, sum(len(group.ids) for group in measuring.left)
        if show.talks and dropped:
            remark(f"torn lines of {self.going.out} are asked again: {dropped:,}")
        if show.talks and not left:
            remark(f"nothing is left to ask: all {counted(self.groups.count, 'row')} are in {self.going.out}")
        with bars(wanted=show.talks) as progress, self._resumable(measuring):
            for _ in measuring.rows(progress) if left else ():
                pass
        return left

    @cached_property
    def benchmark(self) -> Benchmark:
        """With its options.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake import parts

        name, settings = self.wanted.benchmark, self.looked.settings["benchmark"]
        made: Benchmark = parts.build("evals.benchmarks", name, settings, label="benchmark")
        return made

    @cached_property
    def sheet(self) -> Sheet:
        """The questions.

        Raises:
            LongtakeError: `usage.bad_option` if they are not of the split that was named; as `read_sheet`.
        """
        from longtake.measure.grouping import read_sheet

        sheet = read_sheet(self.benchmark, Path(self.wanted.data), most=self.wanted.most_items)
        if self.wanted.split is not None and sheet.split.name != self.wanted.split:
            names = ", ".join(split.name for split in self.benchmark.card.splits)
            reason, advice = f"the files are of {sheet.split.name}: {sheet.split.why}", f"there are {names}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--split {self.wanted.split}", reason, advice)
        return sheet

    @cached_property
    def groups(self) -> Groups:
        """The questions by video; those of the shard, if one is named."""
        return self._all_groups.shard(self.going.shard)

    @property
    def _videos(self) -> Path:
        return self.wanted.folder if self.wanted.videos is None else Path(self.wanted.videos)

    @cached_property
    def _all_groups(self) -> Groups:
        """Those of all shards."""
        from longtake.evals.finding import footage
        from longtake.measure.grouping import groups_of

        videos = footage(self._videos)  # before the questions are read: that may take a while
        return groups_of(self.sheet, videos)

    def _refuse_unfit(self, *, dry: bool) -> None:
        """Refuse options that would mean nothing."""
        if not dry and self.going.out is None:
            reason, advice = "is missing: rows have to go somewhere", "name a folder, or only plan with --dry-run"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--out", reason, advice)
        self.road.refuse_unfit(self.looked)
        if self.road.method and self.wanted.scoring != "letter" and self.wanted.wording != "template":
            reason = f"--method {self.road.method} weighs options only where it offers them itself"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--scoring", reason, "add --prompt template")

    @contextmanager
    def _opener(self) -> Iterator[Opener]:
        """Opens the videos, all by one process where they are decoded apart."""
        with opening(self.looked.way) as open_one:
            yield lambda path: nullcontext(open_one(str(path)))

    def _manner(self, model: Model) -> Manner:
        from longtake.measure.asking import Manner

        return Manner(self.benchmark, self.wanted.wording, model.template)

    def _begun(self, opener: Opener) -> Measuring:
        """The run, with what it has left in its folder."""
        from longtake.measure.films import refuse_changed
        from longtake.measure.heading import Settings, header_of
        from longtake.measure.rows import begin, without
        from longtake.measure.running import Asking, Measuring, refuse_hopeless

        method = None if self.road.method is None else self.road.part(self.looked.settings["method"])
        options, scorings = self.drawing.options(), self.wanted.scorings
        model = made(self.looked, self.choice)
        manner = self._manner(model)
        way = self.looked.way
        reading = {"on_corrupt": way.on_corrupt, "deinterlace": way.deinterlace, "limits": list(way.limits)}
        settings = Settings(scorings, options, method, self.road.reader, reading, self.going.shard)
        header = header_of(self.sheet, manner, model, settings)
        road = self._way_to_answers(model, method, options)
        asking = Asking(road, manner, scorings, opener, self.wanted.folder)
        refuse_hopeless(asking, self.groups)
        folder = begin(Path(str(self.going.out)), header, anew=self.going.anew)
        folder = without(folder, failed=self.going.retry_failed)
        refuse_changed(folder, self.groups)
        return Measuring(asking, self.groups, folder, self.going.most_failed)

    def _way_to_answers(self, model: Model, method: Method | None, options: Any) -> Any:
        from longtake.measure.roads import ByMethod, Straight

        if method is None:
            return Straight(model, self.wanted.scorings, options)
        from longtake.methods import Team
        from longtake.readers.finding import find_reader

        reader = find_reader(self.road.reader, model, device=self.choice.device, dtype=self.choice.dtype)
        team = Team(model, reader)
        team.who_reads.check()
        return ByMethod(method, team, options)

    @contextmanager
    def _resumable(self, measuring: Measuring) -> Iterator[None]:
        """Tells whoever stops the run that it can go on.

        Raises:
            LongtakeError: `interrupted`.
        """
        try:
            yield
        except KeyboardInterrupt as error:
            from longtake.measure.rows import done_in

            rows = done_in(measuring.folder)
            reason = f"stopped by Ctrl-C; {rows:,} of {counted(measuring.groups.count, 'question')} have their rows"
            advice = "run the same command again to go on from there"
            raise LongtakeError(ErrorCode.INTERRUPTED, str(self.going.out), reason, advice) from error

    def _foresee(self, found: Counted, none_there: LongtakeError | None, show: Show) -> None:
        """What is there, what is missing, and what asking would take.

        Raises:
            LongtakeError: `none_there`, once all that can be told without a video is.
            typer.Exit: its status with --json.
        """
        no_video: tuple[None, tuple[str, ...]] = None, ("no video was found, so what asking takes cannot be told",)
        foreseen, notes = self._foreseen(show) if none_there is None else no_video
        if show.as_json:
            told = {"split": self.sheet.told, "split_why": self.sheet.split.why, "shard": self.going.shard}
            say_json({**told, **asdict(found), "plan": foreseen and asdict(foreseen), "notes": list(notes)})
            if none_there is not None:
                raise typer.Exit(none_there.code.value.exit_status)
            return
        say("\n".join(told_counted(found, self.sheet.told)))
        if foreseen is not None:
            say(table(told_foreseen(foreseen)))
        for note in notes:
            say(f"note: {note}")
        if none_there is not None:
            raise none_there

    def _foreseen(self, show: Show) -> tuple[Foreseen | None, tuple[str, ...]]:
        from longtake.cli.planning import measured, outlined
        from longtake.costs.rehearsing import Unrehearsed
        from longtake.measure.foreseeing import Forecast

        if self.road.method is not None:
            return None, (f"what --method {self.road.method} takes is not planned",)
        try:
            counter, model, notes = outlined(self.looked, self.choice)
            if counter.outline.apart:
                notes += ("seconds are not told: only processors are measured",)
            else:
                counter, more = measured(counter, anew=False, show=show)
                notes += more
            manner, options = self._manner(model), self.drawing.options()
            with self._opener() as opener:
                forecast = Forecast(counter, model, manner, self.wanted.scorings, options, opener)
                return forecast.of(self.groups), notes
        except Unrehearsed as error:
            return None, (f"what it takes cannot be told without the model's weights: {error}",)
