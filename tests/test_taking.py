"""What `longtake niah` found, taken in as a run: the same shares and intervals, nothing lost, bad rows named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals.splits import digest
from longtake.measure.rows import read_run
from longtake.measure.taking import take_in
from longtake.niah import Row
from longtake.niah.ranges import depths, frame_counts
from longtake.niah.rows import ROWS, line_of
from longtake.niah.scoring import summary_of
from running import Cli

SAMPLES = Path(__file__).resolve().parent / "evals"
SETTINGS = {
    "version": 1,
    "frames": [200, 400],
    "depths": [0.0, 0.5, 1.0],
    "trials": 4,
    "haystack": [{"name": "film.mp4", "sha256": "0" * 64, "frames": 400}],
    "seed": 0,
    "weights": "a" * 64,
    "dtype": "auto",
    "layout": {"part": "longtake.layouts.grid:Grid", "pool": 2, "mode": "average"},
}


def cells() -> list[Row]:
    """24 cells, some right in one way, some in both, some in none."""
    return [
        Row(
            frames,
            depth,
            f"find-value-{trial:02}",
            (int(frames * depth),),
            "What number is on the red star?",
            f"red star {trial}",
            chance=0.001,
            text=f"red star {trial if (frames + trial) % 3 else 9}",
            forced=bool((trial + int(4 * depth)) % 4),
            generated=bool((frames + trial) % 3),
            logprob=-0.5,
            tokens=4 * frames,
        )
        for frames in (200, 400)
        for depth in (0.0, 0.5, 1.0)
        for trial in range(4)
    ]


def written(folder: Path, rows: list[Row], settings: dict[str, Any] = SETTINGS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / ROWS).write_text("".join(map(line_of, rows)))
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "summary.json").write_text(json.dumps({"model": "models/nano"}))
    return folder


def figures_of(out: Path, name: str = "vniah") -> dict[str, Any]:
    run = read_run(out)
    return {figure.name: figure for figure in parts.find("evals.benchmarks", name)().figures(run.marks())}


def test_shares_and_intervals_are_those_of_the_needle_run_itself(tmp_path: Path) -> None:
    rows = cells()
    out = tmp_path / "out"
    assert take_in("vniah", "frames", written(tmp_path / "niah", rows), out) == 24
    summary: Any = summary_of(rows)
    figures = figures_of(out)
    wanted = {
        "forced": summary["mean"]["forced"],
        "generated": summary["mean"]["generated"],
        **{f"length: {column['frames']} frames": column["forced"] for column in summary["frames"]},
        **{f"depth: {row['depth']:g}": row["forced"] for row in summary["depths"]},
    }
    assert {
        name: [round(value, 4) for value in (figure.value, figure.low, figure.high)] for name, figure in figures.items()
    } == {name: [told["share"], told["low"], told["high"]] for name, told in wanted.items()}
    header = read_run(out).header
    assert (header.items, header.split, header.model["name"], header.model["sha256"]) == (
        24,
        "unknown, all 24",
        "nano",
        "a" * 64,
    )
    assert header.parts["layout"] == {"name": "grid", "options": {"pool": 2, "mode": "average"}}
    assert header.more["settings"] == SETTINGS


def test_what_could_not_be_read_has_no_score_and_what_is_asked_later_is_added(tmp_path: Path) -> None:
    rows, out = cells(), tmp_path / "out"
    failed = replace(rows[1], text=None, forced=None, generated=None, tokens=0, error="model.nonfinite: no numbers")
    folder = written(tmp_path / "niah", [rows[0], failed])
    assert take_in("vniah", "frames", folder, out) == 2
    run, figures = read_run(out), figures_of(out)
    assert (run.missing, [row.error for row in run.failed]) == (22, ["model.nonfinite: no numbers"])
    assert (figures["forced"].scored, figures["forced"].unscored) == (1, 1)
    written(folder, rows)
    assert take_in("vniah", "frames", folder, out) == 23
    assert (read_run(out).missing, figures_of(out)["forced"].scored) == (0, 24)
    written(folder, rows, {**SETTINGS, "seed": 1})
    with pytest.raises(
        LongtakeError, match="with other settings.*: more.settings.seed: 0 and 1.*another --out"
    ) as refused:
        take_in("vniah", "frames", folder, out)
    assert "--force-new" not in str(refused.value), "eval vniah has no such option"
    assert len(read_run(out).rows) == 24


def test_it_is_taken_in_once(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "niah", cells()), tmp_path / "out"
    assert take_in("vniah", "frames", folder, out) == 24
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert take_in("vniah", "frames", folder, out) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda line: line[:-20] + "\n", "rows.jsonl:2: is not JSON"),
        (
            lambda line: line.replace('"forced": true', '"forced": 1').replace('"forced": false', '"forced": 1'),
            ":2: 'f",
        ),
        (lambda line: line.replace('"depth"', '"deep"'), "rows.jsonl:2: has nothing under 'depth'"),
        (lambda line: line.replace('"tokens": 800', '"tokens": -1'), "rows.jsonl:2: 'tokens' holds -1"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_nothing_is_taken_in(spoil: Any, told: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "niah", cells())
    lines = (folder / ROWS).read_text().splitlines(keepends=True)
    lines[1] = spoil(lines[1])
    (folder / ROWS).write_text("".join(lines))
    with pytest.raises(LongtakeError) as caught:
        take_in("vniah", "frames", folder, tmp_path / "out")
    assert caught.value.code is ErrorCode.DATA_BAD
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_cell_twice_is_named_by_both_lines(tmp_path: Path) -> None:
    rows = cells()
    with pytest.raises(LongtakeError, match=r"rows.jsonl:25: the question 200/0/find-value-00 stands at .*:1 too"):
        take_in("vniah", "frames", written(tmp_path / "niah", [*rows, rows[0]]), tmp_path / "out")


def test_text_and_frames_are_not_taken_for_each_other(tmp_path: Path) -> None:
    for name, other, unit in (("vniah", "textneedle", "tokens"), ("textneedle", "vniah", "frames")):
        with pytest.raises(LongtakeError, match=f"counted in {unit} .take {other}.") as caught:
            take_in(name, "frames" if name == "vniah" else "tokens", SAMPLES / other, tmp_path / "out")
        assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    shutil.copytree(SAMPLES / "vniah", tmp_path / "bad")
    (tmp_path / "bad" / "settings.json").write_text("{")
    with pytest.raises(LongtakeError, match=r"settings.json: cannot be read as JSON"):
        take_in("vniah", "frames", tmp_path / "bad", tmp_path / "out")
    with pytest.raises(LongtakeError, match=r"holds no rows.jsonl .name the --output of a longtake niah"):
        take_in("vniah", "frames", tmp_path, tmp_path / "out")


def test_the_known_grids_are_those_of_the_command() -> None:
    """The digests of the cards, from the ranges that `longtake niah` takes without options."""
    found = {
        split.name: (split.count, split.digest)
        for name in ("vniah", "textneedle")
        for split in parts.find("evals.benchmarks", name)().card.splits
    }
    five = ("ucsd.jpeg", "sora_balloon.png", "selenium_green.jpg", "panda_scientist.png", "teddy_bear_times_square.png")
    drawn = [f"find-value-{number:02}" for number in range(20)]
    grids = {
        "LongVA's five needles": ("200:3000:200", five),
        "20 drawn needles": ("200:3000:200", drawn),
        "20 numbers in text": ("800:12000:800", [f"number-{number:02}" for number in range(20)]),
        "20 drawn needles in captions": ("800:12000:800", drawn),
    }
    for name, (lengths, trials) in grids.items():
        ids = [
            f"{length}/{depth:g}/{trial}"
            for length in frame_counts(lengths)
            for depth in depths("0:1:0.2")
            for trial in trials
        ]
        assert found.pop(name) == (len(ids), digest(ids)), name
    assert not found


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys)
    for name, lengths in (("vniah", ["8 frames", "16 frames"]), ("textneedle", ["64 tokens", "128 tokens"])):
        told = cli.json("eval", name, SAMPLES / name, "--out", tmp_path / name)
        assert (told["benchmark"], told["rows"], told["asked_now"]) == (name, 3, 3)
        assert [f["name"] for f in told["figures"]["letter"] if f["name"].startswith("length")] == [
            f"length: {length}" for length in lengths
        ]
    status, out, err = cli("eval", "vniah", SAMPLES / "vniah", "--out", tmp_path / "vniah")
    assert status == 0
    assert "forced" in out
    assert "3 of 12 have rows" in err
    assert "cut at" not in err
    status, _, err = cli(
        "eval", "judge", tmp_path / "vniah", "--endpoint", "http://localhost:1/v1", "--judge-model", "m"
    )
    assert status == 2 and "no question of it needs a judge" in err
    status, out, err = cli("eval", "vniah", SAMPLES / "textneedle", "--out", tmp_path / "x")
    assert (status, out) == (2, "")
    assert err.startswith("error[usage.bad_option]: ")


def test_the_command_that_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys)
    out = tmp_path / "quiz"
    told = cli.json("eval", "make", "worldqa", "--out", out, "--questions", 5, "--lengths", "8", "--dry-run")
    assert (told["films"], told["pictures"], told["seconds"]) == (1, 8, 8)
    assert not out.exists()
    told = cli.json("eval", "make", "worldqa", "--out", out, "--questions", 5, "--lengths", "8")
    assert (told["questions"], told["new"], told["mended"]) == (5, 1, 0)
    status, said, _ = cli("eval", "make", "worldqa", "--out", out, "--questions", 5, "--lengths", "8")
    assert (status, said.splitlines()[0]) == (0, f"5 questions about 1 film in {out}: 0 made now")
    for lengths, reason in (("7,8", "a film of 7 s is too short"), ("8,x", "invalid literal"), ("", "invalid literal")):
        status, _, err = cli("eval", "make", "worldqa", "--out", out, "--lengths", lengths)
        assert status == 2
        assert reason in err
    status, _, err = cli("eval", "make", "worldqa", "--out", out, "--questions", 5, "--lengths", "9")
    assert (status, "lengths_s [8], not [9]" in err) == (2, True)
