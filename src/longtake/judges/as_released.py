"""judges.as_released: a judge's replies in, what the papers' released scripts would print of them out. Knows no file.

For comparing with published numbers: `unknown` is a `no` there, a score of 99 counts, what has no reply is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from longtake.evals.judged import OPEN
from longtake.evals.released import released_judging
from longtake.judges import Judged
from longtake.judges.prompts import KINDS


def as_released(lines: Iterable[Judged]) -> dict[str, dict[str, object]]:
    """By prompt, of those that the scripts have: what they would print, and `error` if they would die.

    The scripts of open questions look for `pred` too, those of VCGBench for a score only.
    """
    by_prompt: dict[str, list[Judged]] = {}
    for line in lines:
        kind = KINDS.get(line.prompt)
        if kind is not None and (kind.aspects == OPEN or (len(kind.aspects) == 1 and line.prompt != "caption")):
            by_prompt.setdefault(line.prompt, []).append(line)
    found: dict[str, dict[str, object]] = {}
    for prompt, some in by_prompt.items():
        run = released_judging({line.id: line.reply for line in some}, yes_or_no=KINDS[prompt].aspects == OPEN)
        found[prompt] = {**run.stats, **({"error": run.error} if run.error else {})}
    return found
