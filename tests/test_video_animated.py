"""Pictures that move: GIF against Pillow, frame by frame; AVIF read as the film that it holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from longtake.video.opening import open_video
from media import numbered
from media.numbered import Coding

KEEP, TO_BACKGROUND, TO_PREVIOUS = 1, 2, 3
DURATIONS_MS = [50 * (place + 1) for place in range(8)]


def write_gif(path: Path, disposal: int | list[int], *, transparent: bool) -> Path:
    """A bar that moves over nothing, or over a plain ground, and a post that grows."""
    pictures = []
    for number in range(len(DURATIONS_MS)):
        pixels = np.zeros((30, 40, 4), np.uint8)
        if not transparent:
            pixels[:] = (20, 40, 60, 255)
        pixels[5:20, number * 4 : number * 4 + 8] = (200, 30 * number, 90, 255)
        pixels[25 - number :, 30:] = (10, 200, 30, 255)
        pictures.append(Image.fromarray(pixels))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=DURATIONS_MS, loop=0, disposal=disposal)
    return path


def by_pillow(path: Path) -> list[NDArray[np.int64]]:
    """Every frame as Pillow composes it, over white."""
    shown = []
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            page = Image.new("RGBA", picture.size, "white")
            page.alpha_composite(picture.convert("RGBA"))
            shown.append(np.asarray(page.convert("RGB")).astype(np.int64))
    return shown


MIXED = [KEEP, TO_BACKGROUND, TO_PREVIOUS, KEEP, TO_BACKGROUND, TO_PREVIOUS, KEEP, TO_BACKGROUND]


@pytest.mark.parametrize(
    ("disposal", "transparent"),
    [(0, False), (KEEP, False), (TO_BACKGROUND, False)]
    + [(disposal, True) for disposal in (0, KEEP, TO_BACKGROUND, TO_PREVIOUS, MIXED)],
)
def test_gif_frames_are_those_of_pillow(tmp_path: Path, disposal: int | list[int], transparent: bool) -> None:
    """What a frame leaves behind, and what shows through it. Where Pillow's own writer and reader disagree (an opaque
    first frame that is to be taken back) nothing can be compared."""
    path = write_gif(tmp_path / "moving.gif", disposal, transparent=transparent)
    video = open_video(path)
    np.testing.assert_allclose(video.times_s, np.cumsum([0, *DURATIONS_MS[:-1]]) / 1000, atol=1e-6)
    wanted = by_pillow(path)
    assert len(video.numbers) == len(wanted) == len(DURATIONS_MS)
    for number in (7, 0, 3, 1, 6, 2, 5, 4):
        image = next(video.read([number])).pixels_TCHW[0].transpose(1, 2, 0)
        assert (image == wanted[number]).all(), number


def test_animated_avif_is_read_as_a_film(tmp_path: Path) -> None:
    """It holds its first picture twice: as a still, and as the start of a film. Both have the same size."""
    coding = Coding(codec="libsvtav1", options={"preset": "8", "crf": "20", "svtav1-params": "lp=1"})
    path = numbered.write(tmp_path / "moving.avif", coding, frames=12)
    if hasattr(os, "sched_getscheduler"):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER, "the encoder's real-time priority stays with this thread"
    assert path.read_bytes()[8:12] == b"avis"
    video = open_video(path)
    np.testing.assert_allclose(video.times_s, np.arange(12) / 25, atol=1e-3)
    images = [image.transpose(1, 2, 0) for some in video.read(video.numbers) for image in some.pixels_TCHW]
    assert [numbered.read(image) for image in images] == list(range(12))
    assert not any("still" in note for note in video.notes)
