"""Pictures and several files in one question: real files through the whole chain, tiles as the originals cut them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import longtake
import tiny
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.layouts.anyres import Anyres
from longtake.layouts.grid import Grid
from longtake.layouts.image_grid import ImageGrid
from longtake.layouts.slowfast import SlowFast
from longtake.layouts.unires_image import UniresImage
from longtake.pipeline import ask, logprobs, watch
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.samplers.uniform import Uniform
from longtake.video import Frames
from longtake.video.opening import open_video
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import PixelRecipe
from longtake.vision.sheets import GREY, sheets
from longtake.vision.tiles import best_grid, grids
from running import Cli

GOLDEN = Path(__file__).parent / "golden" / "b_preproc"
QUESTION = "what number is on the red star?"
FEW = GenerateOptions(max_new_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("nano"))), device="cpu")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of other sizes and colours."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (70, 110, 3)), ("b.png", (120, 50, 3))):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / name)
    return [folder / "a.png", folder / "b.png"]


class Through(nn.Module):
    """Lets pictures through as their own features, one for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        return pixels_TCHW.permute(0, 2, 3, 1) * self.scale


def seen_by(encoder: Encoder, image_HWC: NDArray[np.uint8]) -> torch.Tensor:
    """(V, 3, side, side): what the tower is given of a picture and its tiles."""
    height, width = image_HWC.shape[:2]
    shape = encoder.shape_of(1, (height, width), tiled=True)
    small_CHW = encoder.shrinker(tiled=True)(image_HWC)
    frames = Frames(small_CHW[None], np.zeros(1), np.zeros(1, dtype=np.int64))
    grid = encoder.encode([frames], tilings=shape.tilings)
    assert grid.shape == shape
    return grid.values_THWD.permute(0, 3, 1, 2)


@pytest.mark.parametrize("repository", ["longva", "sf"])
def test_every_picture_gets_the_recorded_grid_of_tiles(repository: str) -> None:
    told = json.loads((GOLDEN / f"{repository}_anyres_grids.json").read_text())
    side = told["clip_size"]
    tiles = grids(49, least=2) if repository == "longva" else [(w // side, h // side) for w, h in told["pinpoints"]]
    assert len(told["grids"]) == 6
    for row in told["grids"].values():
        width, height = row["size_wh"]
        columns, rows = best_grid(width, height, side_px=side, choices=tiles)
        assert [columns, rows] == row["grid_wh"]
        assert [columns * side, rows * side] == row["best_resolution_wh"]


@pytest.mark.parametrize(
    ("repository", "number"),
    [*(("longva", number) for number in range(6)), *(("sf", number) for number in (0, 1, 2, 4))],
)
def test_a_picture_and_its_tiles_are_the_originals(repository: str, number: int) -> None:
    """Of SlowFast-LLaVA's code four of the six pictures were recorded."""
    told = json.loads((GOLDEN / f"{repository}_anyres_grids.json").read_text())
    recorded = np.load(GOLDEN / f"{repository}.npz")
    side = told["clip_size"]
    tiles = grids(49, least=2) if repository == "longva" else [(w // side, h // side) for w, h in told["pinpoints"]]
    encoder = Encoder(PixelRecipe(side), Through(), nn.Identity(), patch_px=1, tiles=tuple(tiles))
    image_HWC = load_file(GOLDEN / "inputs.safetensors")[f"img{number}"].numpy()
    np.testing.assert_allclose(seen_by(encoder, image_HWC).detach(), recorded[f"anyres_{number}"], atol=1e-6)


def test_a_picture_is_asked_as_a_frame_is(model: Model, photos: list[Path]) -> None:
    """nano's layout for pictures is its layout for frames: 2 x 2 features, one token."""
    watched = watch(model, open_video(photos[0]))
    (look,) = watched.looks
    assert (look.still, look.visual_tokens, look.numbers.tolist(), look.times_s.tolist()) == (True, 1, [0], [0.0])
    assert look.parts["layout"]["name"] == "grid"
    assert ask(model, watched, QUESTION, FEW).text


def test_the_layout_for_pictures_is_taken_for_pictures_alone(model: Model, photos: list[Path], bunny: Path) -> None:
    """70 x 110 in tiles of 48 makes 1 x 2 of LLaVA's grids; two tiles and the whole, 2 x 2 features each."""
    tiled = replace(model, image_layout=Anyres(merge="flat"), sampler=Uniform(3))
    watched = watch(tiled, [open_video(photos[0]), open_video(bunny), open_video(photos[1])])
    assert [look.still for look in watched.looks] == [True, False, True]
    assert [look.parts["layout"]["name"] for look in watched.looks] == ["anyres", "grid", "anyres"]
    first, film, second = (look.visual_tokens for look in watched.looks)
    assert film == 3 and first % 4 == second % 4 == 0 and min(first, second) >= 12
    answer = ask(tiled, watched, QUESTION, FEW)
    assert answer.tokens["visual"] == first + film + second
    assert [len(file["frames"]) for file in answer.as_dict()["files"]] == [1, 3, 1]  # type: ignore[attr-defined]


def test_files_come_in_order_with_the_templates_joint_between(
    model: Model, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Prompt] = []
    prefill = type(model.engine).prefill

    def noted(engine: Any, prompt: Prompt, **options: Any) -> Any:
        read.append(prompt)
        return prefill(engine, prompt, **options)

    monkeypatch.setattr(type(model.engine), "prefill", noted)
    both = watch(model, [open_video(path) for path in photos])
    alone = [watch(model, open_video(path)) for path in photos]
    joint = model.tokenizer.encode(model.image_template.joint)
    together, first, second = (prompt.token_ids_L.tolist() for prompt in read)
    assert together == [*first, *joint, VISUAL_PLACE] and first == second and first[-1] == VISUAL_PLACE
    torch.testing.assert_close(read[0].visual_ND, torch.cat([read[1].visual_ND, read[2].visual_ND]))
    assert both.visual_tokens == sum(one.visual_tokens for one in alone) == 2


def test_the_order_of_pictures_matters(model: Model, photos: list[Path]) -> None:
    one, other = (watch(model, [open_video(path) for path in order]) for order in (photos, photos[::-1]))
    assert (logprobs(model, one, QUESTION, "red") - logprobs(model, other, QUESTION, "red")).abs().max() > 1e-4


def test_too_many_pictures_are_refused_before_decoding(model: Model, photos: list[Path]) -> None:
    small = replace(model, engine=replace(model.engine, trained_context=160), image_layout=UniresImage(pool=1))
    with pytest.raises(LongtakeError) as caught:
        watch(small, [open_video(path) for path in photos * 4])
    assert caught.value.code is ErrorCode.LIMIT_CONTEXT
    assert caught.value.reason.startswith("8 frames of 8 files make ")


def test_frames_lie_on_a_sheet_in_reading_order() -> None:
    frames = [
        Frames(np.full((1, 3, 2, 4), 10 * number, np.uint8), np.array([float(number)]), np.array([number]))
        for number in range(1, 6)
    ]
    first, second = sheets(frames, 2, 2, shrink=lambda image_HWC: image_HWC.transpose(2, 0, 1).copy())
    assert first.pixels_TCHW[0, 0, ::2, ::4].tolist() == [[10, 20], [30, 40]]
    assert second.pixels_TCHW[0, 0, ::2, ::4].tolist() == [[50, GREY], [GREY, GREY]]
    assert (first.times_s.tolist(), second.times_s.tolist()) == ([2.5], [5.0])
    assert (first.numbers.tolist(), second.numbers.tolist()) == ([1], [5])


def test_an_image_grid_is_one_picture_of_six_frames(model: Model, bunny: Path) -> None:
    video = open_video(bunny)
    grid = replace(model, layout=ImageGrid(tiled=False), sampler=Uniform(8))
    watched = watch(grid, video)
    assert watched.visual_tokens == 2 * 4, "two pictures of 2 x 2 features, for 6 and for 2 frames"
    assert len(watched.looks[0].numbers) == 8
    tiled = watch(replace(model, layout=ImageGrid(), sampler=Uniform(6)), video)
    assert tiled.visual_tokens > 4
    assert ask(grid, watched, QUESTION, FEW).text


@pytest.mark.parametrize(
    "layout", [Grid(), Anyres(), UniresImage(), SlowFast(slow_frames=1, fast_height=1, fast_width=1)]
)
def test_any_layout_takes_pictures(model: Model, photos: list[Path], layout: Any) -> None:
    watched = watch(replace(model, image_layout=layout), [open_video(path) for path in photos])
    assert watched.prefix.length > watched.visual_tokens > 1


def test_the_command_line_takes_several_files(cli: Cli, photos: list[Path], bunny: Path, tmp_path: Path) -> None:
    folder = str(tiny.checkpoint(tmp_path / "model"))
    asked = ("ask", *photos, bunny, QUESTION, "--model", folder, "--max-new-tokens", "2", "--frames", "3")
    found = cli.json(*asked)
    assert [(file["path"], file["still"], len(file["frames"])) for file in found["files"]] == [
        (str(photos[0]), True, 1),
        (str(photos[1]), True, 1),
        (str(bunny), False, 3),
    ]
    status, _, err = cli(*asked)
    assert status == 0 and "; 3 frames; 2 pictures; " in err
    tiled = cli.json("ask", photos[0], QUESTION, "--model", folder, "--layout", "anyres", "--max-new-tokens", "1")
    assert tiled["files"][0]["parts"]["layout"]["name"] == "anyres"
    status, _, err = cli("ask", photos[0], photos[0].with_name("none.png"), QUESTION, "--model", folder)
    assert status == 3 and "none.png" in err
