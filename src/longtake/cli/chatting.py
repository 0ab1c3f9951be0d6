"""cli/chatting: the command that talks about what it watched: chat. Questions come from a terminal, or from a pipe."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from longtake.cli.asking import Choice, Drawing, loaded
from longtake.cli.looking import open_looked_at
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.answer import Answer, Watched
    from longtake.conversation import Conversation
    from longtake.engines import GenerateOptions

HELP = (
    "Ask in plain words; each question is read after what was said before.\n"
    "/new    forget what was said; the video is kept\n"
    "/help   this\n"
    "/quit   end (or Ctrl-D); Ctrl-C stops an answer, and it is forgotten with its question"
)


def chat_and_print(files: Sequence[Looked], choice: Choice, drawing: Drawing, *, show: Show) -> None:
    """`longtake chat`: watch once, then answer until the questions end.

    Raises:
        LongtakeError: what watching is refused for; `partial.failed` at the end, if questions came from a pipe and some
            were not answered.
    """
    with ExitStack() as opened:
        with bars(wanted=show.talks) as progress:
            videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        from longtake import pipeline
        from longtake.cli.planning import fitted
        from longtake.conversation import Conversation
        from longtake.methods import Query

        options = drawing.options()
        fitted(files[0], videos, choice, query=Query("What?", options=options), show=show)
        model = loaded(files[0], videos, choice)
        with bars(wanted=show.talks) as progress:
            watched = pipeline.watch(model, videos, options=options, progress=progress)
    _Chat(Conversation(model, watched), options, model.engine.trained_context, show).run(watched)


class _Stopped(Exception):
    """The user wants no more of this answer."""


@dataclass
class _Chat:
    """One run of questions and answers."""

    conversation: Conversation
    options: GenerateOptions
    reads: int
    show: Show
    asked: int = 0
    failed: int = 0

    def run(self, watched: Watched) -> None:
        self._begin(watched)
        typed = sys.stdin is not None and sys.stdin.isatty()
        if isinstance(sys.stdin, io.TextIOWrapper):
            # What is no text is refused as a question, not as a bug.
            sys.stdin.reconfigure(errors="surrogateescape")
        for line in _typed() if typed else _piped():
            if line.startswith("/"):
                if line == "/quit":
                    break
                self._command(line)
            elif line:
                self._question(line, stoppable=typed)
        if self.failed and not typed:
            reason = f"{self.failed:,} of {counted(self.asked, 'question')} not answered"
            raise LongtakeError(ErrorCode.PARTIAL_FAILED, "", reason, "the error of each is told where it was asked")

    def _begin(self, watched: Watched) -> None:
        frames = sum(len(look.numbers) for look in watched.looks)
        if self.show.as_json:
            files = [look.as_dict() for look in watched.looks]
            seconds = {stage: round(spent_s, 4) for stage, spent_s in watched.seconds.items()}
            _say_line({"watched": files, "tokens": self.conversation.tokens, "seconds": seconds})
        if self.show.talks:
            spent_s = sum(watched.seconds.values())
            notes = "".join(f"; {note}" for look in watched.looks for note in look.notes)
            remark(f"watched {counted(frames, 'frame')} in {spent_s:.1f} s{notes}; ask, or type /help")

    def _command(self, line: str) -> None:
        if line == "/new":
            self.conversation.new()
            self._remark("what was said is forgotten")
        elif line == "/help":
            for told in HELP.split("\n"):
                self._remark(told)
        else:
            advice = "/help tells which there are; a question begins with another sign"
            self._refused(LongtakeError(ErrorCode.USAGE_BAD_OPTION, line, "there is no such command", advice))

    def _question(self, question: str, *, stoppable: bool) -> None:
        try:
            with _stops(wanted=stoppable) as stop:
                answer = self.conversation.ask(question, self.options, on_text=lambda text: self._hear(text, stop))
        except _Stopped:
            say("")
            self._remark("stopped; question and answer are forgotten")
        except LongtakeError as error:
            self._refused(error)
        else:
            self._told(question, answer)

    def _hear(self, text: str, stop: list[bool]) -> None:
        if stop:
            raise _Stopped
        if not self.show.as_json:
            say(text, end="")

    def _told(self, question: str, answer: Answer) -> None:
        self.asked += 1
        if self.show.as_json:
            told = {name: value for name, value in answer.as_dict().items() if name != "files"}
            _say_line({"question": question, **told})
            return
        say("")
        spent_s, total = answer.seconds["generate"], sum(answer.tokens.values())
        of_all = {note for look in answer.looks for note in look.notes}
        notes = "".join(f"; {note}" for note in answer.notes if note not in of_all)
        self._remark(f"{total:,} of {self.reads:,} tokens; {spent_s:.1f} s{notes}")

    def _refused(self, error: LongtakeError) -> None:
        self.asked += 1
        self.failed += 1
        if error.code in (ErrorCode.DISK_WRITE, ErrorCode.INTERNAL_BUG):
            raise error
        if self.show.as_json:
            _say_line(error.as_dict())
        elif sys.stderr is not None:
            sys.stderr.write(f"{error}\n".encode("ascii", "backslashreplace").decode())

    def _remark(self, text: str) -> None:
        if self.show.talks:
            remark(text)


def _say_line(value: object) -> None:
    """One JSON object on one line."""
    say(json.dumps(value, allow_nan=False))


def _piped() -> Iterator[str]:
    """The lines of a pipe or file, as they come."""
    while sys.stdin is not None and (line := sys.stdin.readline()):
        yield line.strip()


def _typed() -> Iterator[str]:
    """What is typed, until Ctrl-D; Ctrl-C drops the line."""
    import contextlib

    with contextlib.suppress(ImportError):
        # Arrow keys and the lines typed before.
        import readline  # noqa: F401
    while True:
        try:
            yield input("> ").strip()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            remark("Ctrl-D or /quit ends")


@contextmanager
def _stops(*, wanted: bool) -> Iterator[list[bool]]:
    """A list that is no longer empty once the user has pressed Ctrl-C; pressed again, it does what it does elsewhere.

    The first only asks: what the engine keeps of the conversation is never left half read.
    """
    pressed: list[bool] = []
    if not wanted:
        yield pressed
        return

    def press(number: int, frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
