"""lmms/marks: a row and what a model said in, what lmms-eval counts out. Knows no model.

    choice    accuracy, by the option that `evals.letters` reads; an unreadable answer is wrong, and counted beside
    open      same_words: the reference word for word; and `lmms.judged`
    needle    found: the right words begin the answer, or its letter is the right one

lmms-eval has no rows that failed: what could not be asked is an empty answer, and wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from longtake.evals.figures import mark_choice
from longtake.evals.letters import read_option
from longtake.lmms.rows import item_of


def choice_marks(row: Mapping[str, Any], answer: str) -> dict[str, float]:
    """`accuracy` and `unreadable`, and the accuracy of the row's category under its own name (`accuracy_tp_tn`)."""
    item = item_of(row)
    mark = mark_choice(item, read_option(answer, item.options, item.labels))
    value = float(mark.value or 0)
    kinds = {f"accuracy_{plain(category)}": value for category in item.categories}
    return {"accuracy": value, "unreadable": float(mark.unreadable), **kinds}


def open_marks(row: Mapping[str, Any], answer: str) -> dict[str, float]:
    """`same_words`: 1 where the answer is the reference, but for case and marks."""
    return {"same_words": float(words(answer) == words(row["reference"]))}


def needle_marks(row: Mapping[str, Any], answer: str) -> dict[str, float]:
    """`found`: the answer begins with the right words; where that is a letter, it is read as a letter."""
    expected = row["reference"].strip()
    if len(expected) == 1 and expected.isalpha():
        option = read_option(answer, ("",) * len(ascii_uppercase)).option
        return {"found": float(option is not None and ascii_uppercase[option] == expected.upper())}
    wanted, said = words(expected), words(answer)
    return {"found": float(bool(wanted) and said[: len(wanted)] == wanted)}


def mean_of_scored(values: Iterable[float]) -> float:
    """The mean of those that are numbers; not a number where none is."""
    scored = [value for value in values if not math.isnan(value)]
    return sum(scored) / len(scored) if scored else float("nan")


def words(text: str) -> Sequence[str]:
    """The words of a text, case and marks left out."""
    return re.findall(r"\w+", text.casefold())


def plain(name: str) -> str:
    """A category as part of a metric's name: `TP&TN` as `tp_tn`."""
    return "_".join(words(name))
