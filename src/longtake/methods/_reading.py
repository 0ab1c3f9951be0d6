"""methods._reading: captions with their times and a question in, what a reader makes of them out. Knows no video."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from longtake import parts
from longtake.answer import Answer, Caption, Look, Offered, Reading
from longtake.clock import Clock, peak_memory_bytes
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.methods import Hear, Query, Team
from longtake.prompt import refuse_unreadable
from longtake.prompt.choices import letters_of, with_choices
from longtake.readers import Reader
from longtake.video.times import format_time, parse_time

LINES = "Each line is a time in a video and what is shown then."
PARTS = "Each paragraph sums up a part of a video, in order."
SUMMARISE = "Sum up what matters for this question, with the times:"
TIMES = re.compile(r"(?<![\d:.])\d{1,3}:\d{2}:\d{2}(?:\.\d{1,3})?(?![\d:])")
"""Times as lines are marked with; a reader that names one writes it alike."""


@dataclass
class Ledger:
    """What the reader was asked, and what that took.

    Attributes:
        reader: that was asked.
        clock: of all that is done.
        rounds: how often it was asked.
        read, new: tokens, of the rounds that told them.
        longest: tokens of the longest of these rounds.
        untold: rounds that did not.
        notes: what is worth saying.
    """

    reader: Reader
    clock: Clock = field(default_factory=Clock)
    rounds: int = 0
    read: int = 0
    new: int = 0
    longest: int = 0
    untold: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, read: int | None, new: int | None) -> None:
        """One more round."""
        self.rounds += 1
        self.read += read or 0
        self.new += new or 0
        self.longest = max(self.longest, (read or 0) + (new or 0))
        self.untold += read is None or new is None


def line_of(caption: Caption) -> str:
    """A caption behind its time."""
    start, end = format_time(round(caption.start_s, 1)), format_time(round(caption.end_s, 1))
    return f"{start}{'' if start == end else f' to {end}'}: {caption.text}"


def lines_of(captions: Sequence[Caption], files: int) -> list[str]:
    """A line for each; where there are several files, each begins with a line of its own."""
    lines, last = [], -1
    for caption in captions:
        if caption.file != last and files > 1:
            lines.append(f"File {caption.file + 1}:")
        last = caption.file
        lines.append(line_of(caption))
    return lines


def question_of(reader: Reader, query: Query) -> str:
    """The question as it is put to the reader, with its choices.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`; `usage.bad_option` for choices that cannot be offered.
    """
    refuse_unreadable(query.question)
    return with_choices(reader.template, query.question, query.choices) if query.choices else query.question


def page(heading: str, lines: Sequence[str], request: str) -> str:
    """What a reader gets to read."""
    return "\n".join([heading, "", *lines, "", request])


def refuse_too_long(reader: Reader, read_tokens: int, options: GenerateOptions, *, advice: str) -> None:
    """Check that what is read at once fits in what the reader was trained to read, if that is known.

    Raises:
        LongtakeError: `limit.context`.
    """
    most = reader.context_tokens
    if most is None or reader.goes_beyond or read_tokens + options.max_new_tokens <= most:
        return
    reason = (
        f"the captions may make {read_tokens:,} tokens, and the answer {options.max_new_tokens:,}; this reader "
        f"reads {most:,}"
    )
    raise LongtakeError(ErrorCode.LIMIT_CONTEXT, reader.name, reason, advice)


def summaries(ledger: Ledger, lines: Sequence[str], query: Query, options: GenerateOptions, hear: Hear) -> list[str]:
    """What matters of the lines, for as few runs of them as the reader can read at once."""
    request = f"{SUMMARISE} {query.question}"
    runs = _runs(ledger.reader, lines, request, options)
    told = []
    for done, run in enumerate(runs):
        hear.progress("read", done, len(runs) + 1)
        with ledger.clock.stage("read captions"):
            reply = ledger.reader.read(page(LINES, run, request), options)
        ledger.add(reply.read_tokens, reply.new_tokens)
        if reply.cut:
            ledger.notes.append(f"a summary was cut after {options.max_new_tokens:,} tokens")
        told.append(" ".join(reply.text.split()))
    return told


def _runs(reader: Reader, lines: Sequence[str], request: str, options: GenerateOptions) -> list[list[str]]:
    most = reader.context_tokens
    if most is None:
        return [list(lines)]
    room = most - options.max_new_tokens - reader.count_prompt(page(LINES, [], request))
    runs: list[list[str]] = [[]]
    left = room
    for line in lines:
        # By itself and with its line break, a line makes no fewer tokens than inside the page.
        tokens = reader.count(line + "\n")
        if tokens > left and runs[-1]:
            runs.append([])
            left = room
        runs[-1].append(line)
        left -= tokens
    return runs


@dataclass(frozen=True)
class Said:
    """The reader's answer.

    Attributes:
        text: the words, or the choice.
        choices: that were offered.
    """

    text: str
    choices: tuple[Offered, ...] = ()


def answer(ledger: Ledger, text: str, query: Query, hear: Hear) -> Said:
    """What the reader answers to a page that ends in the question."""
    with ledger.clock.stage("read captions"):
        if query.choices:
            letters = letters_of(query.choices)
            picked = ledger.reader.pick(text, letters, query.options, letters=True)
            ledger.add(picked.read_tokens, picked.new_tokens)
            shares = picked.shares or (None,) * len(letters)
            offered = tuple(Offered(*each) for each in zip(letters, query.choices, shares, strict=True))
            return Said(query.choices[picked.place], offered)
        reply = ledger.reader.read(text, query.options, on_text=hear.text)
    ledger.add(reply.read_tokens, reply.new_tokens)
    if reply.cut:
        ledger.notes.append(f"the answer was cut after {query.options.max_new_tokens:,} tokens")
    return Said(reply.text)


def marked(captions: Sequence[Caption], text: str) -> tuple[Caption, ...]:
    """The captions; those in whose stretch a time lies that the answer names are marked so."""
    named_s = [parse_time(time) for time in TIMES.findall(text)]
    return tuple(replace(caption, named=any(_holds(caption, time_s) for time_s in named_s)) for caption in captions)


def _holds(caption: Caption, time_s: float) -> bool:
    # A line shows tenths of a second. The end of a stretch is the beginning of the next.
    if caption.start_s == caption.end_s:
        return round(caption.start_s, 1) == round(time_s, 1)
    return round(caption.start_s, 1) <= time_s < round(caption.end_s, 1)


@dataclass(frozen=True)
class Grounds:
    """What an answer rests on.

    Attributes:
        looks: each file.
        captions: that the reader read.
        tokens, seconds: what they took.
        beyond: whether a caption was made of more tokens than the model was trained to read.
        method: its part.
        notes: what is worth saying.
    """

    looks: tuple[Look, ...]
    captions: tuple[Caption, ...]
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    method: object
    beyond: bool
    notes: Sequence[str] = ()


def put_together(team: Team, grounds: Grounds, ledger: Ledger, said: Said) -> Answer:
    """The answer as a value."""
    import torch

    told = [note for look in grounds.looks for note in look.notes]
    if ledger.untold:
        told.append(f"the reader did not tell its tokens in {ledger.untold:,} of {ledger.rounds:,} rounds")
    trained = ledger.reader.context_tokens
    beyond = trained is not None and ledger.longest > trained
    if grounds.beyond:
        told.append("captions were made of more tokens than the model was trained to read")
    if beyond:
        told.append(f"{ledger.longest:,} tokens are more than the {trained:,} that the reader was trained to read")
    reader = {"reader_text": ledger.read, "reader_new": ledger.new}
    how = Reading(
        method=parts.told(grounds.method, "methods"),
        reader=ledger.reader.name,
        captions=marked(grounds.captions, said.text),
        rounds=ledger.rounds,
    )
    return Answer(
        text=said.text,
        looks=grounds.looks,
        tokens={**grounds.tokens, **reader},
        seconds={**grounds.seconds, **ledger.clock.seconds},
        peak_memory_bytes=peak_memory_bytes(),
        peak_device_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        model=team.model.name,
        beyond_trained_context=beyond or grounds.beyond,
        notes=(*told, *grounds.notes, *ledger.notes),
        choices=said.choices,
        reading=how,
    )
