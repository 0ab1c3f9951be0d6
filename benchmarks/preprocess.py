"""benchmarks: what making a 1280 x 720 frame into the 336 x 336 picture of CLIP costs, and what `fast` gives up for it.

    python benchmarks/preprocess.py            # 11 frames, 15 rounds
    python benchmarks/preprocess.py --smoke    # 2 frames, 2 rounds: shows that it runs; always exits 0

All roads see the same frames, in turn, in one process on one thread, and each makes one normalised float32 picture of
one frame; the median processor time over frames and rounds counts. The error is taken against transformers' PIL path,
in normalised units (one step of 255 is about 0.015). Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessorPil

from longtake.vision.pixels import PixelRecipe

BUNNY = Path(__file__).resolve().parents[1] / "tests" / "media" / "bigbuckbunny_720p_5s.mp4"
SIDE_PX = 336
TARGETS = {"speedup": {"at_least": 5.0}, "mean_error": {"below": 1e-4}}
"""Of `fast` against transformers' PIL path (issue: ask an hour-long video a question)."""

Road = Callable[[NDArray[np.uint8]], torch.Tensor]


def frames(count: int) -> list[NDArray[np.uint8]]:
    """`count` frames of 1280 x 720, spread over the bundled real clip; drawn ones where it is missing."""
    if not BUNNY.is_file():
        print("the bundled clip is missing: drawn frames are used")
        return [drawn_frame(seed) for seed in range(count)]
    with av.open(str(BUNNY)) as container:
        decoded = [frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False) for frame in container.decode(video=0)]
    return decoded[:: max(1, len(decoded) // count)][:count]


def drawn_frame(seed: int) -> NDArray[np.uint8]:
    """Noise that is the weaker the finer it is, as in photographs."""
    random = np.random.default_rng(seed)
    picture = np.zeros((720, 1280, 3))
    for cell_px in (2, 4, 8, 16, 32, 64, 128):
        coarse = random.integers(0, 256, (-(-720 // cell_px), 1280 // cell_px, 3), dtype=np.uint8)
        picture += cell_px * np.asarray(Image.fromarray(coarse).resize((1280, 720)), dtype=float)
    return np.clip(picture / 254, 0, 255).astype(np.uint8)


def roads() -> dict[str, Road]:
    """Each way from a frame to a normalised picture, by name."""
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE_PX}, crop_size={"height": SIDE_PX, "width": SIDE_PX})

    def transformers_pil(image_HWC: NDArray[np.uint8]) -> torch.Tensor:
        picture: torch.Tensor = processor(image_HWC, return_tensors="pt")["pixel_values"][0]
        return picture

    def ours(recipe: PixelRecipe) -> Road:
        return lambda image_HWC: recipe.normalise(torch.from_numpy(recipe.shrink(image_HWC)[None]))[0]

    return {
        "transformers_pil": transformers_pil,
        "exact": ours(PixelRecipe(SIDE_PX, method="exact")),
        "fast": ours(PixelRecipe(SIDE_PX, method="fast")),
    }


def milliseconds(ways: dict[str, Road], images: list[NDArray[np.uint8]], rounds: int) -> dict[str, float]:
    """The median processor time of one frame on each road; the first round, which warms up, is left out."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for image in images:
            for name, road in ways.items():
                begin = time.process_time()
                road(image)
                if number > 0:
                    taken[name].append(1000 * (time.process_time() - begin))
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few frames and rounds, and no verdict by exit status")
    smoke = parser.parse_args().smoke
    torch.set_num_threads(1)
    images = frames(2 if smoke else 11)
    ways = roads()
    took_ms = milliseconds(ways, images, rounds=2 if smoke else 15)
    errors = {
        name: torch.stack([(road(image) - ways["transformers_pil"](image)).abs() for image in images])
        for name, road in ways.items()
    }
    print(f"1280 x 720 -> {SIDE_PX} x {SIDE_PX}, {len(images)} frames; median of a frame; errors in normalised units")
    for name in ways:
        print(
            f"  {name:17} {took_ms[name]:6.2f} ms  {took_ms['transformers_pil'] / took_ms[name]:5.2f} x"
            f"   mean error {float(errors[name].mean()):.1e}, largest {float(errors[name].max()):.1e}"
        )
    figures = {
        **{f"{name}_ms": round(took, 3) for name, took in took_ms.items()},
        "speedup": round(took_ms["transformers_pil"] / took_ms["fast"], 2),
        "mean_error": float(errors["fast"].mean()),
    }
    ok = figures["speedup"] >= TARGETS["speedup"]["at_least"] and figures["mean_error"] < TARGETS["mean_error"]["below"]
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok or smoke else 1


if __name__ == "__main__":
    sys.exit(main())
