"""A frame becomes the picture that a tower reads: Pillow's numbers, or within one step of them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from longtake.vision.pixels import CLIP_MEAN_3, Fit, Method, PixelRecipe, pad_to_square

FITS: list[Fit] = ["crop", "pad", "stretch"]
ODD_SIZES = [(720, 1280), (1280, 720), (321, 241), (100, 99), (2, 2), (1, 1), (1, 1080), (500, 7), (56, 56)]


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normalised(recipe: PixelRecipe, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    small = np.stack([recipe.shrink(image) for image in images])
    return cast("NDArray[np.float32]", recipe.normalise(torch.from_numpy(small)).numpy())


@pytest.fixture(scope="module")
def inputs(golden: Path) -> list[NDArray[np.uint8]]:
    images = load_file(golden / "b_preproc" / "inputs.safetensors")
    return [images[f"img{number}"] for number in range(6)]


@pytest.mark.parametrize(
    ("file", "key", "recipe"),
    [
        ("longva", "pad", PixelRecipe(56, fit="pad")),
        ("longva", "default", PixelRecipe(56, fit="crop")),
        ("sf", "pad", PixelRecipe(112, fit="pad")),
        ("sf", "resize", PixelRecipe(112, fit="stretch")),
    ],
)
def test_exact_gives_the_originals_numbers(
    golden: Path, inputs: list[NDArray[np.uint8]], file: str, key: str, recipe: PixelRecipe
) -> None:
    original = np.load(golden / "b_preproc" / f"{file}.npz")[key]
    np.testing.assert_allclose(normalised(recipe, inputs), original, rtol=0, atol=1e-6)


def test_exact_gives_the_originals_numbers_on_video_frames(golden: Path) -> None:
    recorded = np.load(golden / "b_preproc" / "longva.npz")
    ours = normalised(PixelRecipe(56), list(recorded["video_frames_uint8"]))
    np.testing.assert_allclose(ours, recorded["video_direct"], rtol=0, atol=1e-6)


def test_padding_makes_the_originals_square(golden: Path, inputs: list[NDArray[np.uint8]]) -> None:
    recorded = np.load(golden / "b_preproc" / "longva.npz")
    for number, image in enumerate(inputs):
        np.testing.assert_array_equal(pad_to_square(image, CLIP_MEAN_3), recorded[f"pad_square_uint8_{number}"])


def steps_between(recipe: PixelRecipe, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    exact, fast = (dataclasses.replace(recipe, method=method).shrink(image) for method in ("exact", "fast"))
    return np.abs(exact.astype(np.int64) - fast)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (1080, 1920), (1400, 360)])
@pytest.mark.parametrize("fit", FITS)
def test_fast_is_within_one_step_of_exact_where_every_side_shrinks_to_half(fit: Fit, size: tuple[int, int]) -> None:
    for image in (noise(*size), noise(*size) // 128 * 255):
        assert steps_between(PixelRecipe(128, fit=fit), image).max() <= 1


@pytest.mark.parametrize("size", ODD_SIZES)
@pytest.mark.parametrize("fit", FITS)
def test_fast_is_within_one_step_of_exact_at_odd_sizes(fit: Fit, size: tuple[int, int]) -> None:
    for image in (noise(*size), noise(*size) // 128 * 255):
        assert steps_between(PixelRecipe(64, fit=fit), image).max() <= 1


@pytest.mark.parametrize("size", [(480, 854), (340, 340), (400, 600), (671, 671)])
def test_two_steps_between_fast_and_exact_are_rarer_than_1_in_20_000(size: tuple[int, int]) -> None:
    blurred = Image.fromarray(noise(size[0] // 16, size[1] // 16)).resize((size[1], size[0]))
    for image in (noise(*size), noise(*size) // 128 * 255, np.asarray(blurred)):
        steps = steps_between(PixelRecipe(336), image)
        assert steps.max() <= 2 and (steps == 2).mean() < 1 / 20_000


@pytest.mark.parametrize("fit", FITS)
def test_fast_is_within_one_step_of_exact_on_the_golden_pictures(fit: Fit, inputs: list[NDArray[np.uint8]]) -> None:
    assert (
        max(steps_between(PixelRecipe(side, fit=fit), image).max() for image in inputs for side in (56, 112, 336)) <= 1
    )


def test_fast_is_close_to_exact_on_real_frames(bunny: Path) -> None:
    with av.open(str(bunny)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::40]
    exact = normalised(PixelRecipe(336), frames)
    fast = normalised(PixelRecipe(336, method="fast"), frames)
    assert np.abs(exact - fast).mean() < 1e-4


@pytest.mark.parametrize("method", ["exact", "fast"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", ODD_SIZES)
def test_any_size_becomes_one_small_contiguous_square(fit: Fit, method: Method, size: tuple[int, int]) -> None:
    colour = (122, 116, 104)  # also that of the bars: CLIP's mean
    small = PixelRecipe(28, fit=fit, method=method).shrink(np.full((*size, 3), colour, dtype=np.uint8))
    assert small.shape == (3, 28, 28) and small.dtype == np.uint8 and small.flags["C_CONTIGUOUS"]
    assert (small == np.reshape(colour, (3, 1, 1))).all()


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_crop_keeps_the_middle_pad_adds_bars_stretch_keeps_all(method: Method) -> None:
    left, middle, right = (np.full((40, 40, 3), value, dtype=np.uint8) for value in (0, 100, 200))
    wide = np.concatenate([left, middle, right], axis=1)
    crop = PixelRecipe(20, fit="crop", method=method).shrink(wide)
    assert (crop[:, :, 4:-4] == 100).all()
    stretch = PixelRecipe(30, fit="stretch", method=method).shrink(wide)
    assert stretch[0, 15, [2, 15, 27]].tolist() == [0, 100, 200]
    pad = PixelRecipe(30, fit="pad", method=method, mean_3=(0.2, 0.4, 0.6)).shrink(wide)
    assert pad[:, 3, 15].tolist() == [51, 102, 153]
    assert pad[0, 15, [2, 15, 27]].tolist() == [0, 100, 200]


def test_a_very_long_picture_is_cropped_as_if_resized_whole() -> None:
    image = noise(7, 400)
    whole = Image.fromarray(image).resize((28 * 400 // 7, 28), Image.Resampling.BICUBIC)
    left = (28 * 400 // 7 - 28) // 2
    expected = np.asarray(whole)[:, left : left + 28].transpose(2, 0, 1)
    assert np.abs(PixelRecipe(28).shrink(image).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_memory_order_does_not_matter(method: Method) -> None:
    recipe = PixelRecipe(32, method=method)
    image = noise(90, 50)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(recipe.shrink(mirrored), recipe.shrink(mirrored.copy()))
    frozen = image.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(recipe.shrink(frozen), recipe.shrink(image))
    np.testing.assert_array_equal(recipe.shrink(np.rot90(image)), recipe.shrink(np.rot90(image).copy()))


def test_shrinking_and_normalising_leave_their_input_alone() -> None:
    recipe = PixelRecipe(32, method="fast")
    image = noise(32, 32)
    before = image.copy()
    small = torch.from_numpy(recipe.shrink(image)[None])
    recipe.normalise(small)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(small[0].numpy(), before.transpose(2, 0, 1))


def test_normalising_by_hand() -> None:
    recipe = PixelRecipe(1, mean_3=(0.0, 0.2, 1.0), std_3=(1.0, 0.4, 0.5))
    pixels = torch.tensor([255, 51, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert recipe.normalise(pixels).flatten().tolist() == pytest.approx([1.0, 0.0, -2.0], abs=1e-6)
    assert recipe.normalise(pixels).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong",
    [
        {"side_px": 0},
        {"side_px": 8, "fit": "squash"},
        {"side_px": 8, "method": "quick"},
        {"side_px": 8, "std_3": (0.1, 0.0, 0.1)},
        {"side_px": 8, "mean_3": (0.1, 0.1)},
    ],
)
def test_a_wrong_recipe_is_refused_when_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="want"):
        PixelRecipe(**wrong)


def test_what_is_not_a_picture_is_refused() -> None:
    recipe = PixelRecipe(8)
    for shape in ((3, 9, 9), (9, 9), (0, 9, 3)):
        with pytest.raises(ValueError, match=r"want uint8 \(H, W, 3\)"):
            recipe.shrink(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="want uint8"):
        recipe.shrink(np.zeros((9, 9, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="want uint8"):
        recipe.normalise(torch.zeros(1, 3, 8, 8))


def test_the_benchmark_runs_and_ends_in_one_line_of_json() -> None:
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "preprocess.py"
    done = subprocess.run([sys.executable, str(script), "--smoke"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"figures", "targets", "ok"} and set(last["targets"]) <= set(last["figures"])
    assert all(figure > 0 for figure in last["figures"].values())
    assert last["figures"]["mean_error"] < last["targets"]["mean_error"]["below"]
