"""cli/measured: the rows of a run, or what is foreseen of one, in; what is printed of them out. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.options import Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.partial import end_partial
from longtake.cli.reporting import drawn
from longtake.errors import counted

if TYPE_CHECKING:
    from longtake.evals import Benchmark
    from longtake.evals.figures import Figure
    from longtake.measure import Run
    from longtake.measure.foreseeing import Counted, Foreseen

NAMED = 3
"""Of what is missing, so many are named; --json names all."""
FAULTY_TOLD = 20
"""Of rows that are no questions, so many are told with what is wrong; --json tells all."""


@dataclass(frozen=True)
class Came:
    """What came of a run, as far as its folder has rows.

    Attributes:
        out: the folder.
        run: all that is in it.
        benchmark: sums up.
        asked: how many questions were asked just now.
    """

    out: Path
    run: Run
    benchmark: Benchmark
    asked: int

    @classmethod
    def of(cls, out: Path, benchmark: Benchmark, *, asked: int) -> Came:
        """What lies in the folder."""
        from longtake.measure.rows import read_run

        return cls(out, read_run(out), benchmark, asked)

    def tell(self, show: Show) -> None:
        """Print the figures.

        Raises:
            LongtakeError: `partial.failed` if questions have failed.
            typer.Exit: the same status with --json, where the object says it all.
        """
        from longtake.reports.accounting import accounts_of
        from longtake.reports.tables import chief_of

        if show.as_json:
            say_json(self.as_dict())
        else:
            say(drawn(chief_of(accounts_of(self.out))))
            if show.talks:
                remark(self._closing())
        failed = len(self.run.failed)
        if not failed:
            return
        reason = f"{failed:,} of {counted(len(self.run.rows), 'question')} failed, the first with {self._first()}"
        advice = "see the rows; mend it, and run the same command with --retry-failed"
        end_partial(str(self.out), reason, advice, show=show)

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        header, run = self.run.header, self.run
        return {
            "out": str(self.out),
            "benchmark": header.benchmark,
            "split": header.split,
            "model": dict(header.model),
            "items": header.items,
            "rows": len(run.rows),
            "asked_now": self.asked,
            "missing": run.missing,
            "failed": len(run.failed),
            "degraded": sum(row.degraded for row in run.rows),
            "cut": self.cut,
            "shards": list(run.shards),
            "figures": {name: [asdict(figure) for figure in self._figures(name)] for name in header.scoring},
        }

    @property
    def cut(self) -> int:
        """How many answers ended only because they were long enough."""
        most = self.run.header.drawing.get("max_new_tokens")
        return sum(most is not None and row.tokens.get("new") == most for row in self.run.rows)

    def _figures(self, scoring: Any) -> Sequence[Figure]:
        return self.benchmark.figures(self.run.marks(scoring))

    def _first(self) -> str:
        row = self.run.failed[0]
        return f"{row.error} ({row.id})"

    def _closing(self) -> str:
        run = self.run
        facts = [f"{run.header.benchmark} {run.header.split}", f"{len(run.rows):,} of {run.header.items:,} have rows"]
        facts += [f"{len(run.failed):,} failed"] if run.failed else []
        degraded = sum(row.degraded for row in run.rows)
        facts += [f"of {counted(degraded, 'question')} some of the video could not be seen"] if degraded else []
        facts += [f"{counted(self.cut, 'answer')} cut at --max-new-tokens"] if self.cut else []
        facts += [f"shards {', '.join(run.shards)}"] if run.shards else []
        return "; ".join([*facts, f"rows are in {self.out}"])


def told_counted(found: Counted, split: str) -> list[str]:
    """What is there and what is missing, a line each."""
    lines = [f"split {split}: {counted(found.questions, 'question')} about {counted(found.videos, 'video')}"]
    if found.missing:
        lost, be = counted(found.lost, "question"), "is" if len(found.missing) == 1 else "are"
        lines.append(
            f"{counted(len(found.missing), 'video')} {be} not there ({lost} will fail): {_named(found.missing)}"
        )
    if found.faulty:
        one = len(found.faulty) == 1
        what = (
            "1 row of the files is no question" if one else f"{len(found.faulty):,} rows of the files are no questions"
        )
        lines.append(f"{what} (counted as failed):")
        lines += [f"  {name}: {reason}" for name, reason in list(found.faulty.items())[:FAULTY_TOLD]]
        more = len(found.faulty) - FAULTY_TOLD
        lines += [f"  and {more:,} more; --dry-run --json tells all"] if more > 0 else []
    there, asked = found.subtitles
    if asked:
        lines.append(f"subtitles are there for {there:,} of {counted(asked, 'video')}")
    return lines


def told_foreseen(foreseen: Foreseen) -> list[tuple[str, str]]:
    """What a run takes, a row each."""
    reads, longest = foreseen.trained_context, foreseen.longest_tokens
    verdict = "" if longest <= reads else ": too many, those are refused unless --beyond-trained-context"
    rows = [
        ("looked at", counted(foreseen.looked_at, "video")),
        *((f"  {video}", reason) for video, reason in foreseen.refused.items()),
        ("a video", f"{foreseen.frames:,.0f} frames, {foreseen.visual_tokens:,.0f} visual tokens"),
        ("a prompt", f"{longest:,} tokens at most, with its answer; the model reads {reads:,}{verdict}"),
        ("in all", f"about {foreseen.read_tokens:,} tokens are read"),
    ]
    if foreseen.processor_s is not None:
        rows.append(("processor", f"about {_duration(foreseen.processor_s)} of one, at most"))
    return rows


def _named(found: Any) -> str:
    some = list(found)[:NAMED]
    return ", ".join(some) + (f" and {len(found) - NAMED:,} more" if len(found) > NAMED else "")


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.0f} s"
