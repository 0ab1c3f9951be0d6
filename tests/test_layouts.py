"""A feature grid becomes one sequence: what each layout says it makes, and what the released code made."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.layouts import Piece, Visual
from longtake.layouts.grid import Grid
from longtake.layouts.slowfast import SlowFast
from longtake.vision import FeatureGrid, GridShape

GOLDEN = Path(__file__).parent / "golden"
POOLS = {
    "concat": "none",
    "spatial_1d_max_pool": "row_max",
    "spatial_1d_avg_pool": "row_average",
    "spatial_2d_max_pool": "square_max",
    "spatial_2d_avg_pool": "square_average",
    "temporal_global_pool": "time_average",
    "spatial_temporal_pool": "volume_average",
}


def cases(section: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((GOLDEN / section / "cases.json").read_text())
    return rows


def grid_of(values_THWD: torch.Tensor) -> FeatureGrid:
    return FeatureGrid(values_THWD, 10.0 + 0.5 * np.arange(len(values_THWD)))


def ramp(frames: int, height: int, width: int) -> FeatureGrid:
    """One number a place: 100 x frame + 10 x row + column."""
    t, h, w = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    return grid_of((100.0 * t + 10 * h + w)[..., None])


def visuals(pieces: list[Piece]) -> list[Visual]:
    return [piece for piece in pieces if isinstance(piece, Visual)]


def sequence(pieces: list[Piece]) -> torch.Tensor:
    return torch.cat([visual.tokens_ND for visual in visuals(pieces)])


def times(pieces: list[Piece]) -> list[float]:
    return [float(time) for visual in visuals(pieces) for time in visual.times_s]


# Contract: every file of the folder.


@pytest.mark.parametrize("name", parts.names("layouts"))
def test_count_is_what_is_arranged(name: str) -> None:
    layout = parts.find("layouts", name)()
    for frames, height, width in itertools.product((1, 2, 3, 9, 10, 11, 33), (1, 2, 3, 8), (1, 2, 5, 8)):
        grid = grid_of(torch.rand(frames, height, width, 3))
        try:
            promised = layout.count(GridShape(frames, height, width))
        except LongtakeError:
            with pytest.raises(LongtakeError):
                layout.arrange(grid)
            assert min(height, width) == 1, "only a grid with nothing to pool may be refused"
            continue
        pieces = layout.arrange(grid)
        tokens = sequence(pieces)
        assert tokens.shape == (promised, 3) and promised > 0
        assert 0 <= tokens.min() and tokens.max() <= 1
        assert grid.times_s[0] <= min(times(pieces)) and max(times(pieces)) <= grid.times_s[-1]


@pytest.mark.parametrize("name", parts.names("layouts"))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tokens_keep_the_features_width_and_dtype(name: str, dtype: torch.dtype) -> None:
    pieces = parts.find("layouts", name)().arrange(grid_of(torch.rand(4, 8, 8, 5).to(dtype)))
    assert sequence(pieces).dtype == dtype and sequence(pieces).shape[1] == 5


@pytest.mark.parametrize("name", parts.names("layouts"))
def test_the_features_are_left_alone(name: str) -> None:
    grid = grid_of(torch.rand(4, 8, 8, 5))
    before = grid.values_THWD.clone()
    parts.find("layouts", name)().arrange(grid)
    assert torch.equal(grid.values_THWD, before)


@pytest.mark.parametrize("name", parts.names("layouts"))
def test_a_layout_is_its_own_configuration(name: str) -> None:
    part = parts.find("layouts", name)
    layout = part()
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.anything = 1
    assert len(parts.summary(part)) > 20 and parts.summary(part).endswith(".")
    as_text = {key: str(value) for key, value in parts.options(layout).items()}
    assert parts.with_settings(layout, as_text, label="layout") == layout


# Grid.


@pytest.mark.parametrize("case", [c for c in cases("c_unires") if c["kind"] == "video"], ids=lambda c: c["name"])
def test_grid_makes_longvas_video_sequence(case: dict[str, Any]) -> None:
    tensors = load_file(GOLDEN / "c_unires" / "unires.safetensors")
    side = case["side"]
    layout = Grid(pool=case["pool_stride"], mode=case["pool_mode"])
    made = sequence(layout.arrange(grid_of(tensors[f"{case['name']}.in"].unflatten(1, (side, side)))))
    torch.testing.assert_close(made, tensors[f"{case['name']}.out"], rtol=0, atol=1e-6)
    assert layout.count(GridShape(case["T"], side, side)) == case["out_tokens"]


def test_a_longva_frame_is_144_tokens() -> None:
    assert Grid().count(GridShape(2000, 24, 24)) == 288_000


def test_grid_by_hand() -> None:
    pieces = Grid().arrange(ramp(2, 5, 4))
    # The mean of columns 0, 1 and rows 0, 1 is 5.5; the fifth row is left out.
    assert sequence(pieces).flatten().tolist() == [5.5, 7.5, 25.5, 27.5, 105.5, 107.5, 125.5, 127.5]
    assert times(pieces) == [10.0] * 4 + [10.5] * 4
    assert sequence(Grid(mode="max").arrange(ramp(1, 2, 4))).flatten().tolist() == [11.0, 13.0]
    assert sequence(Grid(pool=1).arrange(ramp(1, 2, 2))).flatten().tolist() == [0.0, 1.0, 10.0, 11.0]


# SlowFast.


def released(case: dict[str, Any]) -> SlowFast:
    """The layout that an original aggregation string means; one without pathways is a slow pathway of all frames."""
    match = re.fullmatch(r"slowfast-slow_(\d+)frms_(\w+)-fast_(\d+)x(\d+)", case["aggregation"])
    slow, pool, *fast = match.groups() if match else (case["T"], case["aggregation"], 0, 0)
    return SlowFast(int(slow), POOLS[pool], int(fast[0]), int(fast[1]), as_released=True)


def slowfast_cases() -> list[dict[str, Any]]:
    return [case for case in cases("d_slowfast") if case.get("aggregation") and "D" in case and "error" not in case]


@pytest.mark.parametrize("case", slowfast_cases(), ids=lambda c: c["name"])
def test_slowfast_makes_the_released_sequence(case: dict[str, Any]) -> None:
    tensors = load_file(GOLDEN / "d_slowfast" / "slowfast.safetensors")
    features_TND = tensors[case["input"]]
    height, width = (4, 5) if case["N"] == 20 else (round(case["N"] ** 0.5),) * 2
    layout = released(case)
    made = sequence(layout.arrange(grid_of(features_TND.unflatten(1, (height, width)))))
    torch.testing.assert_close(made, tensors[f"{case['name']}.out"], rtol=0, atol=1e-6)
    assert layout.count(GridShape(case["T"], height, width)) == case["out_tokens"]
    # The quirks show only where a width is odd or frames are too few: everywhere else the default says the same.
    if width % 2 == 0 and layout.slow_frames <= case["T"]:
        plain = dataclasses.replace(layout, as_released=False)
        assert torch.equal(sequence(plain.arrange(grid_of(features_TND.unflatten(1, (height, width))))), made)


def test_all_golden_slowfast_cases_are_tried() -> None:
    names = {case["name"] for case in slowfast_cases()}
    assert {f"sf{number}" for number in range(9)} | {"parse5"} <= names and len(names) == 33


@pytest.mark.parametrize(
    "case", [c for c in cases("d_slowfast") if c["name"].startswith("noagg")], ids=lambda c: c["name"]
)
def test_without_an_aggregation_the_original_shows_the_first_frame_and_we_show_all(case: dict[str, Any]) -> None:
    tensors = load_file(GOLDEN / "d_slowfast" / "slowfast.safetensors")
    values_THWD = tensors[case["input"]].unflatten(1, (4, 4))
    frames = len(values_THWD)
    recorded = tensors[f"{case['name']}.out"]
    assert case["equals_frame0_only"] and len(recorded) == case["out_tokens"]
    first = sequence(SlowFast(1, "none", 0, 0).arrange(grid_of(values_THWD[:1])))
    torch.testing.assert_close(first, recorded, rtol=0, atol=1e-6)
    assert len(sequence(SlowFast(frames, "none", 0, 0).arrange(grid_of(values_THWD)))) == frames * len(recorded)


def test_where_the_original_raises_there_is_no_string_to_mistype_and_no_square_is_wanted() -> None:
    raising = [case for case in cases("d_slowfast") if "error" in case]
    tensors = load_file(GOLDEN / "d_slowfast" / "slowfast.safetensors")
    assert {case["error"] for case in raising} == {"ValueError", "EinopsError"}
    for case in raising:
        if case["error"] == "EinopsError":
            values_THWD = tensors[case["input"]].unflatten(1, (4, 5))
            layout = released({**case, "as_released": False})
            assert len(sequence(layout.arrange(grid_of(values_THWD)))) == layout.count(GridShape(case["T"], 4, 5)) > 0
    for wrong in ({"slow_frames": -1}, {"slow_pool": "bogus"}, {"fast_width": 0}):
        with pytest.raises(ValueError, match="want"):
            dataclasses.replace(SlowFast(), **wrong)


def test_every_case_is_tried_somewhere() -> None:
    names = [case["name"] for case in slowfast_cases()]
    names += [case["name"] for case in cases("d_slowfast") if case["name"].startswith("noagg") or "error" in case]
    assert sorted(names) == sorted(case["name"] for case in cases("d_slowfast"))


def test_slow_indices_are_the_released_ones() -> None:
    rows = json.loads((GOLDEN / "d_slowfast" / "slow_indices.json").read_text())["rows"]
    assert len(rows) == 2048
    for slow_frames, frames, indices in rows:
        assert SlowFast(slow_frames, as_released=True).slow_indices(frames) == indices
        if slow_frames <= frames:
            assert SlowFast(slow_frames).slow_indices(frames) == indices


def test_the_papers_settings_make_3680_tokens() -> None:
    assert SlowFast().count(GridShape(50, 24, 24)) == 10 * 24 * 12 + 50 * 4 * 4 == 3680


def test_slowfast_by_hand() -> None:
    pieces = SlowFast(slow_frames=2, slow_pool="row_max", fast_height=1, fast_width=2).arrange(ramp(4, 2, 5))
    slow = [1, 3, 11, 13, 201, 203, 211, 213]  # frames 0 and 2; the fifth column is left out
    # Five columns fall into two overlapping windows, 0 to 2 and 2 to 4, whose means are 1 and 3; the rows' mean is 5.
    fast = [100 * frame + 5 + column for frame in range(4) for column in (1, 3)]
    assert sequence(pieces).flatten().tolist() == slow + fast
    assert times(pieces) == [10.0] * 4 + [11.0] * 4 + [10.0, 10.0, 10.5, 10.5, 11.0, 11.0, 11.5, 11.5]


def test_row_pooling_runs_over_row_ends_only_as_released() -> None:
    one = ramp(1, 2, 3)
    sane = SlowFast(1, "row_average", 0, 0)
    assert sequence(sane.arrange(one)).flatten().tolist() == [0.5, 10.5]
    quirk = dataclasses.replace(sane, as_released=True)
    assert sequence(quirk.arrange(one)).flatten().tolist() == [0.5, (2 + 10) / 2, 11.5]
    assert (sane.count(GridShape(1, 2, 3)), quirk.count(GridShape(1, 2, 3))) == (2, 3)


def test_a_short_video_shows_each_slow_frame_once_unless_as_released() -> None:
    assert SlowFast(10).slow_indices(3) == [0, 1, 2]
    assert SlowFast(10).slow_indices(1) == [0]
    assert SlowFast(10, as_released=True).slow_indices(3) == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_every_slow_frame_is_another_one() -> None:
    for frames, slow_frames in itertools.product((1, 2, 7, 49, 50, 51, 3600, 100_000), (1, 2, 7, 10, 49, 64)):
        indices = SlowFast(slow_frames).slow_indices(frames)
        assert len(indices) == min(frames, slow_frames) == len(set(indices))
        assert indices == sorted(indices) and indices[0] == 0 and indices[-1] < frames


def test_tokens_averaged_over_time_have_the_mean_time() -> None:
    averaged = SlowFast(4, "time_average", 0, 0).arrange(ramp(4, 1, 2))
    assert sequence(averaged).flatten().tolist() == [150.0, 151.0]
    assert times(averaged) == [10.75, 10.75]
    volume = SlowFast(32, "volume_average", 0, 0).arrange(ramp(32, 2, 2))
    assert len(times(volume)) == 16 * 12 * 12
    assert times(volume)[::144] == [10.25 + step for step in range(16)]


@pytest.mark.parametrize("pool", POOLS.values())
def test_count_holds_for_every_slow_pool(pool: str) -> None:
    layouts = [
        parts.with_settings(SlowFast(4), {"slow_pool": pool, "as_released": b}, label="layout")
        for b in ("true", "false")
    ]
    for layout, frames, height, width in itertools.product(layouts, (1, 4, 7), (2, 5), (2, 3, 6)):
        grid = ramp(frames, height, width)
        assert layout.count(grid.shape) == len(sequence(layout.arrange(grid)))


def test_either_pathway_can_be_left_out() -> None:
    fast_only, slow_only = SlowFast(slow_frames=0), SlowFast(fast_height=0, fast_width=0)
    assert fast_only.count(GridShape(50, 24, 24)) == 800 == len(sequence(fast_only.arrange(ramp(50, 24, 24))))
    assert slow_only.count(GridShape(50, 24, 24)) == 2880 == len(sequence(slow_only.arrange(ramp(50, 24, 24))))


# Refusals.


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("grid", {"pool": "0"}),
        ("grid", {"mode": "sum"}),
        ("slowfast", {"slow_frames": "-1"}),
        ("slowfast", {"slow_pool": "bogus"}),
        ("slowfast", {"fast_height": "0"}),
        ("slowfast", {"fast_width": "-4"}),
        ("slowfast", {"slow_frames": "0", "fast_height": "0", "fast_width": "0"}),
    ],
)
def test_an_option_that_does_not_fit_is_refused(name: str, settings: dict[str, str]) -> None:
    with pytest.raises(LongtakeError) as caught:
        parts.build("layouts", name, settings, label="layout")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


def test_wrong_options_are_refused_in_python_too() -> None:
    for make in (lambda: Grid(0), lambda: SlowFast(-1), lambda: SlowFast(slow_pool="max")):
        with pytest.raises(ValueError, match="want"):
            make()


def test_pooling_that_leaves_nothing_is_refused_with_what_came() -> None:
    with pytest.raises(LongtakeError, match="layout.pool: 3 x 3 pooling of 2 x 4 features leaves nothing"):
        Grid(pool=3).count(GridShape(5, 2, 4))
    with pytest.raises(LongtakeError, match="layout.slow_pool: row_max of 4 x 1 features leaves nothing"):
        SlowFast().arrange(ramp(3, 4, 1))
