"""cli/quizzing: the commands that make a benchmark, and take in what was found of needles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.measured import Came
from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.quiz import Wanted
    from longtake.quiz.making import Foreseen, Made


@dataclass(frozen=True)
class Asked:
    """What is to be made, as the user put it."""

    out: str
    seed: int
    questions: int
    lengths: str
    fps: int

    def wanted(self) -> Wanted:
        """The same, checked.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.quiz import Wanted

        try:
            lengths_s = tuple(int(length) for length in self.lengths.split(","))
            return Wanted(self.seed, self.questions, lengths_s, self.fps)
        except ValueError as error:
            reason, advice = str(error), "give whole seconds from 8 up, ascending, like 8,32,128,512"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--lengths {self.lengths}", reason, advice) from error


def make_quiz(asked: Asked, *, dry: bool, show: Show) -> None:
    """`longtake eval make worldqa`: say what it costs, then make what is not there yet.

    Raises:
        LongtakeError: `usage.bad_option`, `disk.write`; `interrupted`, saying how to go on.
    """
    from longtake.quiz.making import foresee, make

    wanted, folder = asked.wanted(), Path(asked.out)
    foreseen = foresee(wanted)
    if dry:
        say_json(_foreseen(wanted, foreseen)) if show.as_json else say(_told(wanted, foreseen))
        return
    if show.talks:
        remark(_told(wanted, foreseen))
    try:
        with bars(wanted=show.talks) as progress:
            made = make(folder, wanted, foreseen=foreseen, progress=progress)
    except KeyboardInterrupt as error:
        reason, advice = "stopped by Ctrl-C; its films are kept", "run the same command again to go on from there"
        raise LongtakeError(ErrorCode.INTERRUPTED, asked.out, reason, advice) from error
    if show.as_json:
        say_json({"out": asked.out, "new": made.new, "mended": made.mended, **made.told})
    else:
        say(_closing(made, folder))


def take_needles(name: str, folder: str, out: str, *, show: Show) -> None:
    """`longtake eval vniah` and `textneedle`: needle rows as a run; prints its figures.

    Raises:
        LongtakeError: `media.not_found`, `usage.bad_option`, `data.bad`, `disk.write`; `partial.failed` for cells that
            could not be read.
    """
    from longtake import parts
    from longtake.measure.taking import take_in

    new = take_in(name, "tokens" if name == "textneedle" else "frames", Path(folder), Path(out))
    Came.of(Path(out), parts.find("evals.benchmarks", name)(), asked=new).tell(show)


def _told(wanted: Wanted, foreseen: Foreseen) -> str:
    lengths = ", ".join(f"{length_s:,}" for length_s in wanted.lengths_s)
    parts = [
        f"{counted(wanted.films, 'film')} of {lengths} s with five questions each",
        f"{foreseen.pictures:,} pictures to draw and encode",
        f"about {_time(foreseen.seconds)} and {foreseen.bytes / 1e6:,.0f} MB from nothing",
    ]
    return "; ".join(parts)


def _foreseen(wanted: Wanted, foreseen: Foreseen) -> dict[str, object]:
    from longtake.quiz.making import settings_of

    costs = {"pictures": foreseen.pictures, "about_s": round(foreseen.seconds, 1), "about_bytes": foreseen.bytes}
    return {"settings": settings_of(wanted), "films": wanted.films, "seconds": wanted.seconds, **costs}


def _closing(made: Made, folder: Path) -> str:
    told: Mapping[str, Any] = made.told
    mended = f", {counted(made.mended, 'damaged one')} among them" if made.mended else ""
    return (
        f"{counted(told['questions'], 'question')} about {counted(told['films'], 'film')} in {folder}: "
        f"{made.new:,} made now{mended}\n"
        f"ask them: longtake eval worldqa --data {folder} --sampler every --out RUN"
    )


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
