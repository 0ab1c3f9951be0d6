"""lmms/tasks/utils: what the task files beside this call; lmms-eval loads it by its path, for each of them anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.errors import LongtakeError
from longtake.lmms import marks
from longtake.lmms.judged import judge_marks, judge_named
from longtake.lmms.rows import asked, home_of, rows_of


def rows(named: Any) -> Any:
    """`process_docs`: the questions of the benchmark that the data set's only row names.

    Raises:
        SystemExit: with the one line that says what is wrong; any other error lmms-eval would try again and then hide.
    """
    from datasets import Dataset

    benchmark = named[0]["benchmark"]
    try:
        judge_named()  # one who does not answer is told now, not behind all answers
        return Dataset.from_list(list(rows_of(benchmark, home_of(benchmark))))
    except LongtakeError as error:
        raise SystemExit(str(error)) from error


def visual(row: Mapping[str, Any]) -> list[str]:
    """`doc_to_visual`."""
    return [row["video"]]


def text(row: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """`doc_to_text`: in the wording that the task file names, between what it puts before and behind."""
    how = lmms_eval_specific_kwargs or {}
    return f"{how.get('pre_prompt', '')}{asked(row, how.get('wording', 'published'))}{how.get('post_prompt', '')}"


def target(row: Mapping[str, Any]) -> str:
    """`doc_to_target`."""
    return str(row["options"][row["right"]] if row["options"] else row["reference"])


def choice(row: Mapping[str, Any], said: Sequence[str]) -> dict[str, float]:
    """`process_results` of multiple choice."""
    return marks.choice_marks(row, said[0])


def open_ended(row: Mapping[str, Any], said: Sequence[str]) -> dict[str, float]:
    """`process_results` of open questions."""
    return {**marks.open_marks(row, said[0]), **judge_marks(row, said[0])}


def needle(row: Mapping[str, Any], said: Sequence[str]) -> dict[str, float]:
    """`process_results` of needles."""
    return marks.needle_marks(row, said[0])


def scored(values: Sequence[float]) -> float:
    """The aggregation of what may have no score."""
    return marks.mean_of_scored(values)
