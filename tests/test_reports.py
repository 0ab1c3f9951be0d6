"""longtake eval report: its figures are those that one counts by hand, and what is lacking is told first."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from longtake import parts
from longtake.errors import counted
from longtake.evals import Item
from longtake.evals.judged import FORCED, GENERATED, OPEN
from longtake.evals.released import differing
from longtake.measure import Row
from longtake.reports.accounting import accounts_of
from longtake.reports.published import NOT_RUN, otherwise, published, rows_of
from longtake.reports.styling import names_of
from longtake.reports.tables import COLUMNS, as_csv, chief_of, markdown, tables_of
from reported import answered, choice, header_of, spoken, write_judge, write_run
from running import ONE_LINE, Cli

CAUSAL, DESCRIPTIVE = "causal", "descriptive"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def ten() -> list[Item]:
    """Six causal questions of four options and four descriptive ones of two; two a video."""
    causal = [choice(f"q{n}", right=n % 4, video=f"v{n // 2}", categories=(CAUSAL,)) for n in range(6)]
    return causal + [
        choice(f"q{n}", right=0, options=2, video=f"v{n // 2}", categories=(DESCRIPTIVE,)) for n in range(6, 10)
    ]


SAID = ("A", "B", "A", "no idea", None, "B", "A", "A", "B", "A")
"""To the ten: right, right, wrong, unreadable, failed, right; right, right, wrong, right."""


def rows_for(items: list[Item], said: tuple[str | None, ...] = SAID) -> list[Row]:
    return [answered(item, number, answer) for number, (item, answer) in enumerate(zip(items, said, strict=True))]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    items = ten()
    return write_run(tmp_path / "nano-64", header_of("next_qa", [item.id for item in items]), rows_for(items))


def figures(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {figure["figure"]: figure for figure in told["figures"]}


def test_figures_are_those_that_one_counts_by_hand(cli: Cli, run: Path) -> None:
    status, out, _ = cli("eval", "report", run, "--json")
    told = json.loads(out)["runs"][0]
    assert status == 8  # one failed
    counts = {name: told["counts"][name] for name in ("items", "asked", "scored", "failed", "unscored", "unreadable")}
    assert counts == {"items": 10, "asked": 10, "scored": 9, "failed": 1, "unscored": 0, "unreadable": 1}
    assert told["counts"]["coverage"] == 0.9
    found = figures(told)
    # 6 of 9 right; the one that failed may have been either.
    chief = found["accuracy"]
    assert (chief["value"], chief["figure_scored"], chief["figure_unscored"]) == (pytest.approx(6 / 9), 9, 1)
    assert (chief["worst"], chief["best"]) == (0.6, 0.7)
    # Wilson's interval of 6 of 9, by its formula.
    z, n, p = 1.959963984540054, 9, 6 / 9
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert (chief["low"], chief["high"]) == (pytest.approx(middle - reach), pytest.approx(middle + reach))
    assert found[f"category: {CAUSAL}"]["value"] == 3 / 5
    assert found[f"category: {DESCRIPTIVE}"]["value"] == 3 / 4
    # Guessing: one in four six times, one in two four times.
    assert chief["chance"] == pytest.approx((6 / 4 + 4 / 2) / 10)
    assert found[f"category: {DESCRIPTIVE}"]["chance"] == 0.5
    assert (told["frames"], told["tokens"]) == (64, 256)


def test_tables_name_the_run_and_give_each_figure_with_its_interval(cli: Cli, run: Path) -> None:
    status, out, err = cli("eval", "report", run)
    assert status == 8
    assert ONE_LINE.fullmatch(err)
    assert err.startswith(f"error[partial.failed]: {run}: ")
    assert out.startswith(f"{run}: 1 failed\n")
    for words in (
        "nano-64",
        "next_qa",
        "val, whole",
        "grid",
        "letter",
        "66.7 (35.4 to 87.9), n 9; between 60.0 and 70.0",
    ):
        assert words in out, words


def test_what_a_run_prints_is_the_beginning_of_its_report(tmp_path: Path) -> None:
    """The chief figure, lengths and categories, twelve at most; facets are left to the report, and counted."""
    facets = (("kind, length", "causal, 8 s"),)
    items = [choice(f"q{n}", categories=(f"kind {n}",), length_class=f"{n % 2} s", facets=facets) for n in range(14)]
    folder = write_run(
        tmp_path / "nano", header_of("worldqa", [item.id for item in items]), rows_for(items, ("B",) * 13 + ("?",))
    )
    accounts = accounts_of(folder)
    told, _, whole = chief_of(accounts), *tables_of(accounts)
    assert [row[0] for row in told.rows] == [
        "accuracy", "length: 0 s", "length: 1 s", *(f"category: kind {n}" for n in range(9))
    ]  # fmt: skip
    assert told.rows == whole.rows[:12]
    assert told.head == ("figure", "letter", "chance")
    assert told.notes == (
        "letter: 1 answer named no option, or several",
        f"{len(whole.rows) - 12} further figures: longtake eval report {folder}",
    )


def test_a_run_that_is_not_at_its_end_says_so_first(cli: Cli, tmp_path: Path) -> None:
    items = [choice(f"q{n}") for n in range(1000)]
    rows = [answered(item, number, "B") for number, item in enumerate(items[:112])]
    folder = write_run(tmp_path / "half", header_of("egoschema", [item.id for item in items]), rows)
    status, out, err = cli("eval", "report", folder)
    assert out.startswith(f"{folder}: 112 of 1,000 asked, and the figures are of those alone\n")
    assert (status, err.startswith("error[partial.failed]")) == (8, True)
    told = json.loads(cli("eval", "report", folder, "--json")[1])
    assert told["lacking"] == [f"{folder}: 112 of 1,000 asked, and the figures are of those alone"]
    assert (told["runs"][0]["counts"]["missing"], told["runs"][0]["counts"]["coverage"]) == (888, 0.112)
    assert markdown(accounts_of(folder)).startswith("# Report\n\n**")


def test_a_whole_run_ends_well(cli: Cli, tmp_path: Path) -> None:
    items = ten()
    folder = write_run(
        tmp_path / "whole", header_of("next_qa", [item.id for item in items]), rows_for(items, ("A",) * 10)
    )
    status, out, err = cli("eval", "report", folder)
    assert (status, err) == (0, "")
    assert out.startswith("Runs\n")


def test_answers_that_authors_keep_back_are_no_failure(cli: Cli, tmp_path: Path) -> None:
    items = [choice("q1"), choice("q2", right=None)]  # type: ignore[arg-type]
    rows = [answered(item, number, "B") for number, item in enumerate(items)]
    folder = write_run(tmp_path / "kept", header_of("egoschema", ["q1", "q2"]), rows)
    status, out, _ = cli("eval", "report", folder)
    assert status == 0
    assert "1 have answers that their authors keep back" in out


@pytest.mark.parametrize("what", ["nothing there", "no such judge", "no such benchmark"])
def test_what_is_no_run_is_refused(cli: Cli, run: Path, tmp_path: Path, what: str) -> None:
    given: list[str | Path] = [run]
    if what == "nothing there":
        given = [tmp_path / "nowhere"]
    elif what == "no such judge":
        given = [run, "--judge", "gpt-x"]
    else:
        header = header_of("no_such", ["q0"])
        given = [write_run(tmp_path / "strange", header, [answered(choice("q0"), 0, "A")])]
    status, out, err = cli("eval", "report", *given)
    assert (status, out) == (2, "")
    assert ONE_LINE.fullmatch(err)


def test_csv_and_markdown_hold_every_figure_of_every_run(cli: Cli, run: Path, tmp_path: Path) -> None:
    table, page = tmp_path / "r.csv", tmp_path / "r.md"
    out = cli("eval", "report", run, "--json", "--published", "--csv", table, "--markdown", page)[1]
    told = json.loads(out)
    lines = list(csv.DictReader(io.StringIO(table.read_text())))
    own = [line for line in lines if line["published"] == "no"]
    assert tuple(lines[0]) == COLUMNS
    numbers = ("value", "low", "high", "figure_scored", "figure_unscored", "worst", "best", "most", "chance")
    assert [{name: float(line[name]) for name in numbers} | {"figure": line["figure"]} for line in own] == [
        {name: figure[name] for name in (*numbers, "figure")} for figure in told["runs"][0]["figures"]
    ]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines()]
    by_name = {row[0]: row[1] for row in cells if len(row) == 3}
    for figure in told["runs"][0]["figures"]:
        low, high = (f"{100 * figure[name]:.1f}" for name in ("low", "high"))
        assert by_name[figure["figure"]].startswith(f"{100 * figure['value']:.1f} ({low} to {high})")


def test_published_figures_stand_apart_and_say_that_they_were_not_run(cli: Cli, run: Path) -> None:
    assert NOT_RUN not in cli("eval", "report", run)[1]
    out = cli("eval", "report", run, "--published")[1]
    own, beside = out.split(f"NExT-QA (multiple choice): {NOT_RUN}\n")
    assert "64.2" in beside and "64.2" not in own
    assert "arXiv 2407.15841" in beside
    assert "no run here saw as many frames as" in beside
    told = json.loads(cli("eval", "report", run, "--published", "--json")[1])
    assert {row["figures"]["accuracy"] for row in told["published_not_run_here"]} == {0.642, 0.631, 0.72, 0.709}
    assert all(line["published"] in ("no", NOT_RUN) for line in csv.DictReader(io.StringIO(as_csv([], published=True))))


def test_every_published_row_has_a_source_and_a_known_benchmark() -> None:
    known = parts.names("evals.benchmarks")
    assert len(published()) == 51
    assert len({row.id for row in published()}) == 51
    for row in published():
        assert row.paper.arxiv in ("2406.16852", "2407.15841")
        assert row.table and row.setting.checkpoint and row.values
        assert row.benchmark in known or row.benchmark in ("vniah", "textneedle")
        assert all(0 <= value <= 1 for name, value in row.values.items() if name in row.percent)
        assert all(0 <= value <= 10 for name, value in row.values.items() if name in row.scores)


def test_the_mean_over_lengths_that_the_paper_prints_is_that_of_its_columns() -> None:
    (row,) = [one for one in rows_of("vniah") if one.setting.model == "LongVA-7B"]
    columns = [value for name, value in row.percent.items() if name.startswith("length: ")]
    assert len(columns) == 15
    assert sum(columns) / 15 == pytest.approx(row.percent["forced"], abs=0.05)


def test_what_differs_from_a_published_row_is_told(run: Path) -> None:
    (account,) = accounts_of(run)
    rows = rows_of("next_qa")
    assert not any("published of" in line for line in otherwise(rows, [account]))  # both val, whole
    told = otherwise(rows_of("egoschema"), [account])
    assert "published of subset, whole; runs here of val, whole" in told


@pytest.mark.parametrize("right", "ABCDE")
def test_released_and_right_differ_as_recorded(cli: Cli, golden: Path, tmp_path: Path, right: str) -> None:
    """Every recorded answer that is text, to a question of five options."""
    table = json.loads((golden / "h_eval" / "mc_table.json").read_text())
    told = [row for row in table if isinstance(row["pred"], str)]
    items = [choice(f"q{n}", right="ABCDE".index(right), options=5) for n in range(len(told))]
    rows = [answered(item, n, row["pred"]) for n, (item, row) in enumerate(zip(items, told, strict=True))]
    folder = write_run(tmp_path / "odd", header_of("intentqa", [item.id for item in items]), rows)
    recorded = sum(bool(row.get("check", {}).get(right.lower())) for row in told)
    both = json.loads(cli("eval", "report", folder, "--scoring", "both", "--json")[1])["runs"]
    assert [run["rule"] for run in both] == ["right", "released"]
    values = [figures(run)["accuracy"]["value"] for run in both]
    assert values[1] == recorded / len(told)
    found = differing(items, {row.id: str(row.answer) for row in rows})
    assert values[0] == found.right / len(told)
    assert (values[0] != values[1]) == (right in "ADE")
    assert bool(found.ids) == (right != "C")
    otherwise_marked = counted(len(found.ids), "item")
    assert both[1]["notes"] == [
        f"{otherwise_marked} of {len(told)} marked otherwise: {found.right} right by longtake's rule, {recorded} by "
        "the released one; the released script ends at 1 empty answer, counted as wrong here"
    ]


def test_a_judges_replies_by_the_released_rule_give_what_the_script_prints(golden: Path, tmp_path: Path) -> None:
    recorded = json.loads((golden / "h_eval" / "judge_files.json").read_text())["video_qa"]
    items = [spoken(f"q{n}", OPEN) for n in range(len(recorded["replies"]))]
    rows = [answered(item, n, "a cat") for n, item in enumerate(items)]
    folder = write_run(tmp_path / "judged", header_of("msvd_qa", [item.id for item in items]), rows)
    write_judge(
        folder, "one", rows, {row.id: {"open": said} for row, said in zip(rows, recorded["replies"], strict=True)}
    )
    (right, released) = accounts_of(folder, rules=("right", "released"))
    by_name = {figure.name: figure for figure in released.figures}
    assert by_name["accuracy"].value == pytest.approx(recorded["stats"]["Accuracy"])
    assert by_name["score"].value == pytest.approx(recorded["stats"]["Average score"])
    assert by_name["accuracy"].scored == recorded["stats"]["Yes count"] + recorded["stats"]["No count"]
    strict = {figure.name: figure for figure in right.figures}["accuracy"]
    assert strict.unscored > 0 and strict.worst is not None and strict.best is not None
    assert strict.worst < (strict.value or 0) < strict.best
    assert right.counts.unscored == strict.unscored == len(rows) - right.counts.scored
    assert any("replies marked otherwise" in note for note in released.notes)


def test_each_judge_has_its_own_line_and_is_named(cli: Cli, tmp_path: Path) -> None:
    items = [spoken("q1", OPEN), spoken("q2", OPEN)]
    rows = [answered(item, n, "a dog") for n, item in enumerate(items)]
    folder = write_run(tmp_path / "two", header_of("msrvtt_qa", ["q1", "q2"]), rows)
    status, out, _ = cli("eval", "report", folder)
    assert status == 8
    assert out.startswith(f"{folder} (not marked): 2 unscored\n")
    write_judge(folder, "kind", rows, {row.id: {"open": '{"pred": "yes", "score": 5}'} for row in rows})
    write_judge(folder, "stern", rows, {"q1": {"open": '{"pred": "no", "score": 1}'}, "q2": {"open": None}})
    told = json.loads(cli("eval", "report", folder, "--json")[1])["runs"]
    assert [(run["judge"], figures(run)["accuracy"]["value"]) for run in told] == [("kind", 1.0), ("stern", 0.0)]
    # What got no reply is unscored, never 0: the score is that of the one reply.
    assert figures(told[1])["score"]["value"] == 1.0
    assert (told[1]["counts"]["scored"], told[1]["counts"]["unscored"]) == (1, 1)
    (only,) = json.loads(cli("eval", "report", folder, "--judge", "kind", "--json")[1])["runs"]
    assert only["judge"] == "kind"


def test_marks_for_another_answer_do_not_count(tmp_path: Path) -> None:
    row = answered(spoken("q1", OPEN), 0, "a dog")
    folder = write_run(tmp_path / "stale", header_of("msvd_qa", ["q1"]), [answered(row.item, 0, "a cat")])
    write_judge(folder, "one", [row], {"q1": {"open": '{"pred": "yes", "score": 5}'}})
    (account,) = accounts_of(folder)
    assert (account.counts.scored, account.counts.unscored) == (0, 1)
    assert any("another answer" in note for note in account.notes)


def test_marks_that_a_run_made_itself_need_no_judge(cli: Cli, tmp_path: Path) -> None:
    """As `longtake eval vniah` takes in what `longtake niah` found: 2 of 3 forced, 1 of 3 generated; one failed."""
    found = ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0), None)
    items = [
        dataclasses.replace(
            spoken(f"{length}/0/{n}", (FORCED, GENERATED), category="0"), length_class=f"{length} frames"
        )
        for n, length in enumerate((200, 200, 400, 400))
    ]
    rows = [
        answered(item, n, None)
        if marks is None
        else answered(item, n, "B", scored={"marks": dict(zip((FORCED, GENERATED), marks, strict=True))})
        for n, (item, marks) in enumerate(zip(items, found, strict=True))
    ]
    folder = write_run(tmp_path / "niah", header_of("vniah", [item.id for item in items]), rows)
    (account,) = accounts_of(folder)
    by_name = {figure.name: figure for figure in account.figures}
    assert (by_name["forced"].value, by_name["generated"].value) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (account.counts.scored, account.counts.failed, account.way) == (3, 1, "the run itself")
    assert not account.notes
    out = cli("eval", "report", folder, "--published")[1]
    assert "90.9" in out and f"V-NIAH: {NOT_RUN}" in out


def test_likelihood_and_letter_are_two_lines(tmp_path: Path) -> None:
    items = [choice("q1", right=0, options=2), choice("q2", right=1, options=2)]
    rows = [
        answered(items[0], 0, "A", shares=(0.4, 0.6)),
        answered(items[1], 1, "no idea", shares=(0.1, 0.9)),
    ]
    header = header_of("intentqa", ["q1", "q2"], scoring=("letter", "likelihood"))
    letter, likelihood = accounts_of(write_run(tmp_path / "run", header, rows))
    assert (letter.scoring, letter.figures[0].value, letter.figures[0].unreadable) == ("letter", 0.5, 1)
    assert (likelihood.scoring, likelihood.figures[0].value, likelihood.figures[0].unreadable) == ("likelihood", 0.5, 0)
    # The released scripts read what was said; they know no likelihoods.
    assert [one.scoring for one in accounts_of(tmp_path / "run", rules=("released",))] == ["letter"]


@pytest.mark.parametrize("name", parts.names("evals.benchmarks"))
def test_a_run_of_any_benchmark_that_has_no_row_yet_is_told(cli: Cli, tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "begun", header_of(name, ["q1", "q2"]), [])
    status, out, err = cli("eval", "report", folder, "--published", "--csv", tmp_path / "r.csv")
    assert out.startswith(f"{folder}: 0 of 2 asked")
    assert (status, err.startswith("error[partial.failed]")) == (8, True)
    assert json.loads(cli("eval", "report", folder, "--json")[1])["runs"][0]["counts"]["missing"] == 2


def test_a_file_that_cannot_be_written_is_told(cli: Cli, run: Path, tmp_path: Path) -> None:
    status, _, err = cli("eval", "report", run, "--markdown", tmp_path / "nowhere" / "r.md")
    assert (status, bool(ONE_LINE.fullmatch(err))) == (7, True)


def laid(folder: Path, pool: int, *, sha256: str = "0" * 64, frames: int = 64) -> Path:
    """A run of one question whose layout pools so."""
    item = choice("q1")
    told = {
        "sampler": {"name": "uniform", "options": {"frames": frames}},
        "layout": {"name": "grid", "options": {"pool": pool, "mode": "average"}},
    }
    header = header_of(
        "intentqa",
        ["q1"],
        parts=told,
        model={"name": "nano", "sha256": sha256},
        versions={"torch": "9.9", "av": "8.8"},
        frames=frames,
    )
    return write_run(folder, header, [answered(item, 0, "B", frames=frames)])


def test_options_that_are_no_defaults_tell_runs_apart(tmp_path: Path) -> None:
    accounts = [*accounts_of(laid(tmp_path / "one", 1)), *accounts_of(laid(tmp_path / "two", 2, sha256="a" * 64))]
    runs = tables_of(accounts)[0]
    place = runs.head.index("parts")
    assert [row[place] for row in runs.rows] == ["uniform, grid (pool 1)", "uniform, grid"]
    assert names_of(accounts) == ["nano 00000000, grid (pool 1)", "nano aaaaaaaa, grid"]
    # Frames are what a line goes along; what else differs makes two lines.
    more = [*accounts_of(laid(tmp_path / "less", 1, frames=8)), accounts[0], *accounts_of(laid(tmp_path / "t", 2))]
    assert names_of([more[0], more[1]], apart="frames") == ["nano, grid (pool 1)"] * 2
    assert names_of(more[1:], apart="frames") == ["nano, grid (pool 1)", "nano, grid"]


def test_csv_and_markdown_say_what_was_run(tmp_path: Path) -> None:
    accounts = accounts_of(laid(tmp_path / "one", 1, sha256="b" * 64))
    line = next(csv.DictReader(io.StringIO(as_csv(accounts))))
    assert (line["sha256"], line["layout"]) == ("b" * 64, "grid")
    assert json.loads(line["parts"])["layout"] == {"name": "grid", "options": {"pool": 1, "mode": "average"}}
    assert json.loads(line["versions"]) == {"torch": "9.9", "av": "8.8"}
    (told,) = [line for line in markdown(accounts).splitlines() if line.startswith("- #1 one: ")]
    for words in (f"SHA-256 {'b' * 64}", '"pool": 1', '"frames": 64', "torch 9.9, av 8.8"):
        assert words in told, words


def test_many_published_figures_stand_one_below_the_other(tmp_path: Path) -> None:
    (account,) = accounts_of(write_run(tmp_path / "needles", header_of("vniah", ["q1"]), []))
    table = tables_of([account], published=True)[-1]
    assert table.head == ("", "figure", "value", "frames", "split", "judge")
    told = {row[:4] for row in table.rows}
    assert {("LongVA-7B", "length: 2,400 frames", "66.7", "2,400"), ("LongVA-7B", "forced", "90.9", "3,000")} <= told
    assert len(told) == len(table.rows) == sum(len(row.values) for row in rows_of("vniah"))


def test_where_nothing_is_published_a_sentence_says_so(cli: Cli, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "world", header_of("worldqa", ["q1"]), [answered(choice("q1"), 0, "B")])
    page = markdown(accounts_of(folder), published=True)
    assert "- no published row: neither paper reports this benchmark" in page
    assert "nothing" not in page
    assert "no published row" in cli("eval", "report", folder, "--published")[1]


def test_needles_taken_in_tell_frames_and_tokens(cli: Cli, tmp_path: Path) -> None:
    for name in ("vniah", "textneedle"):
        cli("eval", name, Path(__file__).resolve().parent / "evals" / name, "--out", tmp_path / name)
    (frames,), (text,) = (accounts_of(tmp_path / name) for name in ("vniah", "textneedle"))
    # Cells of 16, 16 and 8 frames, of 95, 88 and 63 tokens.
    assert (frames.frames, frames.tokens) == (pytest.approx(40 / 3), pytest.approx(246 / 3))
    assert text.frames is None and (text.tokens or 0) > 64
    assert any("all that were read" in note for note in text.notes)


def test_a_judge_is_named_once_whatever_the_order_of_its_replies(tmp_path: Path) -> None:
    """Replies come as they do; one that did not come knows only the name that was asked for."""
    rows = [answered(spoken(f"q{n}", OPEN), n, "a dog") for n in range(3)]
    told = []
    for turn in (1, -1):
        folder = write_run(tmp_path / str(turn), header_of("msvd_qa", [row.id for row in rows]), rows)
        write_judge(folder, "j", rows, {row.id: {"open": '{"pred": "yes", "score": 5}'} for row in rows})
        file = folder / "judge-j.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        named = [{**line, "by": by} for line, by in zip(lines, ("judge-1-b", "judge-1-a", ""), strict=True)]
        file.write_text("".join(json.dumps(line) + "\n" for line in named[::turn]))
        told.append(accounts_of(folder)[0].notes)
    assert told == [("the judge j is judge-1-a, judge-1-b",)] * 2
