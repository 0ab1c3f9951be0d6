"""lmms/judged: an open answer in, a judge's marks out, where LONGTAKE_JUDGE names one; what is unscored is no number.

lmms-eval marks row by row, some at once, and has one number for each; so each answer is asked about alone, and
nothing is kept. `longtake eval judge` keeps, estimates and limits. Knows no model that answers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from longtake.evals.judged import MATCH, OPEN, SCORE
from longtake.judges import Answered, Judged, Settings
from longtake.judges.asking import Judge, Limits, ask_all, judge_at
from longtake.judges.prompts import own_prompts, requests_of
from longtake.lmms.rows import item_of
from longtake.readers.endpoint import endpoint_at

JUDGE = "LONGTAKE_JUDGE"
"""The environment variable that names a judge, `http://host:port/v1#model`; its key is in OPENAI_API_KEY."""
NOT_SCORED = math.nan


def judge_named() -> Judge | None:
    """The judge that the environment names; None where it names none.

    Raises:
        LongtakeError: `usage.bad_option`, `environment.missing`, `network.*`: nobody answers there.
    """
    name = os.environ.get(JUDGE)
    return _judge(name) if name else None


def judge_marks(row: Mapping[str, Any], answer: str) -> dict[str, float]:
    """`judged_right` (1 or 0), `judged_score` (0 to 5) and `unscored`; {} where there is no judge."""
    judge = judge_named()
    if judge is None:
        return {}
    lines: list[Judged] = []
    requests = requests_of(Answered(replace(item_of(row), aspects=OPEN), answer), own_prompts())
    ask_all(requests, judge, Limits(), lambda request, judged: lines.append(judged))
    found = {aspect: mark for line in lines for aspect, mark in (line.marks or {}).items()}
    return {
        "judged_right": found.get(MATCH, NOT_SCORED),
        "judged_score": found.get(SCORE, NOT_SCORED),
        "unscored": float(MATCH not in found),
    }


@cache
def _judge(name: str) -> Judge:
    endpoint = endpoint_at(name, option=JUDGE)
    endpoint.check()
    return judge_at(endpoint, Settings(endpoint.model))
