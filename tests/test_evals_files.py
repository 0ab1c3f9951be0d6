"""evals: the files that the papers were measured on, whole: counts, splits, and what is odd about them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from longtake import parts
from longtake.evals import Benchmark, Card, Split, good_items
from longtake.evals.benchmarks import ROOM
from longtake.evals.benchmarks.activitynet_qa import ActivitynetQa
from longtake.evals.benchmarks.egoschema import EgoSchema
from longtake.evals.benchmarks.intentqa import IntentQA
from longtake.evals.benchmarks.msvd_qa import MsvdQa
from longtake.evals.benchmarks.next_qa import NextQa
from longtake.evals.benchmarks.tgif_frameqa import TgifFrameqa
from longtake.evals.benchmarks.vcgbench import Vcgbench
from longtake.evals.letters import is_right, read_option
from longtake.evals.splits import digest, split_of

# The counts are the sources' own (docs/evals.md), not those of the files here.
FILES = [
    ("msvd_qa", "MSVD_QA.csv", 6_415, "val"),
    ("msrvtt_qa", "MSRVTT_QA.csv", 12_278, "val"),
    ("tgif_frameqa", "TGIF_FrameQA.csv", 13_691, "test"),
    ("activitynet_qa", "ActivityNet_QA.csv", 8_000, "test"),
    ("next_qa", "NExT_QA.csv", 4_996, "val"),
    ("egoschema", "EgoSchema.csv", 500, "subset"),
    ("intentqa", "IntentQA.csv", 2_044, "val"),
    ("vcgbench", "Generic_QA.csv", 1_996, "generic"),
    ("vcgbench", "Temporal_QA.csv", 499, "temporal"),
    ("vcgbench", "Consistency_QA1.csv", 499, "consistency"),
]


@pytest.mark.parametrize(("name", "file", "count", "split"), FILES, ids=lambda value: str(value))
def test_every_row_is_read_and_the_split_is_told(name: str, file: str, count: int, split: str, shared: Path) -> None:
    benchmark = parts.find(ROOM, name)()
    items = good_items(benchmark, shared / "qa" / file)
    assert len(items) == count
    told = split_of(benchmark.card, [item.id for item in items])
    assert (told.name, told.whole) == (split, True)
    # Two roads to one count: the csv module's own, whatever a field holds.
    with (shared / "qa" / file).open(newline="", encoding="utf-8-sig") as table:
        assert sum(1 for _ in csv.DictReader(table)) == count


def test_no_file_is_left_out(shared: Path) -> None:
    read = {file for _, file, _, _ in FILES} | {"Consistency_QA2.csv"}
    assert {path.name for path in (shared / "qa").iterdir()} == read
    assert len(good_items(Vcgbench(), shared / "qa")) == 1_996 + 499 + 499


def test_answers_of_multiple_choice_are_where_they_say(shared: Path) -> None:
    items = good_items(NextQa(), shared / "qa" / "NExT_QA.csv")
    assert [sum(item.right == place for item in items) for place in range(5)] == [1013, 1013, 991, 967, 1012]
    twice = [item for item in items if len(set(item.options)) < 5]
    twice += [item for item in good_items(EgoSchema(), shared / "qa" / "EgoSchema.csv") if len(set(item.options)) < 5]
    twice += [item for item in good_items(IntentQA(), shared / "qa" / "IntentQA.csv") if len(set(item.options)) < 5]
    # It is always a wrong option that stands there twice.
    assert len(twice) == 5
    assert all(item.right is not None and item.options.count(item.options[item.right]) == 1 for item in twice)


FORMS = (
    "{letter}",
    "({letter}) {words}",
    "{letter}. {words}",
    "{words}",
    "The answer is ({letter}).",
    "It is {words}.",
)


@pytest.mark.parametrize(
    ("benchmark", "file"), [(NextQa(), "NExT_QA.csv"), (EgoSchema(), "EgoSchema.csv"), (IntentQA(), "IntentQA.csv")]
)
def test_the_right_option_of_every_real_question_is_read_however_it_is_said(
    benchmark: Benchmark, file: str, shared: Path
) -> None:
    for item in good_items(benchmark, shared / "qa" / file):
        assert item.right is not None
        for form in FORMS:
            said = form.format(letter=item.called[item.right], words=item.options[item.right])
            assert is_right(item, read_option(said, item.options)), (item.id, said)


def test_what_is_odd_in_ig_vlms_files_is_read_as_it_stands(shared: Path) -> None:
    """Three of its questions have a row number in them, of a table that was joined over a line end."""
    items = good_items(ActivitynetQa(), shared / "qa" / "ActivityNet_QA.csv")
    odd = [item for item in items if item.question[:1].isdigit()]
    assert [item.question for item in odd] == [
        "5220,what are the benefits of skateboarding",
        "5222,what are the benefits of the tug of war",
        "5244,what are the benefits of playing volleyball",
    ]
    tgif = good_items(TgifFrameqa(), shared / "qa" / "TGIF_FrameQA.csv")
    assert len({item.id for item in tgif}) == 13_691
    assert len({item.video.key for item in tgif}) == 7_132


def test_part_of_a_split_is_told_where_ids_run_on(shared: Path) -> None:
    items = good_items(MsvdQa(), shared / "qa" / "MSVD_QA.csv")
    told = split_of(MsvdQa().card, [item.id for item in items[:100]])
    assert (told.name, told.whole) == ("val", False)
    assert split_of(MsvdQa().card, ["30932", "30933"]).name == "unknown"
    assert split_of(MsvdQa().card, ["30932"]).name == "train"
    assert split_of(MsvdQa().card, ["37348"]).name == "test"
    assert split_of(MsvdQa().card, ["no number"]).name == "unknown"
    assert split_of(MsvdQa().card, []).name == "unknown"


def test_a_split_is_known_by_ids_before_counts() -> None:
    marks = digest(["b", "a"])
    assert marks == digest(["a", "b"]) != digest(["a", "c"])
    card = Card("t", "f", (Split("val", 2, digest=marks, source="s"), Split("test", 2)), "m", "s")
    assert split_of(card, ["a", "b"]).name == "val"
    counted = split_of(card, ["a", "c"])
    assert (counted.name, counted.why) == ("test", "it has as many questions as test; the ids could not be compared")
    assert split_of(card, ["a"]).name == "unknown"
    # Of two equal counts neither is told from the other.
    blind = Card("t", "f", (Split("one", 2), Split("two", 2)), "m", "s")
    assert split_of(blind, ["a", "c"]).name == "unknown"


def test_the_page_tells_every_benchmark_with_its_counts() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "evals.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert list(rows) == sorted(rows, key=list(rows).index)
    assert set(rows) == set(parts.names(ROOM))
    for name, row in rows.items():
        card = parts.find(ROOM, name)().card
        assert all(f"{split.count:,}" in row for split in card.splits), name
        assert card.source.split(";")[0] in row or "the same" in row, name


def test_the_pages_example_runs(shared: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "evals.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    found: dict[str, object] = {}
    exec(code.replace("nextqa/val.csv", str(shared / "qa" / "NExT_QA.csv")), found)
    assert len(found["marks"]) == 4_996  # type: ignore[arg-type]
