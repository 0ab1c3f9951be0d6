"""Pictures with their tiles become one sequence: what the released code made, and what can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longtake import parts
from longtake.layouts import Layout, Piece, Text, View, Visual, view_of
from longtake.layouts.anyres import Anyres
from longtake.layouts.bilinear import Bilinear
from longtake.layouts.frames_as_images import FramesAsImages
from longtake.layouts.image_grid import ImageGrid
from longtake.layouts.pool3d import Pool3d
from longtake.layouts.stamped import Stamped
from longtake.layouts.two_tokens import TwoTokens
from longtake.layouts.unires_image import UniresImage
from longtake.vision import FeatureGrid, Tiling
from longtake.vision.tiles import best_grid, grids

GOLDEN = Path(__file__).parent / "golden"


def cases(file: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((GOLDEN / file).read_text())
    return rows


def tiled(
    views_TND: torch.Tensor, side: int, tiling: Tiling | None, newline_D: torch.Tensor | None = None
) -> FeatureGrid:
    tilings = () if tiling is None else (tiling,)
    return FeatureGrid(views_TND.unflatten(1, (side, side)), np.zeros(len(views_TND)), newline_D, tilings)


def tokens(pieces: list[Piece]) -> torch.Tensor:
    return torch.cat([piece.tokens_ND for piece in pieces if isinstance(piece, Visual)])


def tiling_of(case: dict[str, Any]) -> Tiling:
    width, height = case["image_size_wh"]
    columns, rows = case["grid_wh"]
    return Tiling(height, width, rows, columns)


@pytest.mark.parametrize("case", cases("d_slowfast/spatial_unpad_cases.json"), ids=lambda case: case["name"])
def test_anyres_is_llava_nexts(case: dict[str, Any]) -> None:
    tensors = load_file(GOLDEN / "d_slowfast" / "spatial_unpad_images.safetensors")
    merge = case["name"].partition(".")[2]
    grid = tiled(tensors[case["input"]], case["side"], tiling_of(case), tensors[f"{case['name']}.newline"])
    layout = Anyres(merge=merge)
    made = tokens(layout.arrange(grid))
    torch.testing.assert_close(made, tensors[f"{case['name']}.out"], rtol=0, atol=1e-6)
    assert layout.count(grid.shape) == case["out_tokens"] == len(made)


@pytest.mark.parametrize(
    "case", [c for c in cases("c_unires/cases.json") if c["kind"] == "image"], ids=lambda c: c["name"]
)
def test_unires_image_is_longvas(case: dict[str, Any]) -> None:
    tensors = load_file(GOLDEN / "c_unires" / "unires.safetensors")
    tiling = tiling_of(case) if "grid_wh" in case else None
    grid = tiled(tensors[f"{case['name']}.in"], case["side"], tiling)
    made = tokens(UniresImage().arrange(grid))
    torch.testing.assert_close(made, tensors[f"{case['name']}.out"], rtol=0, atol=1e-6)
    assert UniresImage().count(grid.shape) == len(made)


TILINGS = [
    (Tiling(60, 90, 1, 2),),
    (Tiling(300, 40, 3, 1), Tiling(40, 300, 1, 3)),
    (Tiling(100, 100, 2, 2), Tiling(1, 500, 1, 2), Tiling(7, 5, 2, 1)),
]


@pytest.mark.parametrize(
    "name", [name for name in parts.names("layouts") if view_of(parts.find("layouts", name)()).tiled]
)
@pytest.mark.parametrize("tilings", TILINGS)
@pytest.mark.parametrize("newline", [False, True])
def test_count_is_what_is_arranged_of_tiles(name: str, tilings: tuple[Tiling, ...], newline: bool) -> None:
    layout: Layout = parts.find("layouts", name)()
    views = sum(tiling.views for tiling in tilings)
    newline_D = torch.full((3,), 9.0) if newline else None
    times_s = np.repeat(np.arange(len(tilings), dtype=np.float64), [tiling.views for tiling in tilings])
    grid = FeatureGrid(torch.rand(views, 6, 6, 3), times_s, newline_D, tilings)
    pieces = layout.arrange(grid)
    assert layout.count(grid.shape) == len(tokens(pieces))
    seen_s = [piece.times_s for piece in pieces if isinstance(piece, Visual)]
    assert [set(times_s) for times_s in seen_s] == [{float(number)} for number in range(len(tilings))]


def test_anyres_cuts_the_bars_off_and_ends_rows() -> None:
    """A picture twice as wide as high in 2 x 2 tiles of 2 x 2: the upper and the lower row of the four are bars."""
    values = torch.arange(20.0).reshape(5, 2, 2, 1)
    grid = FeatureGrid(values, np.zeros(5), torch.tensor([-1.0]), (Tiling(50, 100, 2, 2),))
    made = tokens(Anyres().arrange(grid))[:, 0].tolist()
    assert made == [0, 1, 2, 3, 6, 7, 10, 11, -1, 12, 13, 16, 17, -1]


def test_a_large_picture_is_scaled_down_to_the_most_tiles() -> None:
    """6 x 6 tiles of 4 x 4 are 576 features; 9 tiles have 144, so each side is halved."""
    tiling = Tiling(600, 600, 6, 6)
    grid = FeatureGrid(torch.rand(37, 4, 4, 2), np.zeros(37), None, (tiling,))
    assert Anyres().count(grid.shape) == 16 + 576
    assert Anyres(most_tiles=9).count(grid.shape) == len(tokens(Anyres(most_tiles=9).arrange(grid))) == 16 + 144


def test_onevision_keeps_odd_rows_and_ends_with_one_newline() -> None:
    grid = FeatureGrid(torch.ones(3, 27, 27, 2), np.arange(3.0), torch.full((2,), 7.0))
    (piece,) = Bilinear().arrange(grid)
    assert isinstance(piece, Visual)
    assert len(piece.tokens_ND) == Bilinear().count(grid.shape) == 3 * 14 * 14 + 1
    assert piece.tokens_ND[-1].tolist() == [7.0, 7.0] and torch.allclose(piece.tokens_ND[:-1], torch.ones(()))
    assert piece.times_s[-1] == 2.0


def test_pool3d_averages_frames_rows_and_columns() -> None:
    grid = FeatureGrid(torch.arange(32.0).reshape(4, 2, 4, 1), np.arange(4.0))
    (piece,) = Pool3d(frames=2, height=1, width=2).arrange(grid)
    assert isinstance(piece, Visual)
    by_hand = [torch.arange(32.0).reshape(4, 2, 4)[t : t + 2, :, w : w + 2].mean() for t in (0, 2) for w in (0, 2)]
    assert piece.tokens_ND[:, 0].tolist() == [float(value) for value in by_hand]
    assert piece.times_s.tolist() == [0.5, 0.5, 2.5, 2.5]


def test_two_tokens_are_the_upper_and_the_lower_half() -> None:
    grid = FeatureGrid(torch.tensor([[[[1.0], [3.0]], [[5.0], [9.0]]]]), np.array([4.0]))
    (piece,) = TwoTokens().arrange(grid)
    assert isinstance(piece, Visual) and piece.tokens_ND[:, 0].tolist() == [2.0, 7.0]


def test_frames_as_images_end_their_rows() -> None:
    grid = FeatureGrid(torch.ones(2, 4, 6, 1), np.arange(2.0), torch.tensor([5.0]))
    made = tokens(FramesAsImages().arrange(grid))[:, 0].tolist()
    assert made == [1, 1, 1, 5] * 4
    assert FramesAsImages().count(grid.shape) == 16


def test_stamps_say_the_time_before_each_frame() -> None:
    grid = FeatureGrid(torch.rand(2, 2, 2, 1), np.array([65.0, 3723.9]))
    pieces = Stamped().arrange(grid)
    assert [piece.text for piece in pieces if isinstance(piece, Text)] == ["0:01:05 ", "\n", "1:02:03 "]
    assert [type(piece) for piece in pieces] == [Text, Visual, Text, Text, Visual]
    assert [piece.text for piece in Stamped(form="seconds").arrange(grid)[::3] if isinstance(piece, Text)] == [
        "65.0s ",
        "3723.9s ",
    ]


def test_an_image_grid_says_how_many_frames_it_wants_on_a_picture() -> None:
    assert view_of(ImageGrid()) == View(tiled=True, rows=3, columns=2)
    assert view_of(ImageGrid(rows=1, columns=4, tiled=False)).frames == 4
    assert view_of(Bilinear()) == View()


def test_longvas_grids_choose_as_recorded_for_the_golden_pictures() -> None:
    for case in cases("c_unires/cases.json"):
        if (
            case["kind"] == "image"
            and case.get("pinpoints") == "longva_finetune_sh (see b_preproc/anyres_grid_select_336.json)"
        ):
            width, height = case["image_size_wh"]
            assert best_grid(width, height, side_px=336, choices=grids(49, least=2)) == tuple(case["grid_wh"])
