"""V-NIAH with a model: a tiny random one on real footage. Two roads to every row; what is read; the command."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import longtake
import tiny
from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.layouts import Layout, View, view_of
from longtake.layouts.anyres import Anyres
from longtake.layouts.bilinear import Bilinear
from longtake.layouts.image_grid import ImageGrid
from longtake.niah import Cell, Grid, Insertion, Row, Trial
from longtake.niah.haystack import sources
from longtake.niah.looking import Eye, Laid, needles_of, read_haystack, stand_in
from longtake.niah.planning import measure, plan_of
from longtake.niah.sweep import Asking, SharedReading, in_reading_order, sweep
from longtake.video.opening import open_video
from running import LONGTAKE, Cli

LAYOUTS = {
    name: {"slowfast": {"slow_frames": "3"}}.get(name, {})
    for name in parts.names("layouts")
    if view_of(parts.find("layouts", name)()) == View()
}
GRID = Grid((10, 20), (0.0, 0.5, 1.0))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(scope="module")
def model(folder: str) -> Model:
    return longtake.load(folder)


def trials() -> list[Trial]:
    """A plain needle, a clip of two, and two needles apart."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(5)]
    return [
        Trial("plain", (Insertion((pictures[0],)),), "what is on the red star?", "blue"),
        Trial("clip", (Insertion((pictures[1], pictures[2])),), "what number is on the star?", "red star"),
        Trial("two", (Insertion((pictures[3],)), Insertion((pictures[4],), 0.9)), "what is the number?", "number"),
    ]


def laid(model: Model, some: Sequence[Trial], bunny: Path, frames: int = 20) -> Laid:
    eye = Eye(model)
    chosen = sources([open_video(str(bunny))], frames, every_frame=True)
    return Laid(eye, read_haystack(eye, chosen, frames, seed=0), needles_of(eye, some))


def alone(model: Model, cells: Sequence[Cell], by: Laid) -> list[Row]:
    """One forward pass for each cell: nothing is kept from one to the next."""
    return [row for cell in cells for row in sweep(model, [cell], by.prompt)]


def without_logprob(rows: Sequence[Row]) -> list[Row]:
    return [replace(row, logprob=None) for row in sorted(rows, key=lambda row: row.key)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sharing_changes_no_row(model: Model, bunny: Path, layout: str) -> None:
    model = replace(model, layout=parts.build("layouts", layout, LAYOUTS[layout], label="layout"))
    by = laid(model, trials(), bunny)
    cells = GRID.cells(trials())
    shared, fresh = list(sweep(model, cells, by.prompt)), alone(model, cells, by)
    assert without_logprob(shared) == without_logprob(fresh)
    assert len({row.text for row in shared}) > 3, "a model that always says the same would show nothing"
    apart = {row.key: row.logprob for row in fresh}
    assert [row.logprob for row in shared] == pytest.approx([apart[row.key] for row in shared], abs=2e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_plan_counts_what_will_be_read(model: Model, bunny: Path, layout: str) -> None:
    model = replace(model, layout=parts.build("layouts", layout, LAYOUTS[layout], label="layout"))
    cells = GRID.cells(trials())
    plan = plan_of(model, cells, stand_in(Eye(model), trials(), 20).prompt)
    by, reading, reads = laid(model, trials(), bunny), SharedReading(model), []
    for cell in in_reading_order(cells):
        reading.read(Asking(model, cell.trial).after(by.prompt(cell)))
        reads.append((reading.kept_tokens, reading.new_tokens))
    assert list(plan.reads) == reads
    assert plan.longest_tokens == max(map(sum, reads))


def test_what_is_read_by_hand(model: Model) -> None:
    """The tiny model makes one token of a frame. Insertions at 20, 10, 5 and 0; each serves its longer haystacks."""
    some = [replace(one, name=name) for name in ("a", "b") for one in trials()[:1]]
    plan = plan_of(model, GRID.cells(some), stand_in(Eye(model), some, 20).prompt)
    asking = Asking(model, some[0])
    text = 12 * len(asking.question_ids)
    opening = plan.longest_tokens - len(asking.question_ids) - 21
    behind_each_insertion = (20 - 20) + (20 - 10) + (10 - 5) + (20 - 0)
    assert sum(new for _, new in plan.reads) == opening + 20 + 2 * (4 + behind_each_insertion) + text
    whole = 2 * 3 * (2 * opening + 10 + 20 + 2) + text
    assert plan.alone_tokens == whole + 12 * len(asking.answer_ids)


def test_prompts_are_the_haystack_with_the_needles_in_it(model: Model, bunny: Path) -> None:
    by = laid(model, trials(), bunny)
    plain, _, two = trials()
    hay_ND = by.eye.arrange(by.haystack.part(0, 20))[0].tokens_ND  # type: ignore[union-attr]
    needle = {one.name: [kept.flatten(0, 2) for kept in by.needles[one.name]] for one in trials()}
    found = by.prompt(Cell(20, 0.5, plain)).visual_ND
    torch.testing.assert_close(found, torch.cat([hay_ND[:10], needle["plain"][0], hay_ND[10:]]))
    first, second = needle["two"]
    found = by.prompt(Cell(10, 0.5, two)).visual_ND
    torch.testing.assert_close(found, torch.cat([hay_ND[:5], first, hay_ND[5:9], second, hay_ND[9:10]]))


def test_pooled_frames_are_kept_pooled_and_come_to_the_same_tokens(model: Model, bunny: Path) -> None:
    eye = Eye(model)
    (source,) = sources([open_video(str(bunny))], 70, every_frame=True)
    frames = list(source.video.read(source.numbers, chunk=7, shrink=model.encoder.shrinker(tiled=False)))
    kept = read_haystack(eye, [source], 70, seed=0)
    assert kept.kept_THWD.shape[:3] == (
        70,
        1,
        model.layout.count(model.encoder.shape_of(1, (1, 1), tiled=False)),
    )
    at_once = model.layout.arrange(model.encoder.encode(frames))[0].tokens_ND  # type: ignore[union-attr]
    torch.testing.assert_close(eye.arrange(kept.part(0, 70))[0].tokens_ND, at_once, rtol=1e-4, atol=1e-4)  # type: ignore[union-attr]


def test_a_newline_that_a_layout_writes_is_in_every_prompt(model: Model, bunny: Path) -> None:
    newline_D = torch.full((32,), 7.0)  # the width of the tiny language model
    model = replace(model, encoder=replace(model.encoder, newline_D=newline_D), layout=Bilinear())
    by = laid(model, trials(), bunny)
    cell = Cell(10, 0.5, trials()[0])
    found, planned = by.prompt(cell), stand_in(by.eye, trials(), 20).prompt(cell)
    assert torch.equal(found.visual_ND[-1], newline_D)
    assert len(found.token_ids_L) == len(planned.token_ids_L)


@pytest.mark.parametrize("layout", [Anyres(), ImageGrid(tiled=False)])
def test_a_layout_that_looks_at_more_or_less_than_a_frame_is_refused(model: Model, layout: Layout) -> None:
    with pytest.raises(LongtakeError, match="whole frames") as refused:
        Eye(replace(model, layout=layout))
    assert refused.value.code == ErrorCode.USAGE_BAD_OPTION


def test_a_cell_that_fails_is_an_error_and_the_next_is_asked(model: Model, bunny: Path) -> None:
    by = laid(model, trials(), bunny)
    by.haystack.kept_THWD[15] = torch.nan
    rows = list(sweep(model, GRID.cells(trials()), by.prompt))
    assert len(rows) == 18
    for row in rows:
        assert (row.error is not None) == (row.frames == 20)
        assert (row.forced is None) == (row.generated is None) == (row.frames == 20)
    assert {str(row.error).partition(":")[0] for row in rows if row.error} == {"model.nonfinite"}
    clean = [row for row in alone(model, GRID.cells(trials()), laid(model, trials(), bunny)) if row.frames == 10]
    assert without_logprob([row for row in rows if row.frames == 10]) == without_logprob(clean)


def test_beyond_the_trained_context_begins_where_it_does(model: Model, bunny: Path) -> None:
    cells = Grid((10, 230, 260), (0.0,)).cells(trials()[:1])
    by = laid(model, trials()[:1], bunny, frames=260)
    rows = {row.frames: row for row in sweep(model, cells, by.prompt)}
    assert model.engine.trained_context == 256
    for row in rows.values():
        assert row.beyond_trained_context == (row.tokens > 256)
    plan = plan_of(model, cells, stand_in(Eye(model), trials()[:1], 260).prompt)
    assert plan.trained_frames == 256 - (rows[10].tokens - 10), "one token a frame"
    assert by.haystack.origin["different_frames"] == 132 and by.haystack.origin["most_repeats"] == 2


def test_the_pace_is_of_this_machine(model: Model) -> None:
    pace = measure(model.engine, 32)
    plan = plan_of(model, GRID.cells(trials()), stand_in(Eye(model), trials(), 20).prompt)
    assert 0 < pace.seconds(plan) < 600


# ---- the command


def command(bunny: Path, folder: str, output: Path, *more: str) -> list[str]:
    asked = ["niah", str(bunny), "--every-frame", "--frames", "40:280:120", "--depths", "0,0.5", "--trials", "3"]
    return [*asked, "--model", folder, "--output", str(output), *more]


def rows_in(output: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (output / "rows.jsonl").read_text().splitlines()]


def key(row: dict[str, object]) -> tuple[object, ...]:
    return row["frames"], row["depth"], row["trial"]


def test_the_command_leaves_rows_summary_and_heatmap(
    cli: Cli, bunny: Path, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cli.json(*command(bunny, folder, tmp_path / "run"))
    rows = rows_in(tmp_path / "run")
    assert len(rows) == len({key(row) for row in rows}) == 3 * 2 * 3
    assert found["asked"] == 18 and found["failed"] == 0
    assert [one["frames"] for one in found["frames"]] == [40, 160, 280]
    for one in found["frames"]:
        right = [row["forced"] for row in rows if row["frames"] == one["frames"]]
        assert (one["forced"]["right"], one["forced"]["asked"]) == (sum(map(bool, right)), 6)
    assert found["haystack"]["different_frames"] == 132 and found["haystack"]["shuffled_by_shot"] is True
    assert found["haystack"]["files"] == [{"path": str(bunny), "frames": 132, "degraded": False}]
    assert found["beyond_trained_context_from_frames"] == 280 and 160 < found["trained_frames"] < 280
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == found
    with Image.open(tmp_path / "run" / "heatmap.png") as picture:
        assert picture.width > 600
    # Asked again, nothing is read again; asked for something else, it is refused.
    before = (tmp_path / "run" / "rows.jsonl").read_text()
    with monkeypatch.context() as unread:
        unread.setattr("longtake.niah.looking.read_haystack", None)
        assert cli.json(*command(bunny, folder, tmp_path / "run")) == found
    assert (tmp_path / "run" / "rows.jsonl").read_text() == before
    status, _, said = cli(*command(bunny, folder, tmp_path / "run"))
    assert status == 0 and "have 132 frames: longer haystacks show some again, up to 3 times" in " ".join(said.split())
    # What is told of a model in its folder may change, what answers come from may not.
    (Path(folder) / "figures.json").write_text('{"niah": {}}')
    assert cli.json(*command(bunny, folder, tmp_path / "run")) == found
    status, _, said = cli(*command(bunny, folder, tmp_path / "run", "--seed", "1"))
    assert status == 2 and "holds a run with other settings: needles, seed" in said


def test_a_run_that_is_killed_goes_on(cli: Cli, bunny: Path, folder: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    cli.json(*command(bunny, folder, whole))
    killed, rows = tmp_path / "killed", tmp_path / "killed" / "rows.jsonl"
    process = subprocess.Popen([*LONGTAKE, *command(bunny, folder, killed, "--quiet")], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and not (rows.exists() and rows.read_text().count("\n") >= 3):
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    at_death = rows.read_text().count("\n")
    assert 3 <= at_death
    rows.write_text(rows.read_text() + '{"frames": 40, "dep')
    cli.json(*command(bunny, folder, killed))
    again, undisturbed = sorted(rows_in(killed), key=key), sorted(rows_in(whole), key=key)
    assert [row.pop("logprob") for row in again] == pytest.approx([r.pop("logprob") for r in undisturbed], abs=2e-3)  # type: ignore[arg-type]
    assert again == undisturbed


def test_the_plan_alone_reads_nothing(cli: Cli, bunny: Path, folder: str, tmp_path: Path) -> None:
    status, said, _ = cli(*command(bunny, folder, tmp_path / "none", "--plan"))
    assert status == 0 and said.startswith("18 cells (3 lengths x 2 depths x 3 needles)")
    assert "times fewer" in said and "about" in said and "which ends after" in said
    assert not (tmp_path / "none").exists()


def test_needles_of_ones_own(cli: Cli, bunny: Path, folder: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"{name}.png")
    rows = [{"path": f"{name}.png", "prompt": "what is red?", "answer": "the star"} for name in ("a", "b", "gone")]
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    asked = ["niah", bunny, "--frames", "4", "--depths", "0.5", "--model", folder, "--needles", tmp_path]
    status, _, said = cli(*asked, "--output", tmp_path / "run")
    assert status == 3 and "gone.png: this picture is missing" in said and "--needle: a.png, b.png" in said
    found = cli.json(*asked, "--output", tmp_path / "run", "--needle", "b", "--needle", "a.png")
    assert found["asked"] == 2 and [row["trial"] for row in rows_in(tmp_path / "run")] == ["b.png", "a.png"]


@pytest.mark.parametrize(
    "case",
    [
        ("--frames", "0", "--frames"),
        ("--depths", "2", "--depths"),
        ("--distractors", "2", "cannot be 2 for frames"),
        ("--set", "sampler.frames=3", "nothing is sampled here"),
        ("--needle", "x", "drawn needles have no names"),
        ("--layout", "none", "is none of the layouts"),
    ],
)
def test_what_does_not_fit_is_refused(
    cli: Cli, bunny: Path, folder: str, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    *more, told = case
    status, _, said = cli(*command(bunny, folder, tmp_path / "run", *more))
    assert status == 2 and told in said
    assert not (tmp_path / "run").exists()
