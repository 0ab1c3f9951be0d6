"""evals: every benchmark reads its authors' layout, and says which row of it is not as it should be."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Benchmark, Item, good_items, read_items
from longtake.evals.benchmarks import ROOM
from longtake.evals.benchmarks.egoschema import EgoSchema
from longtake.evals.benchmarks.longvideobench import Longvideobench
from longtake.evals.benchmarks.mlvu import Mlvu
from longtake.evals.benchmarks.msvd_qa import MsvdQa
from longtake.evals.benchmarks.next_qa import NextQa
from longtake.evals.benchmarks.vcgbench import Vcgbench
from longtake.evals.benchmarks.video_mme import VideoMme
from longtake.evals.judged import RANGES

SAMPLES = Path(__file__).resolve().parent / "evals"
NAMES = parts.names(ROOM)
FOLDERS = sorted(path for path in SAMPLES.iterdir() if path.is_dir() and path.name != "video_mme.parquet_rows")
SIDE_FILES = ("youtube_mapping.txt", "map_vid_vidorID.json", "subset_answers.json", ".srt", "_en.json", "settings.json")
"""What stands beside annotations; broken below by themselves, that of needles in test_quiz.py."""

FREE = {
    "msvd_qa": {"", "question_type"},
    "msrvtt_qa": {"", "video_id:MSRVTT_QA.csv"},
    "tgif_frameqa": {"", "key", "description", "question_id"},
    "activitynet_qa": {"", "video_id"},
    "next_qa": {"", "frame_count", "width", "height"},
    "intentqa": {"", "frame_count", "width", "height", "action", "lemma", "lemma_id", "video_id:IntentQA.csv"},
    "egoschema": {""},
    "vcgbench": {"", "question_type", "question_id:Generic_QA.csv", "question_id:Temporal_QA.csv"},
    "video_mme": {"url"},
    "mlvu": {"duration"},
    "longvideobench": {
        *("question_wo_referring_query", "position", "level", "duration", "view_count"),
        *("subtitle_path", "starting_timestamp_for_subtitles"),
    },
    "lvbench": {"duration_minutes", "fps", "width", "height", "time_reference"},
    "tempcompass": set(),
    "mvbench": {"start", "end"},
    "worldqa": {"seen_s"},
    "vniah": {
        *("places", "chance", "text", "forced", "generated", "logprob", "tokens", "beyond_trained_context", "error"),
    },
}
FREE["textneedle"] = FREE["vniah"]
"""Fields that may be missing: nothing is made of them, or the authors leave them out too."""


def benchmark(name: str) -> Benchmark:
    return parts.find(ROOM, name.partition(".")[0])()


def copied(folder: Path, tmp_path: Path) -> Path:
    place = tmp_path / folder.name
    shutil.copytree(folder, place)
    return place


def faults(name: str, files: Path) -> tuple[list[Item], list[LongtakeError]]:
    """Good items, and what is wrong with the others; an error that ends the reading counts too."""
    good: list[Item] = []
    bad: list[LongtakeError] = []
    try:
        for found in read_items(benchmark(name), files):
            (bad if isinstance(found, LongtakeError) else good).append(found)  # type: ignore[arg-type]
    except LongtakeError as error:
        bad.append(error)
    return good, bad


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_is_a_documented_frozen_dataclass_with_a_sample(name: str) -> None:
    part = parts.find(ROOM, name)
    assert dataclasses.is_dataclass(part)
    assert part.__dataclass_params__.frozen
    assert parts.summary(part).endswith(").")
    assert [method for method in parts.METHODS[ROOM] if not callable(getattr(part, method))] == []
    assert not inspect.isabstract(part)
    card = part().card
    assert all([card.title, card.files, card.metric, card.source, card.splits])
    assert all(split.count > 0 and split.name for split in card.splits)
    assert all(re.fullmatch(r"([0-9a-f]{64})?", split.digest) for split in card.splits)
    assert all(split.source for split in card.splits if split.digest or split.numbers)
    assert all(len(split.numbers) == split.count for split in card.splits if split.numbers)
    assert (SAMPLES / name).is_dir()
    assert name in FREE


def test_a_benchmark_of_another_package_is_found_and_an_unknown_one_is_told() -> None:
    with pytest.raises(
        LongtakeError, match="error.usage.bad_option.: msvd: is none of the benchmarks .take one of .*msvd_qa"
    ):
        parts.find(ROOM, "msvd")
    assert parts.find(ROOM, "longtake.evals.benchmarks.msvd_qa:MsvdQa") is MsvdQa


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_sample_in_the_authors_layout_is_read(folder: Path) -> None:
    items = good_items(benchmark(folder.name), folder)
    assert len(items) >= 2
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert Path(item.place.file).is_relative_to(folder)
        assert item.question.strip() == item.question != ""
        assert item.video.names
        assert all(item.video.names)
        if item.options:
            assert len(item.options) >= 2
            assert (item.right is None) == folder.name.endswith(".test")
            assert item.aspects == ()
        else:
            assert item.reference
            assert item.aspects
            assert set(item.aspects) <= set(RANGES)
        assert benchmark(folder.name).asking(item) is None or item.question in str(
            benchmark(folder.name).asking(item).text(item)  # type: ignore[union-attr]
        )


def test_ig_vlms_copy_and_the_authors_file_give_the_same_items() -> None:
    same = {"egoschema", "next_qa", "intentqa", "activitynet_qa", "vcgbench"}
    for name in same:
        official, copy = (good_items(benchmark(name), SAMPLES / folder) for folder in (name, f"{name}.ig_vlm"))
        told = [
            [(one.id, one.question, one.options, one.right, one.reference, one.categories, one.twin) for one in items]
            for items in (official, copy)
        ]
        assert told[0] == told[1], name


def values(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values in JSON that are no objects and no lists of objects."""
    nested = found if isinstance(found, dict) else dict(enumerate(found)) if isinstance(found, list) else {}
    if not nested or (isinstance(found, list) and not isinstance(found[0], dict)):
        yield path
        return
    for key, value in nested.items():
        yield from values(value, (*path, key))


def broken_json(text: str) -> Iterator[tuple[str, str]]:
    """Each field, and the text with null in its place, once for each record."""
    lines = None if text[0] == "[" or text.count("\n{") == 0 else [json.loads(line) for line in text.splitlines()]
    whole = json.loads(text) if lines is None else lines
    for path in values(whole):
        spoiled = json.loads(json.dumps(whole))
        inner = spoiled
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = None
        written = json.dumps(spoiled, indent=1) if lines is None else "".join(json.dumps(one) + "\n" for one in spoiled)
        yield str(path[-1]), written


def broken_csv(text: str) -> Iterator[tuple[str, str, int]]:
    """Each field, the text with nothing in its place, and the line, once for each record."""
    separator = "\t" if "\t" in text else ","
    header, *rows = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    for number, row in enumerate(rows):
        for place, name in enumerate(header):
            spoiled = [*rows[:number], [*row[:place], "", *row[place + 1 :]], *rows[number + 1 :]]
            lines = [
                separator.join(f'"{one}"' if separator == "," else one for one in fields)
                for fields in [header, *spoiled]
            ]
            yield name, "\n".join(lines) + "\n", number + 2


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_row_broken_in_any_field_is_named_and_the_others_are_read(folder: Path, tmp_path: Path) -> None:
    name = folder.name.partition(".")[0]
    place = copied(folder, tmp_path)
    whole, none = faults(name, place)
    assert none == []
    checked = 0
    for source in sorted(folder.rglob("*.*")):
        if source.is_dir() or source.name.endswith(SIDE_FILES):
            continue
        spoiled, is_table = place / source.relative_to(folder), source.suffix == ".csv"
        found = (
            broken_csv(source.read_text()) if is_table else ((*one, None) for one in broken_json(source.read_text()))
        )
        for field, text, line in found:
            if field in FREE[name] or f"{field}:{source.name}" in FREE[name]:
                continue
            spoiled.write_text(text)
            good, bad = faults(name, place)
            assert bad, f"{source.name}: {field}"
            assert all(error.code is ErrorCode.DATA_BAD for error in bad)
            assert any(error.subject.startswith(f"{spoiled}:{line or ''}") for error in bad), (field, bad)
            assert good, f"{source.name}: {field}: the other rows are lost"
            assert {item.id for item in good} <= {item.id for item in whole}, field
            checked += 1
        shutil.copy(source, spoiled)
    assert checked >= 8


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_fields_that_may_be_missing_are_missed_by_nobody(folder: Path, tmp_path: Path) -> None:
    """FREE cannot hide a field: without one that it names, the same questions are read."""
    name = folder.name.partition(".")[0]
    place = copied(folder, tmp_path)
    whole, _ = faults(name, place)
    for source in sorted(folder.rglob("*.*")):
        if source.is_dir() or source.name.endswith(SIDE_FILES):
            continue
        spoiled, is_table = place / source.relative_to(folder), source.suffix == ".csv"
        found = (
            broken_csv(source.read_text()) if is_table else ((*one, None) for one in broken_json(source.read_text()))
        )
        for field, text, _ in found:
            if field in FREE[name] or f"{field}:{source.name}" in FREE[name]:
                spoiled.write_text(text)
                good, bad = faults(name, place)
                assert bad == [], field
                assert [(item.id, item.right) for item in good] == [(item.id, item.right) for item in whole], field
        shutil.copy(source, spoiled)


def test_two_questions_of_one_id_are_refused_by_both_places(tmp_path: Path) -> None:
    place = copied(SAMPLES / "msvd_qa.ig_vlm", tmp_path) / "MSVD_QA.csv"
    lines = place.read_text().splitlines(keepends=True)
    place.write_text("".join([*lines, lines[1]]))
    good, bad = faults("msvd_qa", place)
    assert [item.id for item in good] == ["30933", "30934"]
    assert str(bad[0]).startswith(f"error[data.bad]: {place}:4: the question 30933 stands at {place}:2 too")


def test_a_table_in_other_line_ends_with_a_mark_and_long_fields_is_read_by_line(tmp_path: Path) -> None:
    source = (SAMPLES / "msvd_qa.ig_vlm" / "MSVD_QA.csv").read_text().splitlines()
    header, first, second = source
    long = first.replace('"what, at last, does a baker do?"', '"what, at last,\ndoes a ""baker"" do?"')
    cut = ",".join(second.split(",")[:3])
    path = tmp_path / "MSVD_QA.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([header, long, cut, second, ""]).encode())
    good, bad = faults("msvd_qa", path)
    assert [(item.id, item.place.line) for item in good] == [("30933", 2), ("30934", 5)]
    assert good[0].question == 'what, at last,\ndoes a "baker" do?'
    assert [str(error).partition(" (")[0] for error in bad] == [
        f"error[data.bad]: {path}:4: has 3 fields; the header has 7"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n", "has no column 'video_id' and no"),
        ("", "its columns are none"),
        ('"video_id\n', "cannot be read as a table: unexpected end of data"),
    ],
)
def test_a_table_of_another_kind_is_refused(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(LongtakeError) as caught:
        list(MsvdQa().read(path))
    assert caught.value.code is ErrorCode.DATA_BAD
    assert line in str(caught.value)


def test_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"video_id,answer,question,video_name,question_id,question_type\n1,caf\xe9,q,v,1_2,0\n")
    with pytest.raises(LongtakeError, match=r"x\.csv:\d+: cannot be read as a table"):
        list(MsvdQa().read(path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[\n{"a": 1},\n{"a": }]', "x.json:3: is not JSON: Expecting value"),
        ('[\n{"a": 1}\n{"a": 2}]', "x.json:3: is not JSON: no ','"),
        ('[{"a": 1},\n]', "x.json:2: is not JSON: nothing after the comma"),
        ('[{"a": 1}', "x.json:1: is not JSON: no ','"),
        ('{"a": 1}', "x.json: holds an object where a list should be"),
        ("", "x.json:1: is not JSON: neither a list nor an object"),
        ("[" * 100_000, "x.json: is nested too deeply"),
    ],
)
def test_a_file_that_is_no_list_in_json_is_refused_by_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(LongtakeError) as caught:
        list(MsvdQa().read(path))
    assert told in str(caught.value)


def test_an_entry_of_json_is_named_by_the_line_it_begins_on(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('\n[{"id": 1, "video_id": 1,\n"question": "q", "answer": "a"}, 7,\n\n  {"id": 2}]\n')
    good, bad = faults("msvd_qa", path)
    assert str(good[0].place) == f"{path}:2 (entry 1)"
    assert [error.subject for error in bad] == [f"{path}:3 (entry 2)", f"{path}:5 (entry 3)"]
    assert bad[0].reason == "is no object but int"


def test_a_line_of_json_lines_that_is_none_is_named(tmp_path: Path) -> None:
    place = copied(SAMPLES / "lvbench", tmp_path) / "video_info.meta.jsonl"
    first, second = place.read_text().splitlines()
    place.write_text(f"{first}\n{{cut\n\n{second.replace('2028', '')}\n")
    good, bad = faults("lvbench", place)
    assert [item.id for item in good] == ["55", "56", "57"]
    assert [error.subject for error in bad] == [f"{place}:2"]
    assert good[2].place.line == 4


def test_what_is_not_there_is_told_with_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        LongtakeError, match="holds none of train_qa.json, val_qa.json, test_qa.json, MSVD_QA.csv"
    ) as caught:
        list(MsvdQa().read(tmp_path))
    assert caught.value.code is ErrorCode.MEDIA_NOT_FOUND
    with pytest.raises(LongtakeError, match="there is no such file"):
        list(MsvdQa().read(tmp_path / "val_qa.json"))
    for name in ("val_qa.json", "test_qa.json"):
        shutil.copy(SAMPLES / "msvd_qa" / "test_qa.json", tmp_path / name)
    with pytest.raises(LongtakeError, match="holds val_qa.json and test_qa.json .name the one to read"):
        list(MsvdQa().read(tmp_path))
    (tmp_path / "3.json").write_text("[]")
    with pytest.raises(LongtakeError, match="has a name that is not known here .keep its name"):
        list(Mlvu().read(tmp_path / "3.json"))


def test_videos_have_the_names_that_folders_have_them_under() -> None:
    assert good_items(MsvdQa(), SAMPLES / "msvd_qa")[0].video.names == ("AbCdEfGhIjK_10_20", "vid1451")
    assert good_items(NextQa(), SAMPLES / "next_qa")[0].video.names == ("9000000001", "1164/9000000001")
    assert good_items(Mlvu(), SAMPLES / "mlvu")[0].video.names == ("1_plotQA/1.mp4", "plotQA/1.mp4", "1.mp4")
    assert good_items(VideoMme(), SAMPLES / "video_mme")[0].video.youtube == "AbCdEfGhIjK"


def test_egoschema_without_public_answers_is_not_an_empty_benchmark(tmp_path: Path) -> None:
    place = copied(SAMPLES / "egoschema", tmp_path)
    first, last = json.loads((place / "questions.json").read_text())
    private = {**first, "q_uid": "00000000-0000-4000-8000-000000000002"}
    (place / "questions.json").write_text(json.dumps([first, private, last], indent=1))
    assert [item.right for item in good_items(EgoSchema(), place)] == [1, 4]
    assert [item.right for item in good_items(EgoSchema(subset=False), place)] == [1, None, 4]
    (place / "subset_answers.json").write_text('{"00000000-0000-4000-8000-000000000001": 7}')
    good, bad = faults("egoschema", place)
    assert (good, bad[0].subject) == ([], f"{place / 'questions.json'}:2 (entry 1)")
    (place / "subset_answers.json").write_text('{"00000000-0000-4000-8000-000000000001": 1, "none": 0}')
    good, bad = faults("egoschema", place)
    assert (len(good), bad[0].reason) == (1, "answers none, which no question has")
    (place / "subset_answers.json").write_text("[]")
    with pytest.raises(LongtakeError, match=r"subset_answers\.json: is no object of whole numbers"):
        list(EgoSchema().read(place))
    (place / "subset_answers.json").unlink()
    with pytest.raises(LongtakeError, match="subset_answers.json: is not there"):
        list(EgoSchema().read(place))
    assert [item.right for item in good_items(EgoSchema(subset=False), place)] == [None, None, None]


def test_pairs_without_twins_are_refused(tmp_path: Path) -> None:
    place = copied(SAMPLES / "vcgbench.ig_vlm", tmp_path)
    twins = place / "Consistency_QA2.csv"
    twins.write_text(twins.read_text().replace("v_lMnOpQrStUv_0", "v_lMnOpQrStUv_9"))
    good, bad = faults("vcgbench", place / "Consistency_QA1.csv")
    assert [item.twin for item in good] == ["Which person is rowing the boat?"]
    assert [error.subject for error in bad] == [f"{place / 'Consistency_QA1.csv'}:3", f"{twins}:3"]


def test_video_mme_reads_the_parquet_file_and_the_websites_json_alike(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = json.loads((SAMPLES / "video_mme.parquet_rows" / "rows.json").read_text())
    path = tmp_path / "videomme" / "test-00000-of-00001.parquet"
    path.parent.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    table, website = good_items(VideoMme(), tmp_path), good_items(VideoMme(), SAMPLES / "video_mme")
    alike = [dataclasses.replace(item, place=website[0].place) for item in table]
    assert alike == [dataclasses.replace(item, place=website[0].place) for item in website if item.id != "001-2"]
    assert table[0].options == ("Two.", "Three.", "Seven.", "None.")
    assert (table[0].right, str(table[0].place)) == (2, f"{path} (entry 1)")
    parquet.write_table(pyarrow.Table.from_pylist([rows[0], {**rows[1], "answer": "E"}]), path)
    good, bad = faults("video_mme", path)
    assert (len(good), bad[0].subject) == (1, f"{path} (entry 2)")
    parquet.write_table(pyarrow.Table.from_pylist([{"a": 1}]), path)
    with pytest.raises(LongtakeError, match="has no column 'video_id'"):
        list(VideoMme().read(path))
    path.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(LongtakeError, match="cannot be read as parquet"):
        list(VideoMme().read(path))


def test_longvideobench_is_read_from_its_table_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = json.loads((SAMPLES / "longvideobench" / "lvb_val.json").read_text())
    wide = [
        {
            **{key: value for key, value in row.items() if key not in ("candidates", "position")},
            **{f"option{place}": ([*row["candidates"], "N/A"])[place] for place in range(5)},
        }
        for row in rows
    ]
    path = tmp_path / "validation-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(wide), path)
    table, listed = good_items(Longvideobench(), tmp_path), good_items(Longvideobench(), SAMPLES / "longvideobench")
    assert [dataclasses.replace(item, place=listed[0].place) for item in table] == [
        dataclasses.replace(item, place=listed[0].place) for item in listed
    ]
    assert [len(item.options) for item in table] == [5, 4]
    assert [item.length_class for item in table] == ["8-15 s", "900-3600 s"]


def test_options_of_a_benchmark_are_its_fields() -> None:
    made = parts.build(ROOM, "video_mme", {"subtitles": "true"}, label="benchmark")
    item = good_items(made, SAMPLES / "video_mme")[0]
    assert item.subtitles == "subtitle/AbCdEfGhIjK.srt"
    assert good_items(VideoMme(), SAMPLES / "video_mme")[0].subtitles == ""
    assert good_items(Longvideobench(subtitles=True), SAMPLES / "longvideobench")[0].subtitles_from_s == 3.5
    assert good_items(Vcgbench(), SAMPLES / "vcgbench")[-1].twin == "Can you tell what is flying?"
