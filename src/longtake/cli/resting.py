"""cli/resting: what an answer rests on, told in the closing line and drawn on a sheet. It knows who found it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.looking import suffix_fits
from longtake.errors import ErrorCode, LongtakeError, counted, printable, writing

if TYPE_CHECKING:
    from longtake.answer import Answer, Look, Span, Watched
    from longtake.families import Model
    from longtake.pictures.resting import Line, Row
    from longtake.video import Video

MOST_TOLD = 3
"""Times in the closing line."""


@dataclass(frozen=True)
class Evidence:
    """Whether what an answer rests on is looked for, and where it is drawn, as the user put it.

    Attributes:
        sheet: the picture to write, None for none.
        unwanted: the user does not want to wait for it.
    """

    sheet: str | None = None
    unwanted: bool = False

    def refuse_unfit(self, *, method: str | None) -> None:
        """Refuse what cannot be done before anything is read.

        Raises:
            LongtakeError: `usage.bad_option`, `disk.write`.
        """
        if self.sheet is None:
            return
        if self.unwanted:
            reason, advice = "is to be drawn, and --no-evidence says not to look for it", "leave one of the two out"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--evidence", reason, advice)
        if method not in (None, "again"):
            reason = f"--method {method} answers from captions, and tells the times of those that it names"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--evidence", reason, "leave one of the two out")
        suffix_fits(self.sheet)
        with writing(self.sheet):
            next(Path(self.sheet).parent.iterdir(), None)

    def looked_for(self, model: Model, watched: Watched, question: str, answer: Answer, *, told: bool) -> Answer:
        """`answer` with what it rests on, where somebody will hear of it and the model can tell.

        Raises:
            LongtakeError: `usage.bad_option` where a sheet is asked for and the model cannot tell.
        """
        from longtake.evidence import rested

        can = model.engine.tells_attention and sum(len(look.numbers) for look in watched.looks) > 1
        wanted = self.sheet is not None or (told and can and not self.unwanted)
        return rested(model, watched, question, answer) if wanted else answer

    def draw(self, question: str, answer: Answer, videos: Sequence[Video]) -> None:
        """Write the sheet, if one is asked for.

        Raises:
            LongtakeError: `disk.write`; `media.*`.
        """
        if self.sheet is None or answer.evidence is None:
            return
        from longtake.pictures.resting import resting_sheet

        lines = [_line(file, look, answer.evidence) for file, look in enumerate(answer.looks) if not look.still]
        rows = [_row(answer.looks[span.file], videos[span.file], span) for span in answer.evidence]
        drawn = resting_sheet(question, answer.text, lines, rows)
        with writing(self.sheet):
            drawn.save(self.sheet)


def rests_on(answer: Answer) -> Iterator[str]:
    """For the closing line: `rests on 0:16:30 (0.99)`."""
    if answer.evidence is None:
        return
    named = [f"{_where(answer, span)} ({span.score:.2f})" for span in answer.evidence[:MOST_TOLD]]
    yield f"rests on {', '.join(named)}" if named else "rests on no time that stands out"


def _where(answer: Answer, span: Span) -> str:
    look = answer.looks[span.file]
    name = printable(Path(look.path).name)
    if look.still:
        return name
    return f"{span.told} of {name}" if len(answer.looks) > 1 else span.told


def _line(file: int, look: Look, spans: Sequence[Span]) -> Line:
    from longtake.pictures.resting import Line

    own = [(span.start_s, span.end_s, span.score) for span in spans if span.file == file]
    return Line(f"{printable(Path(look.path).name)}: {counted(len(look.numbers), 'frame')} seen", look.duration_s, own)


def _row(look: Look, video: Video, span: Span) -> Row:
    """A span's first, middle and last frame; where it has fewer, the ones that were seen before and after it too."""
    from longtake.pictures.resting import COLUMNS, Row

    numbers = list(span.numbers)
    if len(numbers) > COLUMNS:
        numbers = [numbers[0], numbers[len(numbers) // 2], numbers[-1]]
    seen = look.numbers.tolist()
    first, last = seen.index(numbers[0]), seen.index(numbers[-1])
    beside = [*seen[last + 1 : last + 2], *seen[max(0, first - 1) : first]]
    chosen = sorted([*numbers, *beside[: COLUMNS - len(numbers)]])
    frames = list(video.read(chosen, chunk=1))
    lit = [int(frame.numbers[0]) in span.numbers for frame in frames]
    return Row(span.score, frames, lit, printable(Path(look.path).name) if look.still else "")
