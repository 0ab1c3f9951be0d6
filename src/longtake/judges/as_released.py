"""judges.as_released: a judge's replies in, what the papers' released scripts would print of them out. Knows no file.

For comparing with published numbers: `unknown` is a `no` there, a score of 99 counts, what has no reply is left out. A
script prints sums over all replies, and nothing at all where one reply ends it. `reports.marking` has the same rules
(both are `evals.released`) question by question, which figures with intervals and comparisons of runs need.
"""

from __future__ import annotations

from collections.abc import Iterable

from longtake.evals.judged import OPEN
from longtake.evals.released import released_judging
from longtake.judges import Judged
from longtake.judges.prompts import KINDS

SCRIPTED = {
    name: kind.aspects
    for name, kind in KINDS.items()
    if kind.aspects == OPEN or (len(kind.aspects) == 1 and name != "caption")
}
"""What the released scripts ask a judge, with what is marked. Those of open questions look for `pred` and a score,
those of VCGBench, one for each aspect, for a score only."""


def as_released(lines: Iterable[Judged]) -> dict[str, dict[str, object]]:
    """By prompt, of those that the scripts have: what they would print, and `error` if they would die."""
    by_prompt: dict[str, list[Judged]] = {}
    for line in lines:
        if line.prompt in SCRIPTED:
            by_prompt.setdefault(line.prompt, []).append(line)
    found: dict[str, dict[str, object]] = {}
    for prompt, some in by_prompt.items():
        run = released_judging({line.id: line.reply for line in some}, yes_or_no=SCRIPTED[prompt] == OPEN)
        found[prompt] = {**run.stats, **({"error": run.error} if run.error else {})}
    return found
