"""evals/released: answers and judges' replies in, marked as the papers' released scripts mark them. Knows no benchmark.

Rebuilt from their recorded behaviour (tests/golden/h_eval), wrong as it is in places: `Because he is tired` is option
B, an empty answer ends the whole script, `unknown` is a `no`, a score of 99 counts. For comparing with published
numbers only; `letters` and `judged` are the rules that longtake stands for.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longtake.evals import Item
from longtake.evals.letters import is_right, read_option

LETTERS = "abcde"


def released_option(answer: object) -> str:
    """The letter, small, that the released script of multiple choice takes an answer for; `none` if it finds none.

    A capital with `)` or `:` behind it, anywhere, the first in the alphabet; else the answer's first letter.

    Raises:
        IndexError: the answer is empty (the script dies of it).
    """
    if not isinstance(answer, str):
        return "none"
    for letter in LETTERS:
        if f"{letter.upper()})" in answer or f"{letter.upper()}:" in answer:
            return letter
    first = answer[0].lower()
    return first if first in LETTERS else "none"


@dataclass(frozen=True)
class ReleasedTask:
    """What the script prints of one task."""

    yes: int
    no: int

    @property
    def accuracy(self) -> float:
        """Of those counted."""
        return self.yes / (self.yes + self.no)


@dataclass(frozen=True)
class ReleasedRun:
    """What a whole run of a released script comes to.

    Attributes:
        tasks: of multiple choice, in order of appearance.
        stats: of a judge, by the names that are printed.
        error: what the script died of, or "".
    """

    tasks: Mapping[str, ReleasedTask] = field(default_factory=dict)
    stats: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def average_accuracy(self) -> float | None:
        """The mean over tasks; printed only if there are several."""
        if len(self.tasks) < 2:
            return None
        return sum(task.accuracy for task in self.tasks.values()) / len(self.tasks)


def released_choices(samples: Sequence[tuple[str, int, object]]) -> ReleasedRun:
    """The released script of multiple choice.

    Args:
        samples: task, place of the right option, answer.
    """
    counts: dict[str, list[int]] = {}
    for task, right, answer in samples:
        if answer is None:
            return ReleasedRun(error="NameError")
        try:
            said = released_option(answer)
        except IndexError:
            return ReleasedRun(error="IndexError")
        counted = counts.setdefault(task, [0, 0])
        counted[said != LETTERS[right]] += 1
    return ReleasedRun({task: ReleasedTask(yes, no) for task, (yes, no) in counts.items()})


@dataclass(frozen=True)
class Stored:
    """What a released judge script keeps of a reply.

    Attributes:
        written: whether there is a file.
        text: of it; half of one where the reply cannot be written.
    """

    written: bool
    text: str = ""

    @property
    def value(self) -> Any:
        """What the file holds; None where there is none.

        Raises:
            json.JSONDecodeError: it is half a file.
        """
        return json.loads(self.text)[0] if self.written else None


def released_reply(reply: str | None) -> Stored:
    """What is stored of a judge's reply: it is read as a Python literal, and written as JSON. None: it did not come."""
    try:
        found = ast.literal_eval(reply or "")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return Stored(False)
    chunks = []
    try:
        for chunk in json.JSONEncoder().iterencode([found, {}]):
            chunks.append(chunk)
    except TypeError:
        # The script has opened the file by then: what was written before stays.
        pass
    return Stored(True, "".join(chunks))


def released_judging(replies: Mapping[str, str | None], *, yes_or_no: bool) -> ReleasedRun:
    """The released scripts that ask a judge.

    Args:
        replies: of each question, by its id: of several with one id only the last is kept.
        yes_or_no: whether the judge says `pred` too (open questions), or scores only (VCGBench).
    """
    counts = {"files": 0, "score": 0, "yes": 0, "no": 0}
    for reply in replies.values():
        try:
            said = released_said(reply)
        except json.JSONDecodeError as error:
            return ReleasedRun(error=f"JSONDecodeError: {error}")
        if said is not None:
            _count(said, counts)
    if not counts["files"] or (yes_or_no and not counts["yes"] + counts["no"]):
        return ReleasedRun(error="ZeroDivisionError: division by zero")
    score = {"Average score": counts["score"] / counts["files"]}
    if not yes_or_no:
        return ReleasedRun(stats=score)
    yes, no = counts["yes"], counts["no"]
    return ReleasedRun(stats={"Yes count": float(yes), "No count": float(no), "Accuracy": yes / (yes + no), **score})


def released_said(reply: str | None) -> tuple[int, bool | None] | None:
    """The score that a released script adds for a reply, and whether that is a yes, a no or neither; None: not kept.

    Scores count before `pred` is understood: what fails later has counted already.

    Raises:
        json.JSONDecodeError: the reply cannot be written (the script dies of what it has stored).
    """
    stored = released_reply(reply)
    if not stored.written:
        return None
    value, score = stored.value, 0
    try:
        score = int(value["score"])
        said = value["pred"].lower()
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return score, None
    return score, True if "yes" in said else False if "no" in said else None


def _count(said: tuple[int, bool | None], counts: dict[str, int]) -> None:
    """Files count before they are understood."""
    score, match = said
    counts["files"] += 1
    counts["score"] += score
    if match is not None:
        counts["yes" if match else "no"] += 1


@dataclass(frozen=True)
class Differing:
    """How the released rule and the right one mark the same answers.

    Attributes:
        asked: how many items.
        ids: of those that one holds for right and the other not.
        right: how many are right by longtake's rule.
        released_right: by the released one.
        unreadable: of which longtake's rule says that no option, or several, are named.
        dying: the ids whose answer ends the released script.
    """

    asked: int
    ids: tuple[str, ...]
    right: int
    released_right: int
    unreadable: int
    dying: tuple[str, ...]


def differing(items: Sequence[Item], answers: Mapping[str, str]) -> Differing:
    """How many items of multiple choice the two rules mark otherwise; items without an answer are left out.

    Args:
        answers: by the item's id.
    """
    ids, dying, right, released_right, unreadable, asked = [], [], 0, 0, 0, 0
    for item in items:
        if item.id not in answers or item.right is None:
            continue
        asked += 1
        reading = read_option(answers[item.id], item.options, item.labels)
        ours = is_right(item, reading)
        unreadable += reading.option is None
        try:
            theirs = released_option(answers[item.id]) == LETTERS[item.right : item.right + 1]
        except IndexError:
            theirs = False
            dying.append(item.id)
        right, released_right = right + ours, released_right + theirs
        if ours != theirs:
            ids.append(item.id)
    return Differing(asked, tuple(ids), right, released_right, unreadable, tuple(dying))
