"""Frames go through tower and projector in chunks, and no chunking changes what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from longtake.video import Frames
from longtake.vision import GridShape, VisionEncoder
from longtake.vision.encoding import Encoder, rechunk
from longtake.vision.pixels import PixelRecipe
from longtake.vision.projector import Projector


class SmallTower(nn.Module):
    """A real patch embedding with one convolution: (T, 3, 16, 16) -> (T, 4, 4, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, kernel_size=4, stride=4)

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.patches(pixels_TCHW)).permute(0, 2, 3, 1)


def encoder(chunk_frames: int = 4, dtype: torch.dtype = torch.float32) -> Encoder:
    torch.manual_seed(0)
    tower, projector = SmallTower().to(dtype), nn.Linear(6, 5).to(dtype)
    return Encoder(PixelRecipe(16), tower, projector, patch_px=4, at_once=chunk_frames)


def film(count: int) -> Frames:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)
    return Frames(pixels, np.arange(count) * 0.5, np.arange(count) * 7)


def cut(frames: Frames, sizes: list[int]) -> Iterator[Frames]:
    edges = np.cumsum([0, *sizes])
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        yield Frames(frames.pixels_TCHW[start:stop], frames.times_s[start:stop], frames.numbers[start:stop])


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [4, 4, 3], [5, 6], [0, 9, 0, 2], [10, 1]])
@pytest.mark.parametrize("chunk_frames", [1, 2, 4, 11, 100])
def test_chunked_equals_whole(sizes: list[int], chunk_frames: int) -> None:
    frames = film(11)
    model = encoder(chunk_frames)
    with torch.no_grad():
        whole = model.projector(model.tower(model.recipe.normalise(torch.from_numpy(frames.pixels_TCHW))))
    grid = model.encode(cut(frames, sizes))
    assert grid.values_THWD.shape == (11, 4, 4, 5)
    torch.testing.assert_close(grid.values_THWD, whole, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(grid.times_s, frames.times_s)


def test_rechunking_keeps_every_frame_in_order_in_chunks_of_one_size() -> None:
    chunks = list(rechunk(cut(film(23), [3, 1, 9, 0, 2, 8]), 5))
    assert [len(chunk.times_s) for chunk in chunks] == [5, 5, 5, 5, 3]
    assert np.concatenate([chunk.numbers for chunk in chunks]).tolist() == [7 * place for place in range(23)]
    np.testing.assert_array_equal(np.concatenate([chunk.pixels_TCHW for chunk in chunks]), film(23).pixels_TCHW)


def test_frames_are_taken_as_they_come_not_all_before_the_first_chunk() -> None:
    taken: list[int] = []

    def stream() -> Iterator[Frames]:
        for number, frames in enumerate(cut(film(12), [2] * 6)):
            taken.append(number)
            yield frames

    seen: list[tuple[int, int]] = []
    encoder(chunk_frames=4).encode(stream(), progress=lambda done: seen.append((done, len(taken))))
    assert seen == [(4, 2), (8, 4), (12, 6)]


def test_features_stand_where_their_patch_is() -> None:
    dark = np.zeros((1, 3, 16, 16), dtype=np.uint8)
    lit = dark.copy()
    lit[:, :, 4:8, 8:12] = 255
    model = encoder()
    grids = [model.encode([Frames(pixels, np.zeros(1), np.zeros(1, int))]).values_THWD[0] for pixels in (dark, lit)]
    changed = (grids[0] != grids[1]).any(-1).nonzero().tolist()
    assert changed == [[1, 2]]


def test_the_towers_dtype_is_used_and_nothing_is_kept_for_gradients() -> None:
    grid = encoder(dtype=torch.bfloat16).encode([film(3)])
    assert grid.values_THWD.dtype == torch.bfloat16
    assert not grid.values_THWD.requires_grad


def test_the_door_is_kept() -> None:
    door: VisionEncoder = encoder()
    assert door.shape_of(5, (90, 160), tiled=False) == GridShape(5, 4, 4)
    assert door.shrinker(tiled=False)(np.zeros((90, 160, 3), dtype=np.uint8)).shape == (3, 16, 16)


@pytest.mark.parametrize("frames", [[], [film(0)]])
def test_no_frames_is_refused(frames: list[Frames]) -> None:
    with pytest.raises(ValueError, match="no frames to encode"):
        encoder().encode(frames)


def test_frames_that_were_not_shrunk_are_refused() -> None:
    large = Frames(np.zeros((2, 3, 20, 30), dtype=np.uint8), np.zeros(2), np.zeros(2, int))
    with pytest.raises(ValueError, match="frames are 20 x 30; want 16 x 16"):
        encoder().encode([large])


def test_a_tower_with_another_grid_is_refused() -> None:
    model = Encoder(PixelRecipe(16), SmallTower(), nn.Identity(), patch_px=8)
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 6\); want \(1, 2, 2\)"):
        model.encode([film(1)])


@pytest.mark.parametrize(("patch_px", "chunk_frames"), [(0, 4), (17, 4), (4, 0)])
def test_sizes_that_cannot_be_are_refused(patch_px: int, chunk_frames: int) -> None:
    with pytest.raises(ValueError, match="want"):
        Encoder(PixelRecipe(16), SmallTower(), nn.Identity(), patch_px=patch_px, at_once=chunk_frames)


@pytest.mark.parametrize(
    ("side_px", "views", "small_views"),
    [(16, 32, 32), (96, 32, 32), (224, 6, 13), (336, 2, 5), (384, 2, 4), (1024, 1, 1)],
)
def test_a_processor_takes_few_large_views_at_once(side_px: int, views: int, small_views: int) -> None:
    own = Encoder(PixelRecipe(side_px), SmallTower(), nn.Identity(), patch_px=4)
    assert own.chunk_frames == views
    assert replace(own, tower=SmallTower().to(torch.bfloat16)).chunk_frames == small_views
    assert replace(own, at_once=7).chunk_frames == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_that_are_a_part_of_something_are_projected_as_rows(dtype: torch.dtype) -> None:
    """Without its class token a view's features do not lie side by side. torch then multiplied each row of each view by
    a copy of the matrix of its own: at LongVA's shapes 5.6 GB, and ten times the time."""
    generator = torch.Generator().manual_seed(0)
    projector = Projector(in_width=96, hidden_width=80, out_width=64).to(dtype).requires_grad_(False)
    states_TNC = torch.randn(3, 1 + 6 * 4, 96, generator=generator).to(dtype)
    part_THWC = states_TNC[:, 1:].unflatten(1, (6, 4))
    assert not part_THWC.is_contiguous()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        projected_THWD = projector(part_THWC)
    assert torch.equal(projected_THWD, projector(part_THWC.contiguous()))
    assert "aten::bmm" not in {event.name for event in watched.events() or ()}
    assert torch.equal(projector(states_TNC[:, 0]), projector(states_TNC[:, 0].contiguous()))
