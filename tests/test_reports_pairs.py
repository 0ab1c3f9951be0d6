"""longtake eval compare: two runs question by question; and other questions are no comparison."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from longtake.evals.judged import OPEN
from reported import answered, choice, header_of, spoken, write_judge, write_run
from running import ONE_LINE, Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def made(folder: Path, said: str, *, start: int = 0, right: int = 1) -> Path:
    """A run that says one letter to each question from q{start} on; the right one is B; `-` failed."""
    items = [choice(f"q{start + n}", right=right, video=f"v{n // 2}") for n in range(len(said))]
    rows = [
        answered(item, n, None if one == "-" else one) for n, (item, one) in enumerate(zip(items, said, strict=True))
    ]
    return write_run(folder, header_of("intentqa", [item.id for item in items]), rows)


def test_counts_of_a_comparison_are_those_of_its_questions(cli: Cli, tmp_path: Path) -> None:
    first, second = made(tmp_path / "a", "BBBBAAAAAA"), made(tmp_path / "b", "BAAABBBBBB")
    told = cli.json("eval", "compare", first, second)
    (one,) = told["aspects"]
    assert (one["both_right"], one["only_first_better"], one["only_second_better"], one["neither_right"]) == (
        1,
        3,
        6,
        0,
    )
    assert (one["first"], one["second"], one["difference"]) == (0.4, 0.7, pytest.approx(0.3))
    assert one["low"] < one["difference"] < one["high"]
    # Exact McNemar: 3 of 9 or fewer, either way, of fair coins: 2 (1 + 9 + 36 + 84) / 512.
    assert one["mcnemar_p"] == pytest.approx(260 / 512)
    status, out, err = cli("eval", "compare", first, second)
    assert (status, err) == (0, "")
    assert "both 1, only A 3, only B 6, neither 0" in out
    assert "+30.0" in out
    assert "p = 0.508" in out


def test_runs_over_other_questions_are_refused_unless_their_common_ones_are_wanted(cli: Cli, tmp_path: Path) -> None:
    first, second = made(tmp_path / "a", "BBBB"), made(tmp_path / "b", "BABA", start=2)
    status, out, err = cli("eval", "compare", first, second)
    assert (status, out) == (2, "")
    assert ONE_LINE.fullmatch(err) and "--common" in err
    told = cli.json("eval", "compare", first, second, "--common")
    assert (told["questions"], told["left_out"]) == (2, 4)
    assert (told["aspects"][0]["first"], told["aspects"][0]["second"]) == (1.0, 0.5)


def test_questions_of_one_id_with_other_answers_are_not_the_same(cli: Cli, tmp_path: Path) -> None:
    first, second = made(tmp_path / "a", "BB"), made(tmp_path / "b", "BB", right=0)
    status, _, err = cli("eval", "compare", first, second)
    assert status == 2
    assert "q0" in err


def test_what_failed_in_one_run_is_compared_nowhere_and_told(cli: Cli, tmp_path: Path) -> None:
    first, second = made(tmp_path / "a", "BBA"), made(tmp_path / "b", "B-B")
    status, out, _ = cli("eval", "compare", first, second, "--json")
    told = json.loads(out)
    assert status == 8
    assert told["lacking"] == [f"{second}: 1 failed"]
    assert (told["aspects"][0]["pairs"], told["aspects"][0]["scored_only_in_first"]) == (2, 1)


def test_runs_of_two_benchmarks_are_refused(cli: Cli, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", header_of("next_qa", ["q0"]), [answered(choice("q0"), 0, "B")])
    assert cli("eval", "compare", made(tmp_path / "a", "B"), other)[0] == 2


def test_judged_runs_are_compared_by_each_aspect_and_by_one_judge(cli: Cli, tmp_path: Path) -> None:
    items = [spoken(f"q{n}", OPEN) for n in range(3)]
    folders = []
    for name, scores in (("a", (5, 4, 0)), ("b", (5, 1, 3))):
        rows = [answered(item, n, f"{name} dog") for n, item in enumerate(items)]
        folder = write_run(tmp_path / name, header_of("msvd_qa", [item.id for item in items]), rows)
        for judge in ("one", "two"):
            replies = [f'{{"pred": "{"yes" if score > 2 else "no"}", "score": {score}}}' for score in scores]
            write_judge(folder, judge, rows, {row.id: {"open": said} for row, said in zip(rows, replies, strict=True)})
        folders.append(folder)
    status, _, err = cli("eval", "compare", *folders)
    assert (status, "one, two" in err) == (2, True)
    told = cli.json("eval", "compare", *folders, "--judge", "two")
    match, score = told["aspects"]
    assert (told["judge"], match["aspect"], score["aspect"]) == ("two", "match", "score")
    assert (match["both_right"], match["only_first_better"], match["only_second_better"]) == (1, 1, 1)
    assert (score["first"], score["second"], score["mcnemar_p"]) == (3.0, 3.0, None)


def test_runs_of_other_scorings_say_so_and_what_both_have_is_taken(cli: Cli, tmp_path: Path) -> None:
    item = choice("q1", right=0, options=2)
    row = answered(item, 0, "A", shares=(0.4, 0.6))
    ways = {"letter": ("letter",), "likelihood": ("likelihood",), "both": ("letter", "likelihood")}
    for name, way in ways.items():
        own = answered(item, 0, "A") if name == "letter" else row
        own = dataclasses.replace(own, answer=None, read=None) if name == "likelihood" else own
        write_run(tmp_path / name, header_of("intentqa", ["q1"], scoring=way), [own])
    status, out, err = cli("eval", "compare", tmp_path / "letter", tmp_path / "likelihood")
    assert (status, out) == (2, "")
    assert ONE_LINE.fullmatch(err)
    assert f"not both were scored by letter: {tmp_path / 'likelihood'} by likelihood" in err
    assert "--scoring both" in err and "judge them" not in err
    for name in ("letter", "likelihood"):
        assert cli.json("eval", "compare", tmp_path / "both", tmp_path / name)["scoring"] == name
