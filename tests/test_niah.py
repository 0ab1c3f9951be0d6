"""V-NIAH without a model: ranges, places, frames of the haystack, needles from disk, scores, rows of a stopped run."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtake.errors import ErrorCode, LongtakeError
from longtake.niah import Cell, Grid, Insertion, Row, Trial
from longtake.niah.haystack import Cuts, one_a_second, order_of, sources
from longtake.niah.heatmap import Caption, draw_heatmap
from longtake.niah.needles import read_needles
from longtake.niah.ranges import depths, frame_counts, reported_depth
from longtake.niah.rows import ROWS, SETTINGS, begin, line_of
from longtake.niah.scoring import SCORES, Share, is_right, share_of, summary_of
from longtake.video import Frames
from longtake.video.opening import open_video
from running import Cli

SETTINGS_OF_RUN = {"seed": 0, "frames": [10, 20]}


def needle(name: str = "a") -> Trial:
    return Trial(name, (Insertion((np.zeros((2, 2, 3), np.uint8),)),), "what?", "that")


def row(frames: int, depth: float, trial: str = "a", **scored: object) -> Row:
    return Row(frames, depth, trial, (int(depth * frames),), "what?", "that", **scored)  # type: ignore[arg-type]


# ---- ranges and places


def test_ranges_as_they_are_typed() -> None:
    assert frame_counts("200:1000:200") == (200, 400, 600, 800, 1000)
    assert frame_counts("64,200:500:200,64") == (64, 200, 400)
    assert depths("0,1,0.5") == (0.0, 0.5, 1.0)
    assert depths("0:1:0.1")[-1] == 1.0 and len(depths("0:1:0.1")) == 11


@pytest.mark.parametrize(
    "text", ["2000000000", "", "a", "200:100:10", "1:2", "1:9:0", "0", "-3", "1.5", "1:9999999:1", "nan"]
)
def test_frames_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(LongtakeError) as refused:
        frame_counts(text)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION and "--frames" in str(refused.value)


@pytest.mark.parametrize("text", ["1.1", "-0.1", "0:2:0.5", "inf"])
def test_depths_outside_are_refused(text: str) -> None:
    with pytest.raises(LongtakeError, match="--depths"):
        depths(text)


def test_depths_places_and_reported_depths_are_the_originals(golden: Path) -> None:
    for case in json.loads((golden / "g_vniah" / "depth_rounding.json").read_text()):
        found = depths(f"0:1:{case['depth_interval']}")
        assert list(found) == case["depths"]
        assert [reported_depth(depth) for depth in found] == case["frame_depth_reported"]
        for frames in (200, 37):
            places = [Cell(frames, depth, needle()).places for depth in found]
            assert places == [(place,) for place in case[f"needle_index_for_{frames}_frames"]]


def test_cells_scores_and_their_mean_are_the_originals(golden: Path) -> None:
    told = json.loads((golden / "g_vniah" / "cells.json").read_text())
    lengths = frame_counts(f"{told['min_frame_num']}:{told['max_frame_num']}:{told['frame_interval']}")
    grid = Grid(lengths, depths(f"0:1:{told['depth_interval']}"))
    cells = grid.cells([needle()])
    assert [(cell.frames, cell.places) for cell in cells] == [
        (one["Num. Frame"], (one["needle_frame_index"],)) for one in told["cells"]
    ]
    shares = []
    for cell, one in zip(cells, told["cells"], strict=True):
        forced = [asked["pred"] == asked["answer_ids"] for asked in one["needles"]]
        rows = [row(cell.frames, cell.depth, str(number), forced=right) for number, right in enumerate(forced)]
        share = share_of(rows, SCORES["forced"]).share
        assert share == one["Score"] and share is not None
        shares.append(share)
    assert sum(shares) / len(shares) == pytest.approx(told["average_score"])


def test_several_insertions_have_places_of_their_own() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    trial = Trial("two", (Insertion((picture,)), Insertion((picture, picture), 0.9)), "?", "!")
    assert Cell(50, 0.5, trial).places == (25, 45)
    assert trial.frames == 3


# ---- the haystack


def test_one_frame_a_second_is_the_originals(golden: Path) -> None:
    for case in json.loads((golden / "a_frames" / "vniah_fps.json").read_text()):
        found = one_a_second(case["total"], case["avg_fps"])
        if "error" in case:
            assert case["avg_fps"] <= 0.5 and found == list(range(case["total"])), "where the original divides by zero"
        elif "all_idx_len" in case:
            assert found[:10] == case["all_idx"]
            assert (len(found), found[-1]) == (case["all_idx_len"], case["all_idx_last"])
        else:
            assert found == case["all_idx"]
        if "error" not in case:
            # The original embeds two batches of 32 more than are asked for, and leaves them unused.
            batches = -(-case["sampled_frames_num"] // 32) + 2
            assert case["n_embedded"] == min(32 * batches, len(found))


def test_a_real_files_frames(bunny: Path) -> None:
    video = open_video(str(bunny))  # 132 frames, 25 a second
    (seconds,) = sources([video], 100, every_frame=False)
    assert seconds.numbers == (0, 25, 50, 75, 100, 125)
    one, two = sources([video, video, video], 200, every_frame=True)
    assert (len(one.numbers), len(two.numbers)) == (132, 68), "the third is not needed"


def test_enough_frames_come_as_they_are_read() -> None:
    assert order_of([range(0, 4), range(4, 9)], 6, 0).tolist() == [0, 1, 2, 3, 4, 5]


def test_too_few_frames_come_again_in_whole_shots() -> None:
    shots = [range(0, 4), range(4, 9), range(9, 10)]
    order = order_of(shots, 35, seed=7)
    assert len(order) == 35
    for cycle in (order[:10], order[10:20], order[20:30]):
        assert sorted(cycle) == list(range(10)), "every frame once before any comes again"
        begins = [place for place in range(10) if place == 0 or cycle[place] != cycle[place - 1] + 1]
        assert {int(cycle[place]) for place in begins} <= {0, 4, 9}, "shots stay whole"
    assert order.tolist() == order_of(shots, 35, seed=7).tolist() != order_of(shots, 35, seed=8).tolist()
    assert order_of(shots, 21, seed=7).tolist() == order[:21].tolist(), "a shorter haystack begins a longer one"


def flat(colours: list[tuple[int, int, int]]) -> Frames:
    pixels = np.stack([np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 8, 8)) for colour in colours])
    return Frames(pixels, np.arange(len(pixels), dtype=np.float64), np.arange(len(pixels)))


def test_cuts_are_where_colours_change_and_where_a_file_begins() -> None:
    cuts = Cuts()
    red, near_red, blue = (220, 10, 10), (214, 16, 12), (10, 10, 220)
    for chunks in ([flat([red, near_red]), flat([near_red, blue, blue])], [flat([blue, red])]):
        assert sum(len(frames.numbers) for frames in cuts.passing(chunks)) == sum(len(one.numbers) for one in chunks)
    assert cuts.shots == [range(0, 3), range(3, 5), range(5, 6), range(6, 7)]


# ---- needles from disk


def picture_bytes(colour: str, size: tuple[int, int] = (6, 4)) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", size, colour).save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def needles(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(picture_bytes("red"))
    rows = [
        {"path": "red.png", "prompt": "\nWhich colour?", "answer": "Red"},
        {"path": "red.png", "prompt": "Which?\nA. Blue\nB. Red", "answer": "B"},
    ]
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    return tmp_path


def test_longvas_own_format(needles: Path) -> None:
    for place in (needles, needles / "dataset.json"):
        one, two = read_needles(str(place))
        assert (one.name, one.question, one.answer) == ("red.png", "Which colour?", "Red")
        assert (two.name, two.question, two.answer) == ("red.png#2", "Which?\nA. Blue\nB. Red", "B")
        (picture,) = one.insertions[0].pictures
        assert picture.shape == (4, 6, 3) and picture[0, 0].tolist() == [255, 0, 0]
    assert [trial.name for trial in read_needles(str(needles), ["red"])] == ["red.png"]
    with pytest.raises(LongtakeError, match=r"--needle blue: .* has no such needle \(there are red.png, red.png#2\)"):
        read_needles(str(needles), ["blue"])


def test_the_five_of_the_paper_need_all_their_pictures(shared: Path) -> None:
    place = str(shared / "needles")
    with pytest.raises(LongtakeError) as refused:
        read_needles(place)
    assert refused.value.code is ErrorCode.MEDIA_NOT_FOUND
    assert "panda_scientist.png" in refused.value.subject and "teddy_bear_times_square.png" in refused.value.subject
    here = ["ucsd", "sora_balloon", "selenium_green"]
    assert [trial.answer for trial in read_needles(place, here)] == ["B", "Yellow", "200"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 200_000, "cannot be read as JSON"),
        ("{}", "holds no list"),
        ("[]", "holds no list"),
        ('[{"path": "red.png", "prompt": "?", "answer": "x"}, 3]', "row 2: is no object"),
        ('[{"path": "red.png", "answer": "x"}]', "row 1: has no prompt"),
        ('[{"path": "red.png", "prompt": "?", "answer": 200}]', "row 1: has a int as answer"),
        ('[{"path": "red.png", "prompt": " ", "answer": "x"}]', "row 1: has an empty prompt"),
    ],
)
def test_malformed_rows_are_named(needles: Path, text: str, told: str) -> None:
    (needles / "dataset.json").write_text(text)
    with pytest.raises(LongtakeError) as refused:
        read_needles(str(needles))
    assert refused.value.code is ErrorCode.DATA_BAD
    assert told in str(refused.value) and "dataset.json" in refused.value.subject


def test_what_is_no_picture_is_refused(needles: Path) -> None:
    (needles / "red.png").write_text("not a picture")
    with pytest.raises(LongtakeError) as refused:
        read_needles(str(needles))
    assert refused.value.code is ErrorCode.MEDIA_UNKNOWN_FORMAT and "red.png" in refused.value.subject


def test_nothing_there(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(LongtakeError) as refused:
            read_needles(str(place))
        assert refused.value.code is ErrorCode.MEDIA_NOT_FOUND


def test_a_hugging_face_data_set_on_disk(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "blue.png").write_bytes(picture_bytes("blue"))
    images = [{"bytes": picture_bytes("red"), "path": "red.png"}, {"bytes": None, "path": "blue.png"}]
    table = pyarrow.table(
        {"image": images, "question": ["Which?", "And this?"], "answer": ["red", "blue"], "id": [1, 2]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    one, two = read_needles(str(tmp_path))
    assert (one.name, one.question, one.answer) == ("red.png", "Which?", "red")
    assert two.insertions[0].pictures[0][0, 0].tolist() == [0, 0, 255]
    pyarrow.parquet.write_table(table.drop_columns("answer"), tmp_path / "less.parquet")
    with pytest.raises(LongtakeError, match="has no column answer"):
        read_needles(str(tmp_path / "less.parquet"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(LongtakeError, match="is not parquet"):
        read_needles(str(tmp_path / "broken.parquet"))


# ---- scores


@pytest.mark.parametrize(
    ("text", "expected", "right"),
    [
        ("Red star  417", "red star 417", True),
        ("yellow.", "Yellow", True),
        ("red star 418", "red star 417", False),
        ("", "red", False),
        ("red star 417 (B)", "blue star 3 (B)", True),
        ("(A) or (B)", "417 (B)", True),
        ("(B) or (A)", "417 (B)", False),
        ("B", "417 (B)", False),
        ("B. San Diego", "B", True),
        ("B) San Diego", "B", True),
        ("b", "B", False),
        ("Berkeley", "B", False),
        ("", "B", False),
    ],
)
def test_when_a_generated_answer_is_right(text: str, expected: str, right: bool) -> None:
    assert is_right(text, expected) is right


def test_wilsons_intervals_by_hand() -> None:
    # z = 1.96: all of n right gives n / (n + z^2) to 1.
    assert Share(20, 20).interval == pytest.approx((20 / (20 + 1.959964**2), 1.0), abs=1e-6)
    assert Share(0, 20).interval == pytest.approx((0.0, 1.959964**2 / (20 + 1.959964**2)), abs=1e-6)
    assert Share(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=5e-5)  # Newcombe 1998's way, table of 8 in 10
    assert Share(0, 0).share is None and Share(0, 0).interval == (0.0, 1.0)


def test_a_failed_cell_is_no_score() -> None:
    failed = row(10, 1.0, error="model.nonfinite: x")
    beyond = row(20, 0.0, forced=False, generated=False, beyond_trained_context=True)
    told = summary_of([row(10, 0.0, forced=True, generated=False), failed, beyond])
    assert told["failed"] == 1 and told["asked"] == 3
    assert [(one["forced"]["right"], one["forced"]["asked"]) for one in told["frames"]] == [(1, 1), (0, 1)]  # type: ignore[attr-defined]
    assert told["depths"][1]["forced"]["share"] is None  # type: ignore[index]
    assert told["worst_column"] == {"forced": 0.0, "generated": 0.0}
    assert told["beyond_trained_context_from_frames"] == 20


# ---- rows of a run that was stopped


KEYS = {(10, 0.0, "a"), (10, 1.0, "a"), (20, 0.5, "a")}


def test_a_torn_line_and_a_failed_cell_are_asked_again(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run", SETTINGS_OF_RUN, KEYS)
    assert folder.done == () and folder.dropped == 0
    first, failed, torn = row(10, 0.0, forced=True), row(10, 1.0, error="x: y"), row(20, 0.5, forced=True)
    with folder.appending() as file:
        file.write(line_of(first))
        file.write(line_of(failed))
        file.write(line_of(torn)[:-5])
    again = begin(tmp_path / "run", SETTINGS_OF_RUN, KEYS)
    assert again.done == (first,) and again.dropped == 2
    assert (tmp_path / "run" / ROWS).read_text() == line_of(first), "the next row begins a line of its own"


@pytest.mark.parametrize("cut", range(1, 30))
def test_wherever_a_line_is_torn_the_whole_ones_stay(tmp_path: Path, cut: int) -> None:
    whole, last = row(10, 0.0, forced=True), line_of(row(20, 0.5, forced=False))
    begin(tmp_path, SETTINGS_OF_RUN, KEYS)
    (tmp_path / ROWS).write_text(line_of(whole) + last[: len(last) * cut // 30])
    assert begin(tmp_path, SETTINGS_OF_RUN, KEYS).done == (whole,)


def test_another_run_is_refused_and_told_apart(tmp_path: Path) -> None:
    begin(tmp_path, SETTINGS_OF_RUN, KEYS)
    begin(tmp_path, SETTINGS_OF_RUN, KEYS)
    with pytest.raises(LongtakeError, match=r"holds a run with other settings: seed, weights") as refused:
        begin(tmp_path, {**SETTINGS_OF_RUN, "seed": 1, "weights": "x"}, KEYS)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION
    (tmp_path / SETTINGS).write_text("[]")
    with pytest.raises(LongtakeError, match="other settings"):
        begin(tmp_path, SETTINGS_OF_RUN, KEYS)
    (tmp_path / SETTINGS).unlink()
    (tmp_path / ROWS).write_text(line_of(row(10, 0.0)))
    with pytest.raises(LongtakeError, match="other settings"):
        begin(tmp_path, SETTINGS_OF_RUN, KEYS)


def test_two_runs_do_not_write_in_one_folder(tmp_path: Path) -> None:
    folder, other = begin(tmp_path, SETTINGS_OF_RUN, KEYS), begin(tmp_path, SETTINGS_OF_RUN, KEYS)
    with folder.appending() as file:
        file.write(line_of(row(10, 0.0)))
        with pytest.raises(LongtakeError, match="another run is writing there"):
            begin(tmp_path, SETTINGS_OF_RUN, KEYS)
        with pytest.raises(LongtakeError, match="another run is writing there"), other.appending():
            pass
    assert len(begin(tmp_path, SETTINGS_OF_RUN, KEYS).done) == 1


# ---- the picture


@pytest.fixture
def rows() -> Iterator[list[Row]]:
    yield [
        row(frames, depth, str(number), forced=frames < 300 and depth == 0, generated=True)
        for frames in (100, 200, 300)
        for depth in (0.0, 1.0)
        for number in range(2)
    ]


def colours_at(path: Path) -> list[list[tuple[int, int, int]]]:
    """The colours near the corner of each cell of a picture of 2 depths x 3 lengths."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    coloured = np.argwhere(np.ptp(pixels, axis=2) > 60)
    (top, left), (bottom, right) = coloured.min(axis=0), coloured.max(axis=0)
    return [
        [
            tuple(
                pixels[int(top + (bottom - top) * (depth + 0.15) / 2), int(left + (right - left) * (column + 0.1) / 3)]
            )
            for column in range(3)
        ]
        for depth in range(2)
    ]


def test_green_is_found_and_red_is_not(rows: list[Row], tmp_path: Path) -> None:
    draw_heatmap(rows, tmp_path / "map.png", Caption("nano", trained=150))
    found, lost = (47, 158, 110), (200, 50, 75)
    assert colours_at(tmp_path / "map.png") == [[found, found, lost], [lost, lost, lost]]


def test_what_was_not_scored_is_grey(rows: list[Row], tmp_path: Path) -> None:
    failed = [one if (one.frames, one.depth) != (200, 1.0) else row(200, 1.0, one.trial, error="x: y") for one in rows]
    draw_heatmap(failed, tmp_path / "map.png", Caption("nano", score="generated"))
    red, green, blue = colours_at(tmp_path / "map.png")[1][1]
    assert max(red, green, blue) - min(red, green, blue) < 15


def test_runs_side_by_side(rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {one.key for one in rows}
    for name, some in (("nano", rows), ("control", [dataclasses.replace(one, forced=False) for one in rows])):
        with begin(tmp_path / name, SETTINGS_OF_RUN, keys).appending() as file:
            file.writelines(map(line_of, some))
    (tmp_path / "nano" / "summary.json").write_text(json.dumps({"trained_frames": 150}))
    (tmp_path / "control" / "summary.json").write_text("[]")
    cli, folders = Cli(capsys), (tmp_path / "nano", tmp_path / "control")
    status, said, _ = cli("niah-compare", *folders, "-o", tmp_path / "both.png")
    assert status == 0
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["nano", "2", "50.0", "50.0", "0.0", "33.3", "(13.8", "to", "60.9)", "100.0"],
        ["control", "2", "0.0", "0.0", "0.0", "0.0", "(0.0", "to", "24.2)", "100.0"],
    ]
    with Image.open(tmp_path / "both.png") as both:
        assert both.width == 1600
    found = cli.json("niah-compare", *folders, "-o", tmp_path / "both.png", "--title", "a", "--title", "b")
    assert [run["title"] for run in found["runs"]] == ["a", "b"]
    status, said, _ = cli("niah-compare", *folders, "-o", tmp_path / "both.png", "--score", "generated")
    assert [line.split()[-5:] for line in said.splitlines()[1:]] == [
        ["100.0", "(75.8", "to", "100.0)", "33.3"],
        ["100.0", "(75.8", "to", "100.0)", "0.0"],
    ]
    for name, share, drawn in (("ten", 0.5, "a"), ("more", 0.5, "b"), ("same", 0.5, "a"), ("fewer", 0.1, "c")):
        settings = SETTINGS_OF_RUN | {"distractors": {"share": share, "pictures": drawn}}
        with begin(tmp_path / name, settings, keys).appending() as file:
            file.writelines(map(line_of, rows))
    several = [tmp_path / name for name in ("ten", "more", "same", "fewer", "nano")]
    (note,) = cli.json("niah-compare", *several, "-o", tmp_path / "both.png")["notes"]
    assert note.startswith("ten, same and more have other symbols in their haystacks")
    assert not cli.json("niah-compare", several[0], *several[2:], "-o", tmp_path / "both.png")["notes"]
    with begin(tmp_path / "part", SETTINGS_OF_RUN, keys).appending() as file:
        file.writelines(line_of(one) for one in rows if one.depth == 0 and one.frames < 300)
    common = cli.json("niah-compare", *folders, tmp_path / "part", "-o", tmp_path / "both.png", "--common")
    assert [run["mean"]["forced"]["asked"] for run in common["runs"]] == [4, 4, 4]
    with begin(tmp_path / "other", SETTINGS_OF_RUN, {(500, 0.5, "0")}).appending() as file:
        file.write(line_of(row(500, 0.5, "0", forced=True)))
    for wrong, told in (
        ([tmp_path], "holds no rows of a run"),
        ([*folders, "--title", "one"], "1 titles for 2 folders"),
        ([*folders, "-o", "both.txt"], "its ending names no kind of picture"),
        ([folders[0], tmp_path / "other", "--common"], "2 runs share no cell"),
    ):
        status, _, said = cli("niah-compare", *wrong)
        assert status == 2 and told in said


def test_what_extras_bring_is_told_where_they_are_missing(
    needles: Path, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (tmp_path / "some.parquet").write_bytes(b"PAR1")
    with pytest.raises(LongtakeError, match=r'pyarrow: .*pip install "longtake\[data\]"') as refused:
        read_needles(str(tmp_path / "some.parquet"))
    assert refused.value.code is ErrorCode.ENVIRONMENT_MISSING
    with pytest.raises(LongtakeError, match=r'matplotlib: .*pip install "longtake\[plots\]"'):
        draw_heatmap(rows, tmp_path / "map.png", Caption("nano"))
    assert len(read_needles(str(needles))) == 2, "LongVA's own format needs neither"
