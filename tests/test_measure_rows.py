"""A run's folder: headers and rows there and back, what is torn, what is of another run, shards merged."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, Place, VideoName
from longtake.measure import KEPT_BACK, NOT_JUDGED, Header, Row
from longtake.measure.rows import begin, line_of, read_run, row_of, rows_file, without

HEADER = Header(
    longtake="0.1",
    benchmark="next_qa",
    benchmark_options={},
    split="val, 4 of 4,996",
    items=4,
    digest="d" * 64,
    model={"name": "nano", "sha256": "a" * 64},
    parts={"sampler": {"name": "uniform", "options": {"frames": 8}}, "layout": {"name": "grid", "options": {}}},
    prompt="published",
    example="What is shown?",
    scoring=("letter", "likelihood"),
    frames=8,
    drawing={"seed": 3},
)
ITEM = Item("7_1", VideoName(("7",)), "Why?", Place("val.csv", 2), ("a dog", "A Dog.", "a cat"), right=0)


def row(number: int, **came: object) -> Row:
    return Row.of(replace(ITEM, id=f"7_{number}"), number, **came)


def folder(tmp_path: Path, rows: list[Row], header: Header = HEADER) -> Path:
    taken = begin(tmp_path / "out", header)
    with taken.appending() as file:
        for one in rows:
            file.add(one)
    return taken.path


def test_header_and_rows_come_back(tmp_path: Path) -> None:
    rows = [
        row(0, answer="B", read=1, shares=(0.25, 0.5, 0.25), right=True, file="a/7.mp4", seconds={"generate": 0.5}),
        row(1, error="media.corrupt: frames 3 to 5 cannot be decoded"),
        replace(row(2), options=(), right_option=None, reference="ä dog", aspects=("match",), facets=(("kind", "x"),)),
    ]
    run = read_run(folder(tmp_path, rows))
    assert run.header == HEADER and run.header.seed == 3
    assert list(run.rows) == rows
    assert run.missing == 1 and [one.id for one in run.failed] == ["7_1"] and run.dropped == 0


def test_a_row_is_marked_from_itself() -> None:
    """Options in the very same words are one; what failed or was not judged has no score, and never 0."""
    said = row(0, answer="B", read=1, shares=(0.1, 0.1, 0.8))
    assert said.mark("letter").value == 1 and said.mark("likelihood").value == 0
    unreadable = row(0, answer="hm").mark()
    assert unreadable.value == 0 and unreadable.unreadable
    assert row(0, answer="B", read=1).mark("likelihood").value is None
    failed = row(0, answer="A", read=0, error="media.corrupt: x").mark()
    assert failed.value is None and failed.why == "media.corrupt: x"
    kept_back = replace(said, right_option=None).mark()
    assert kept_back.value is None and kept_back.why == KEPT_BACK
    told = replace(said, options=(), right_option=None, reference="a dog", aspects=("match", "score"))
    assert [(mark.aspect, mark.value, mark.why) for mark in told.marks()] == [
        ("match", None, NOT_JUDGED),
        ("score", None, NOT_JUDGED),
    ]
    judged = replace(told, scored={"marks": {"match": 1, "score": 4.0}})
    assert [mark.value for mark in judged.marks()] == [1, 4]
    silent = replace(told, scored={"marks": None, "why": "the reply is not one object"})
    assert [mark.why for mark in silent.marks()] == ["the reply is not one object"] * 2


def test_rows_of_one_header_mark_as_their_items(tmp_path: Path) -> None:
    """Two roads: marked by the item of the files, and by what lies in the row."""
    from longtake.evals.figures import mark_choice
    from longtake.evals.letters import read_option

    for answer in ("(B)", "a cat", "", "A or C", "the answer is C"):
        reading = read_option(answer, ITEM.options)
        ours = row_of(line_of(row(0, answer=answer, read=reading.option)).encode())
        theirs = mark_choice(ITEM, reading)
        assert ours is not None
        assert (ours.mark().value, ours.mark().unreadable) == (theirs.value, theirs.unreadable)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_told(tmp_path: Path, cut: int) -> None:
    path = folder(tmp_path, [row(0, answer="A"), row(1, answer="B")])
    whole = (path / "rows.jsonl").read_bytes()
    (path / "rows.jsonl").write_bytes(whole[:-cut])
    assert [one.id for one in read_run(path).rows] == ["7_0"]
    assert read_run(path).dropped == 1
    taken = begin(path, HEADER)
    assert taken.dropped == 1
    with taken.appending() as file:
        file.add(row(1, answer="B"))
    assert (path / "rows.jsonl").read_bytes() == whole


def test_a_damaged_line_costs_that_line(tmp_path: Path) -> None:
    path = folder(tmp_path, [row(0), row(1), row(2)])
    lines = (path / "rows.jsonl").read_text().splitlines(keepends=True)
    (path / "rows.jsonl").write_text(lines[0] + lines[1].replace('"id"', '"ix"') + lines[2])
    taken = begin(path, HEADER)
    assert [one.number for one in taken.done] == [0, 2] and taken.dropped == 1


def test_failed_rows_are_thrown_away_on_demand(tmp_path: Path) -> None:
    path = folder(tmp_path, [row(0), row(1, error="media.not_found: no"), row(2)])
    left = without(begin(path, HEADER), failed=True)
    assert [one.number for one in left.done] == [0, 2]
    assert [one.number for one in read_run(path).rows] == [0, 2]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = folder(tmp_path, [row(0)])
    other = replace(HEADER, parts={**HEADER.parts, "layout": {"name": "slowfast", "options": {}}}, frames=9)
    with pytest.raises(LongtakeError) as refused:
        begin(path, other)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION
    assert "parts.layout.name: 'grid' and 'slowfast'" in refused.value.reason
    assert "frames: 8 and 9" in refused.value.reason and "drawing" not in refused.value.reason
    assert [one.number for one in begin(path, HEADER).done] == [0]
    assert begin(path, other, anew=True).done == ()


def test_a_begun_folder_gives_way_to_a_new_run_whole(tmp_path: Path) -> None:
    """--force-new throws away all shards of another run, and of its own run only the shard that is begun anew."""
    for number in (1, 2):
        path = folder(tmp_path, [row(number)], replace(HEADER, shard=f"{number}/2"))
    begin(path, replace(HEADER, shard="1/2"), anew=True)
    assert [one.number for one in read_run(path).rows] == [2]
    begin(path, replace(HEADER, prompt="plain"), anew=True)
    assert sorted(one.name for one in path.iterdir() if "lock" not in one.name) == ["run.json"]
    (path / "run.json").unlink()
    (path / "rows.jsonl").write_text(line_of(row(0)))
    with pytest.raises(LongtakeError, match=r"rows\.jsonl without run\.json"):
        begin(path, HEADER)


def test_a_full_disk_is_told_and_costs_no_row(tmp_path: Path) -> None:
    """FAULTS.md J4: the system takes no more bytes in the middle of a row; later it does."""
    path = folder(tmp_path, [row(0)])
    room = (path / "rows.jsonl").stat().st_size + 50
    code = (
        "import resource, sys; from dataclasses import replace; from pathlib import Path\n"
        "from longtake.errors import LongtakeError\n"
        "from longtake.measure.rows import begin, read_header, read_run\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "path = Path(sys.argv[1])\n"
        "taken = begin(path, read_header(path / 'run.json'))\n"
        "try:\n"
        "    with taken.appending() as file:\n"
        "        file.add(replace(taken.done[0], id='7_1', number=1))\n"
        "except LongtakeError as error:\n"
        "    print(error.code.value.code, error.subject)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"disk.write {path / 'rows.jsonl'}\n"
    assert (path / "rows.jsonl").stat().st_size == room
    taken = begin(path, HEADER)
    assert ([one.id for one in taken.done], taken.dropped) == (["7_0"], 1)


def test_shards_are_one_run(tmp_path: Path) -> None:
    for number, shard in ((2, "2/2"), (1, "1/2"), (0, "1/2"), (3, "2/2")):
        path = folder(tmp_path, [row(number)], replace(HEADER, shard=shard))
    run = read_run(path)
    assert [one.number for one in run.rows] == [0, 1, 2, 3]
    assert run.shards == ("1/2", "2/2") and run.header == HEADER and not run.missing
    for shard in (None, "1/3"):
        with pytest.raises(LongtakeError, match="shard"):
            begin(path, replace(HEADER, shard=shard))
    with open(path / rows_file("2/2"), "a") as file:
        file.write(line_of(row(0, answer="B")))
    with pytest.raises(LongtakeError, match="the question 7_0 has two rows that differ"):
        read_run(path)


def test_shards_of_two_runs_are_none(tmp_path: Path) -> None:
    path = folder(tmp_path, [row(0)], replace(HEADER, shard="1/2"))
    written = {**replace(HEADER, shard="2/2").to_json(), "prompt": "plain"}
    (path / "run-2of2.json").write_text(json.dumps(written))
    with pytest.raises(LongtakeError, match="prompt: 'published' and 'plain'") as refused:
        read_run(path)
    assert refused.value.code is ErrorCode.DATA_BAD


@pytest.mark.parametrize("written", ["", "[]", "{", '{"format": 2}', '{"longtake": "1"}'])
def test_a_header_that_is_none_is_refused(tmp_path: Path, written: str) -> None:
    path = folder(tmp_path, [row(0)])
    (path / "run.json").write_text(written)
    with pytest.raises(LongtakeError, match=r"run\.json: is no header of a run") as refused:
        read_run(path)
    assert refused.value.code is ErrorCode.DATA_BAD


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LongtakeError, match="holds no run") as refused:
        read_run(tmp_path)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION


def test_only_one_process_writes(tmp_path: Path) -> None:
    """A process holds the folder; another says so; killed, it holds it no more."""
    path = folder(tmp_path, [row(0)])
    code = (
        "import sys, time; from pathlib import Path; from longtake.measure.rows import alone_in\n"
        "with alone_in(Path(sys.argv[1]), None):\n    print('here', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "here\n"
            with pytest.raises(LongtakeError, match="another process is writing"):
                begin(path, HEADER)
        finally:
            other.kill()
    assert len(begin(path, HEADER).done) == 1
