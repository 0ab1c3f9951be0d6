"""judges.judging: answers and a judge in; its file filled, and what came of it out. Knows no option's spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from longtake.durable import Appended
from longtake.judges import Answered, Judged, Request
from longtake.judges.asking import Judge, Limits, ask_all
from longtake.judges.kept import Kept, alone_at, begin
from longtake.judges.prompts import JudgePrompt, requests_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Work:
    """What is to be judged, and into which file.

    Attributes:
        path: of the judge's file.
        requests: all of them, also those that were answered before.
        again: replies without marks are asked for once more.
    """

    path: Path
    requests: tuple[Request, ...]
    again: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a judge's file holds of the requests, after it was asked.

    Attributes:
        lines: one for each request that was put, in the order of the requests.
        asked: how many requests went out now.
        before: how many lines were there before.
        unasked: how many were not put at all.
        stopped: why, or "".
        dropped: how many lines of the file were torn or damaged.
    """

    lines: tuple[Judged, ...]
    asked: int
    before: int
    unasked: int
    stopped: str
    dropped: int

    @property
    def unscored(self) -> int:
        """How many requests have no marks, asked or not."""
        return sum(line.marks is None for line in self.lines) + self.unasked

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why there are no marks, and how often, the most frequent first."""
        return dict(Counter(line.reason for line in self.lines if line.marks is None).most_common())


def requests_for(answered: Iterable[Answered], prompts: Mapping[str, JudgePrompt]) -> tuple[Request, ...]:
    """All that a judge is asked about answers; items that need none are left out.

    Raises:
        LongtakeError: `data.bad`, see `requests_of`.
    """
    return tuple(request for one in answered if one.item.aspects for request in requests_of(one, prompts))


def judge_all(work: Work, judge: Judge, limits: Limits, progress: Progress) -> Outcome:
    """Ask what was not answered before, and keep every reply as it comes.

    Raises:
        LongtakeError: `usage.bad_option` where another judge has written, or another process writes; `disk.write`;
            `network.refused` if the judge takes nothing of whoever asks; what it said before is kept.
    """
    with alone_at(work.path):
        kept = begin(work.path, work.requests, judge.settings, again=work.again)
        with kept.appending() as file:
            return _judge(kept, file, work.requests, partial(ask_all, judge=judge, limits=limits), progress)


def _judge(
    kept: Kept, file: Appended[Judged], requests: Sequence[Request], ask: Callable[..., str], progress: Progress
) -> Outcome:
    lines, asked = dict(kept.done), 0

    def keep(judged: Judged) -> None:
        lines[judged.id, judged.prompt] = judged
        file.add(judged)
        progress("judged", len(lines), len(requests))

    def hear(request: Request, judged: Judged) -> None:
        nonlocal asked
        asked += 1
        keep(judged)
        for twin in kept.left[judged.digest][1:]:
            keep(judged.copied(twin))

    for judged in kept.copied:
        keep(judged)
    stopped = ask(kept.to_ask, hear=hear)
    found = [lines.get((request.id, request.prompt)) for request in requests]
    there = tuple(line for line in found if line is not None)
    return Outcome(there, asked, len(kept.done), len(found) - len(there), stopped, kept.dropped)
