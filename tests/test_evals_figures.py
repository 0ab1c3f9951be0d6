"""evals: figures that one can check by hand, what was not scored told beside them; and two runs compared."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from longtake.evals import Item, Place, VideoName, good_items
from longtake.evals.benchmarks.lvbench import Lvbench
from longtake.evals.benchmarks.mlvu import SPOKEN, Mlvu
from longtake.evals.benchmarks.msvd_qa import MsvdQa
from longtake.evals.benchmarks.mvbench import Mvbench
from longtake.evals.benchmarks.next_qa import NextQa
from longtake.evals.benchmarks.vcgbench import ASPECTS, Vcgbench
from longtake.evals.benchmarks.video_mme import VideoMme
from longtake.evals.comparing import compare, mcnemar
from longtake.evals.figures import Figure, Mark, combined, mean_of, share_of

SAMPLES = Path(__file__).resolve().parent / "evals"


def item(number: int, video: str = "v", **more: object) -> Item:
    return Item(str(number), VideoName((video,)), "q", Place("f", number), options=("x", "y"), right=0, **more)  # type: ignore[arg-type]


def marks(*values: float | None, **more: object) -> list[Mark]:
    return [Mark(item(number, **more), value) for number, value in enumerate(values)]


def named(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_a_share_tells_what_has_no_score_and_what_that_could_make_of_it() -> None:
    found = share_of("accuracy", [*marks(1, 1, 0, None), Mark(item(9), 0.0, unreadable=True)])
    assert (found.value, found.scored, found.unscored, found.unreadable) == (0.5, 4, 1, 1)
    assert (found.worst, found.best) == (2 / 5, 3 / 5)
    # Wilson for 2 of 4: (0.5 + z2/8 +- z sqrt(0.25/4 + z2/64)) / (1 + z2/4), z2 = 3.8415.
    assert found.low == pytest.approx(0.15004, abs=1e-5)
    assert found.high == pytest.approx(0.84996, abs=1e-5)
    nothing = share_of("accuracy", marks(None, None))
    assert (nothing.value, nothing.low, nothing.scored, nothing.unscored) == (None, None, 0, 2)
    assert (nothing.worst, nothing.best) == (0.0, 1.0)
    assert share_of("accuracy", []).worst is None


def test_a_mean_of_scores_is_of_those_that_there_are() -> None:
    one = item(0)
    listed = [Mark(one, value, aspect="consistency") for value in (4.0, 2.0, 3.0, None)]
    found = mean_of("consistency", [*listed, Mark(one, 0.0, aspect="temporal")], "consistency")
    assert (found.value, found.scored, found.unscored, found.most) == (3.0, 3, 1, 5)
    assert (found.worst, found.best) == (9 / 4, 14 / 4)
    # Standard deviation 1, so that the reach is 1.96 / sqrt(3).
    assert found.high == pytest.approx(3 + 1.959964 / math.sqrt(3), abs=1e-6)
    assert mean_of("consistency", [], "consistency").value is None
    lost = mean_of("relevance", [Mark(one, None, aspect="relevance")], "relevance")
    assert (lost.value, lost.worst, lost.best) == (None, 1.0, 5.0)


def test_a_mean_of_figures_gives_each_the_same_weight() -> None:
    parts = (share_of("one", marks(1, 1, 1, 1)), share_of("other", marks(0, 0)))
    found = combined("both", parts)
    assert (found.value, found.scored) == (0.5, 6)
    assert combined("both", (*parts, share_of("third", marks(None)))).value is None
    assert combined("sum", parts, total=True).value == 1.0
    assert combined("none", ()).value is None


@pytest.mark.parametrize(
    ("tasks", "m_avg", "told", "g_avg"),
    [
        # As its authors list them (github.com/JUNJIE99/MLVU, issue 15, for the test set).
        ((86.8, 59.0, 70.0, 75.5, 76.0, 58.3, 64.3, 36.7, 67.4), 66.0, (5.93, 3.83), 4.88),
    ],
)
def test_mlvus_averages_are_its_authors(
    tasks: tuple[float, ...], m_avg: float, told: tuple[float, ...], g_avg: float
) -> None:
    def part(value: float) -> Figure:
        return Figure("", value, value, value, 1, 0, value, value, most=100)

    assert combined("M-Avg", [part(value) for value in tasks]).value == pytest.approx(m_avg, abs=0.05)
    assert combined("G-Avg", [part(value) for value in told]).value == pytest.approx(g_avg, abs=0.005)


def test_mlvu_weighs_tasks_alike_and_adds_a_judges_two_scores() -> None:
    asked = good_items(Mlvu(), SAMPLES / "mlvu")
    given = {"PQA": [1, 0], "AO": [1, 1]}
    listed = []
    for task, values in given.items():
        listed += [
            Mark(one, value) for one, value in zip((i for i in asked if task in i.categories), values, strict=True)
        ]
    scores = {"SSC": [(5, 3), (2, 4)], "VS": [(1, 1), (3, 4)]}
    for task, pairs in scores.items():
        for one, pair in zip((i for i in asked if task in i.categories), pairs, strict=True):
            listed += [Mark(one, float(score), aspect=aspect) for aspect, score in zip(SPOKEN[task], pair, strict=True)]
    found = named(Mlvu().figures(listed))
    assert found["PQA"].value == 0.5
    assert found["M-Avg"].value == 0.75
    # SSC: 3.5 + 3.5; VS: 2 + 2.5.
    assert (found["SSC"].value, found["VS"].value, found["G-Avg"].value) == (7.0, 4.5, 5.75)
    assert found["G-Avg"].most == 10
    assert "G-Avg" not in named(Mlvu().figures([mark for mark in listed if mark.aspect == "right"]))


def test_vcgbench_has_five_scores_and_a_pair_has_one() -> None:
    asked = good_items(Vcgbench(), SAMPLES / "vcgbench")
    values = {"correctness": 4.0, "detail": 3.0, "context": 2.0, "temporal": 1.0, "consistency": 5.0}
    listed = [Mark(one, values[aspect], aspect=aspect) for one in asked for aspect in one.aspects]
    found = named(Vcgbench().figures(listed))
    assert {name: found[name].value for name in values} == values
    assert {name: found[name].scored for name in values} == dict.fromkeys(values, 2)
    assert found["mean"].value == 3.0
    assert [aspect for aspects in ASPECTS.values() for aspect in aspects] == list(values)


def test_video_mme_is_told_by_length_and_domain() -> None:
    asked = good_items(VideoMme(), SAMPLES / "video_mme")
    found = named(VideoMme().figures([Mark(one, float(one.id == "601-1")) for one in asked]))
    assert found["accuracy"].value == pytest.approx(1 / 3)
    assert (found["length: short"].value, found["length: long"].value) == (0.0, 1.0)
    assert found["domain: Knowledge"].scored == 2


def test_a_question_of_two_kinds_counts_to_both_and_once_to_all() -> None:
    asked = good_items(Lvbench(), SAMPLES / "lvbench")
    found = named(Lvbench().figures([Mark(one, 1.0) for one in asked]))
    assert found["accuracy"].scored == 3
    assert {name: found[f"category: {name}"].scored for name in ("KIR", "Rea", "EU", "Sum")} == dict.fromkeys(
        ("KIR", "Rea", "EU", "Sum"), 1
    )
    assert asked[1].span_s == (3600.0, 3725.0)
    assert asked[2].span_s is None


def test_other_benchmarks_report_what_their_authors_do() -> None:
    asked = good_items(NextQa(), SAMPLES / "next_qa")
    found = named(NextQa().figures([Mark(one, float(number)) for number, one in enumerate(asked)]))
    assert (found["accuracy"].value, found["family: causal"].value, found["family: temporal"].value) == (0.5, 0.0, 1.0)
    tasks = good_items(Mvbench(), SAMPLES / "mvbench")
    chief = Mvbench().figures([Mark(one, float("antonym" in one.id)) for one in tasks])[0]
    assert (chief.name, chief.value) == ("mean of tasks", 0.5)
    spoken = good_items(MsvdQa(), SAMPLES / "msvd_qa")
    judged = [Mark(spoken[0], 1.0, "match"), Mark(spoken[0], 5.0, "score"), Mark(spoken[1], None, "match", why="429")]
    figures = named(MsvdQa().figures(judged))
    assert (figures["accuracy"].value, figures["accuracy"].unscored, figures["score"].value) == (1.0, 1, 5.0)


def binomial(better: int, worse: int) -> float:
    """The same by counting every way that coins can fall."""
    total, uneven = better + worse, abs(better - worse)
    falls = list(itertools.product((0, 1), repeat=total))
    return sum(abs(2 * sum(fall) - total) >= uneven for fall in falls) / len(falls)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (3, 3), (5, 1), (9, 2), (0, 10)])
def test_mcnemar_is_the_share_of_coin_falls_as_uneven(better: int, worse: int) -> None:
    assert mcnemar(better, worse) == pytest.approx(binomial(better, worse) if better + worse else 1.0, rel=1e-12)
    assert mcnemar(better, worse) == mcnemar(worse, better)


def test_mcnemar_of_thousands_is_a_number() -> None:
    assert 0 < mcnemar(2000, 2300) < 1e-4
    assert mcnemar(3000, 3000) == 1.0


def test_two_runs_are_compared_where_both_have_a_score() -> None:
    first, second = marks(1, 0, 0, 1, None, 1), marks(1, 1, 1, 0, 1, None)
    found = compare(first, second)
    assert (found.pairs, found.only_first, found.only_second) == (4, 1, 1)
    assert (found.first, found.second, found.difference) == (0.5, 0.75, 0.25)
    assert (found.better, found.worse, found.p) == (2, 1, 1.0)
    assert compare(first, second) == found
    with pytest.raises(ValueError, match="no scored question in common"):
        compare(marks(None), marks(1))
    with pytest.raises(ValueError, match="a question twice"):
        compare([*marks(1), *marks(1)], marks(1))


def test_the_bootstrap_draws_videos_so_that_like_questions_do_not_count_as_many() -> None:
    """The same differences: spread over a hundred videos they are surer than if they are those of four."""
    wins = [number % 4 == 0 for number in range(100)]
    spread = compare(
        [Mark(item(n, f"v{n}"), 0.0) for n in range(100)],
        [Mark(item(n, f"v{n}"), float(w)) for n, w in enumerate(wins)],
    )
    packed = compare(
        [Mark(item(n, f"v{n % 4}"), 0.0) for n in range(100)],
        [Mark(item(n, f"v{n % 4}"), float(w)) for n, w in enumerate(wins)],
    )
    assert spread.difference == packed.difference == 0.25
    # Binomial: standard deviation sqrt(.25 x .75 / 100) = 0.0433; 0.25 +- 0.085.
    assert spread.low == pytest.approx(0.165, abs=0.015)
    assert spread.high == pytest.approx(0.335, abs=0.015)
    # One video of four is all right: a draw of four has it 0 to 3 times, seldom more.
    assert (packed.low, packed.high) == (0.0, 0.75)
    assert spread.p == packed.p == mcnemar(25, 0)


def test_scores_are_compared_without_mcnemar() -> None:
    one = [Mark(item(n), float(n), aspect="score") for n in range(4)]
    other = [Mark(item(n), float(n) + 1, aspect="score") for n in range(4)]
    found = compare(one, other, aspect="score")
    assert (found.difference, found.low, found.high, found.p) == (1.0, 1.0, 1.0, None)
