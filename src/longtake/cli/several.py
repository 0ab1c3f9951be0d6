"""cli/several: what `ask` was given in, files and one question or many out; many are answered together."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from longtake.cli.asking import Choice, Drawing, Road, closing_line, loaded
from longtake.cli.looking import open_looked_at
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.progress import bars
from longtake.cli.together import together
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.answer import Answer


def asked_words(words: Sequence[str], questions: str | None) -> tuple[list[str], str]:
    """The files, and the question behind them: none of the words, where the questions are in a file.

    Raises:
        LongtakeError: `usage.bad_option` if one of the two is missing.
    """
    if questions is not None:
        return list(words), ""
    *files, question = words
    if os.path.isfile(question):  # Path.is_file raises for what is too long to be a name
        reason, advice = "is a file, and no question follows it", 'ask something, like "What is shown?"'
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, question, reason, advice)
    if not files:
        reason = "Missing argument 'FILE...'"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", reason, "see longtake ask --help")
    return files, question


def asked_all(name: str, road: Road, *, choices: bool, manifest: str | None) -> list[str]:
    """The questions in a file, one a line, blank lines left out; `-` for standard input.

    Raises:
        LongtakeError: `usage.bad_option` if the file cannot be read, or an option is given that fits one question only;
            `usage.bad_text` if it is not UTF-8; `usage.blank_question` if no question is in it.
    """
    for option, given in {
        "--choice": choices,
        "--look-again": road.method == "again",
        "--method": road.method,
        "--reader": road.reader,
        "--manifest": manifest,
        "--evidence": road.evidence.sheet,
    }.items():
        if given:
            reason, advice = "is for one question", "ask it by itself, without --questions"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, reason, advice)
    subject = f"--questions {name}"
    try:
        if name == "-":
            raw = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as file:
                raw = file.read()
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, UnicodeDecodeError):
            reason = f"is not UTF-8 text: byte {error.start:,} is 0x{raw[error.start]:02x}"
            raise LongtakeError(ErrorCode.USAGE_BAD_TEXT, subject, reason, "save it as UTF-8") from error
        reason = getattr(error, "strerror", None) or "cannot be read"
        advice = "name a text file with a question in each line"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, advice) from error
    found = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if not found:
        advice = "write a question in each line"
        raise LongtakeError(ErrorCode.USAGE_BLANK_QUESTION, subject, "there is no question in it", advice)
    return found


def ask_all_and_print(
    files: Sequence[Looked], questions: Sequence[str], drawing: Drawing, choice: Choice, *, show: Show
) -> None:
    """`longtake ask --questions`: the files are read once, and every question is printed with its answer below it."""
    crew = choice.crew(files[0])
    if not crew.begins():
        return
    Road(None, None).refuse_unfit(files[0])
    with ExitStack() as opened:
        with bars(wanted=show.talks) as progress:
            videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        from longtake import pipeline
        from longtake.prompt import refuse_unreadable

        for question in questions:
            refuse_unreadable(question)
        options = drawing.options()
        from longtake.cli.planning import fitted
        from longtake.methods import Query

        # All are read behind the same frames, so what the longest needs is enough for each.
        query = Query(max(questions, key=len), (), options)
        fit = fitted(files[0], videos, choice, query=query, show=show)
        model = fit.of(opened.enter_context(together(partial(loaded, files[0], videos, choice), crew)))
        with bars(wanted=show.talks) as progress:
            watched = pipeline.watch(model, videos, options=options, progress=progress)
        answers = [fit.noted(answer) for answer in pipeline.ask_all(model, watched, questions, options)]
    told = list(zip(questions, answers, strict=True))
    if show.as_json:
        say_json([{"question": question, **answer.as_dict()} for question, answer in told])
        return
    for place, (question, answer) in enumerate(told):
        say(f"{'' if place == 0 else chr(10)}{question}\n{answer.text}")
    if show.talks:
        remark(f"{counted(len(told), 'question')}; {closing_line(_together(answers))}")


def _together(answers: Sequence[Answer]) -> Answer:
    """One that stands for all in the closing line: their tokens added, but for those that all of them share."""
    first, counted = answers[0], ("text", "new")
    tokens = {**first.tokens, **{kind: sum(answer.tokens[kind] for answer in answers) for kind in counted}}
    notes = tuple(dict.fromkeys(note for answer in answers for note in answer.notes))
    return dataclasses.replace(first, tokens=tokens, notes=notes)
