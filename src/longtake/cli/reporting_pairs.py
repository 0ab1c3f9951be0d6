"""cli/reporting_pairs: two folders of runs in; how they compare, question by question, out. Counts nothing itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.cli.reporting import end_lacking
from longtake.errors import counted

if TYPE_CHECKING:
    from longtake.reports.pairing import Compared, Comparison, Terms


def compare_and_print(first: str, second: str, terms: Terms, *, show: Show) -> None:
    """`longtake eval compare`.

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`; `partial.failed`, after all is told, where a question of one of
            them is not asked, failed or has no score.
    """
    from longtake.reports.pairing import compare_runs

    told = compare_runs(Path(first), Path(second), terms)
    if show.as_json:
        say_json(_object(first, second, told))
    else:
        for line in told.lacking:
            say(line)
        left_out = f"; {told.left_out:,} that only one was asked are left out" if told.left_out else ""
        say(f"A {first}\nB {second}\n{counted(told.asked, 'question')} of both{left_out}")
        for one in told.found:
            say(_told(one, told))
    end_lacking((first, second) if told.lacking else (), show=show)


def _told(one: Compared, told: Comparison) -> str:
    paired = one.paired
    by = f"judge {told.judge}" if told.judge and one.aspect != "right" else told.scoring
    unit = 100.0 if one.both is not None else 1.0
    digits = 1 if one.both is not None else 2

    def number(value: float, sign: str = "") -> str:
        return f"{value * unit:{sign}.{digits}f}"

    rows = [
        (f"{one.aspect} ({by})", f"{counted(paired.pairs, 'question')} scored in both"),
        ("A", number(paired.first)),
        ("B", number(paired.second)),
        (
            "B - A",
            f"{number(paired.difference, '+')}  (95 %: {number(paired.low, '+')} to {number(paired.high, '+')}, "
            "bootstrap over videos)",
        ),
    ]
    if one.both is not None:
        counts = f"both {one.both:,}, only A {paired.worse:,}, only B {paired.better:,}, neither {one.neither:,}"
        rows.append(("right", counts))
        rows.append(("McNemar, exact", f"p = {paired.p:.3g}"))
    else:
        equal = paired.pairs - paired.better - paired.worse
        rows.append(("marked higher", f"in A {paired.worse:,}, in B {paired.better:,}, equal {equal:,}"))
    alone = (("A", paired.only_first), ("B", paired.only_second))
    rows += [(f"scored only in {name}", f"{count:,}") for name, count in alone if count]
    return "\n" + table(rows)


def _object(first: str, second: str, told: Comparison) -> dict[str, object]:
    return {
        "first": first,
        "second": second,
        "questions": told.asked,
        "left_out": told.left_out,
        "scoring": told.scoring,
        "judge": told.judge or None,
        "lacking": list(told.lacking),
        "aspects": [
            {
                "aspect": one.aspect,
                "most": one.most,
                "pairs": one.paired.pairs,
                "first": one.paired.first,
                "second": one.paired.second,
                "difference": one.paired.difference,
                "low": one.paired.low,
                "high": one.paired.high,
                "both_right": one.both,
                "neither_right": one.neither,
                "only_first_better": one.paired.worse,
                "only_second_better": one.paired.better,
                "scored_only_in_first": one.paired.only_first,
                "scored_only_in_second": one.paired.only_second,
                "mcnemar_p": one.paired.p,
            }
            for one in told.found
        ],
    }
