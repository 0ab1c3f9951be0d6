"""evals: answers and replies marked as the released scripts mark them, odd cases included; and how far that is off."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from longtake import parts
from longtake.evals import Item, Place, VideoName, good_items
from longtake.evals.benchmarks import ROOM
from longtake.evals.judged import OPEN, verdict
from longtake.evals.released import (
    differing,
    released_choices,
    released_judging,
    released_option,
    released_reply,
)


def recorded(golden: Path, name: str) -> Any:
    return json.loads((golden / "h_eval" / name).read_text())


def test_every_answer_is_taken_for_the_recorded_option(golden: Path) -> None:
    rows = recorded(golden, "mc_table.json")
    assert len(rows) == 41
    for row in rows:
        if "error" in row:
            with pytest.raises(IndexError):
                released_option(row["pred"])
            assert row["error"] == "IndexError"
            continue
        said = released_option(row["pred"])
        assert said == row["option"], row
        assert {letter: said == letter.lower() for letter in row["check"]} == row["check"], row


def test_every_run_of_multiple_choice_prints_the_recorded_numbers(golden: Path) -> None:
    rows = recorded(golden, "mc_files.json")
    assert len(rows) == 4
    for row in rows:
        run = released_choices([(one["task_name"], one["answer_number"], one["pred"]) for one in row["samples"]])
        told = {name: {"yes": task.yes, "no": task.no, "accuracy": task.accuracy} for name, task in run.tasks.items()}
        assert told == row["tasks"]
        assert run.average_accuracy == (row["average_accuracy"] and pytest.approx(row["average_accuracy"], rel=1e-12))
        assert run.error == (row["error"] or "")


def test_every_reply_of_a_judge_is_stored_and_counted_as_recorded(golden: Path) -> None:
    rows = recorded(golden, "judge_table.json")
    assert len(rows) == 31
    for row in rows:
        for script in ("video_qa", "generative_qa"):
            if script in row:
                hold_reply(row, script)


def hold_reply(row: dict[str, Any], script: str) -> None:
    told, stored = row[script], released_reply(row["reply"])
    assert stored.written == told["file_written"], row
    if "file_text" in told:
        assert stored.text == told["file_text"]
    elif "stored" in told:
        assert stored.value == told["stored"], row
    alone = row.get("alone", False)
    # Where the script dies of a reply, what it was asked beside is not recorded: nothing is printed.
    beside = {"reference": row.get("reference_replies", {}).get(script, "{'pred': 'no', 'score': 2}")}
    replies = {"asked": row["reply"], **({} if alone else beside)}
    run = released_judging(replies, yes_or_no=script == "video_qa")
    assert run.stats == told["stats" if alone else "stats_with_one_reference_reply"], row
    assert run.error == (told["error"] or ""), row


def test_every_whole_run_of_a_judge_prints_the_recorded_numbers(golden: Path) -> None:
    runs = recorded(golden, "judge_files.json")
    assert len(runs) == 4
    for name, run in runs.items():
        same = name == "duplicate_ids"
        replies = {"one" if same else str(number): reply for number, reply in enumerate(run["replies"])}
        found = released_judging(replies, yes_or_no=name in ("video_qa", "duplicate_ids"))
        assert found.stats == pytest.approx(run["stats"], rel=1e-12), name
        assert sum(released_reply(reply).written for reply in replies.values()) == run["n_files"]


CASES = {
    "activitynet": ("activitynet_qa", "ActivityNet_QA.csv"),
    "msvd": ("msvd_qa", "MSVD_QA.csv"),
    "egoschema": ("egoschema", "EgoSchema.csv"),
    "nextqa": ("next_qa", "NExT_QA.csv"),
    "intentqa": ("intentqa", "IntentQA.csv"),
    "vcgbench": ("vcgbench", "Generic_QA.csv"),
}


def test_ig_vlms_rows_become_what_the_released_scripts_make_of_them(golden: Path, tmp_path: Path) -> None:
    rows = recorded(golden, "qa_file_prep.json")
    assert len(rows) == len(CASES)
    for row in rows:
        kind = row["script"].removeprefix("prepare_").removesuffix("_qa_file.py")
        name, file = CASES[kind]
        tables = row["rows"] if isinstance(row["rows"], dict) else {file.removesuffix(".csv"): row["rows"]}
        folder = tmp_path / name
        folder.mkdir()
        for stem, lines in tables.items():
            with (folder / f"{stem}.csv").open("w", newline="") as table:
                csv.writer(table).writerows([row["header"], *lines])
        items = good_items(parts.find(ROOM, name)(), folder)
        assert told_by(items) == expected(row["outputs"]), kind


def told_by(items: list[Item]) -> list[tuple[object, ...]]:
    """Of each item what the released files have too: video, question, twin, answer, options."""
    return sorted(
        (
            Path(item.video.names[0]).stem.removeprefix("v_"),
            item.question,
            item.twin,
            item.options[item.right] if item.right is not None else item.reference,
            item.options,
            item.right,
        )
        for item in items
    )


def expected(outputs: dict[str, Any]) -> list[tuple[object, ...]]:
    answers = {
        one["question_id"]: one["answer"] for path, rows in outputs.items() if path.endswith("_a.json") for one in rows
    }
    found = []
    for path, rows in outputs.items():
        for one in rows if not path.endswith("_a.json") else []:
            asked = one["question"] if isinstance(one["question"], list) else [one["question"], ""]
            answer = one.get("answer", answers.get(one["question_id"]))
            options = tuple(one.get("candidates", ()))
            video = Path(one["video_name"]).stem.removeprefix("v_")
            found.append((video, *asked, answer, options, one.get("answer_number")))
    return sorted(found)


def item(number: int, right: int) -> Item:
    options = ("red", "green", "blue", "white")
    return Item(str(number), VideoName(("v",)), "q", Place("f", number), options=options, right=right)


def test_how_many_items_the_two_rules_mark_otherwise_is_told() -> None:
    said = ["B", "Because it is late", "", "(c)", "green", "none"]
    items = [item(number, 1) for number in range(len(said))]
    found = differing([*items, item(99, 1)], {str(number): answer for number, answer in enumerate(said)})
    # B: both right. Because: theirs alone. "": theirs dies. (c): both wrong. green: ours alone. none: both wrong.
    # Unreadable are Because, "" and none; (c) is read, and wrong.
    assert (found.asked, found.right, found.released_right) == (6, 2, 2)
    assert found.ids == ("1", "4")
    assert found.dying == ("2",)
    assert found.unreadable == 3


def test_the_strict_rule_takes_no_reply_for_a_score_that_is_none(golden: Path) -> None:
    """Of the recorded replies, those that say just what was asked for."""
    replies = [row["reply"] for row in recorded(golden, "judge_table.json") if row["reply"] is not None]
    good = {reply for reply in replies if not verdict(reply, OPEN).why}
    assert good == {
        "{'pred': 'yes', 'score': 4}",
        "{'pred': 'no', 'score': 2}",
        '{"pred": "no", "score": 0}',
        "```python\n{'pred': 'yes', 'score': 4}\n```",
        "{'pred': 'yes', 'score': 5} ",
        "  {'pred': 'yes', 'score': 5}",
    }
    assert verdict("{'pred': 'yes', 'score': 4}", OPEN).scores == {"match": 1.0, "score": 4.0}
    assert all(verdict(reply, OPEN).scores == {} for reply in set(replies) - good)


@pytest.mark.parametrize(
    ("reply", "aspects", "told"),
    [
        ("{'score': 3}", ("consistency",), {"consistency": 3.0}),
        ("{'consistency': 3}", ("consistency",), {"consistency": 3.0}),
        ("{'score': 4.8}", ("consistency",), "score is 4.8, which is not whole"),
        ("{'score': 11}", ("consistency",), "score is 11; want a number from 0 to 5"),
        ("{'score': True}", ("consistency",), "score is True; want a number from 0 to 5"),
        ('{"score": NaN}', ("consistency",), "score is nan; want a number from 0 to 5"),
        ('{"accuracy": 3.5, "relevance": 5}', ("accuracy", "relevance"), {"accuracy": 3.5, "relevance": 5.0}),
        ('{"accuracy": 3.5, "relevance": 0}', ("accuracy", "relevance"), "relevance is 0; want a number from 1 to 5"),
        ('{"accuracy": 3.5}', ("accuracy", "relevance"), "relevance is None; want a number from 1 to 5"),
        ("I cannot help with that.", ("consistency",), "the reply is not one object"),
        ("", ("consistency",), "the reply is not one object"),
        ("[3]", ("consistency",), "the reply is not one object"),
        ("{'score': 3} because it fits", ("consistency",), "the reply is not one object"),
        ("{'score': 3, 'why': 'it fits'}", ("consistency",), "the reply has 'why' too, which was not asked for"),
        ('{"consistency": 3, "score": 5}', ("consistency",), "the reply has 'score' too, which was not asked for"),
        ('{"score": 3, "pred": "yes"}', ("match",), "the reply has 'score' too, which was not asked for"),
        ('{"score": 3, "score": 5}', ("consistency",), "the reply has 'score' more than once"),
        ("{'score': 3, 'score': 3}", ("consistency",), "the reply has 'score' more than once"),
        ("```json\n{'score': 3, 'score': 5}\n```", ("consistency",), "the reply has 'score' more than once"),
    ],
)
def test_a_verdict_is_what_was_asked_for_or_says_why_not(reply: str, aspects: tuple[str, ...], told: object) -> None:
    found = verdict(reply, aspects)
    assert (found.why or found.scores) == told
