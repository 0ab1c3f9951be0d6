"""fuzz/damage: what is left out, and what comes out visibly wrong, where bytes of frames are damaged; a table by codec.

    python -m tests.fuzz.damage --rounds 20 --seed 1

Containers stay whole: only bytes inside the packets of the video are changed. Each file is read with damage left out.
A frame that comes out is compared with that of the sound file at the same time; it is wrong where at least 1 % of its
pixels are off by more than 32 of 255.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.errors import LongtakeError
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions

from .seeds import Seed, seeds

CODECS = (
    "h264_1s.mp4", "h264_open.mkv", "h264_refresh.mp4", "h264_slices.mkv", "h264.ts", "h264.h264", "hevc.mp4",
    "hevc_open.mkv", "hevc.hevc", "vp8.webm", "vp8_alt.webm", "vp9.webm", "vp9_alt.webm", "av1.mp4", "mpeg2.mkv",
    "mpeg2.mpg",
    "mpeg4.mp4", "flv1.flv", "mjpeg.mov", "ffv1.mkv", "prores.mov", "huffyuv.avi", "utvideo.avi", "png.mov",
)  # fmt: skip
OFF, SHARE = 32, 0.01
NEAR_S = 0.021

Damage = Callable[[bytearray, list[tuple[int, int]], random.Random], None]


def one_bit(data: bytearray, frames: list[tuple[int, int]], chance: random.Random) -> None:
    """One bit of one frame."""
    start, end = chance.choice(frames)
    data[chance.randrange(start, end)] ^= 1 << chance.randrange(8)


def hole(data: bytearray, frames: list[tuple[int, int]], chance: random.Random) -> None:
    """Zeros over a sixteenth of one frame, from anywhere in it."""
    start, end = chance.choice(frames)
    at = chance.randrange(start, end)
    length = min(max(1, (end - start) // 16), end - at)
    data[at : at + length] = bytes(length)


def tail(data: bytearray, frames: list[tuple[int, int]], chance: random.Random) -> None:
    """Zeros over the second half of one frame."""
    start, end = chance.choice(frames)
    data[(start + end) // 2 : end] = bytes(end - (start + end) // 2)


def noise(data: bytearray, frames: list[tuple[int, int]], chance: random.Random) -> None:
    """Noise over one whole frame."""
    start, end = chance.choice(frames)
    data[start:end] = chance.randbytes(end - start)


def tenth(data: bytearray, frames: list[tuple[int, int]], chance: random.Random) -> None:
    """Noise over stretches of 64 bytes that make up a tenth of all frames."""
    total = sum(end - start for start, end in frames)
    for _ in range(max(1, total // 640)):
        start, end = chance.choice(frames)
        at = chance.randrange(start, end)
        length = min(64, end - at)
        data[at : at + length] = chance.randbytes(length)


KINDS: tuple[Damage, ...] = (one_bit, hole, tail, noise, tenth)


def measured(seed: Seed, kind: Damage, *, rounds: int, chance: random.Random, folder: Path) -> Counter[str]:
    """Files and frames of one codec under one kind of damage."""
    path, counts = folder / seed.name, Counter[str]()
    path.write_bytes(seed.data)
    sound = _read(path)
    for _ in range(rounds):
        data = bytearray(seed.data)
        kind(data, list(seed.frames), chance)
        path.write_bytes(data)
        counts["files"] += 1
        try:
            came = _read(path)
        except LongtakeError:
            counts["files refused"] += 1
            counts["left out"] += len(sound)
            continue
        wrong = sum(_wrong(image, sound, time_s) for time_s, image in came)
        counts["wrong"] += wrong
        counts["left out"] += len(sound) - len(came)
        counts["files with wrong"] += wrong > 0
    return counts


def _read(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    chunks = video.read(video.numbers, chunk=1)
    return [(float(some.times_s[0]) + video.table.offset_s, some.pixels_TCHW[0]) for some in chunks]


def _wrong(image: NDArray[np.uint8], sound: list[tuple[float, NDArray[np.uint8]]], time_s: float) -> bool:
    true = next((other for at_s, other in sound if abs(at_s - time_s) < NEAR_S), None)
    if true is None or true.shape != image.shape:
        return True
    off = np.abs(image.astype(np.int16) - true).max(axis=0) > OFF
    return bool(off.mean() >= SHARE)


def main() -> int:
    """Measure and print the table, then one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.damage")
    parser.add_argument("--rounds", type=int, default=20, help="damaged files for each codec and kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=CODECS, metavar="NAME")
    asked = parser.parse_args()
    told: dict[str, dict[str, dict[str, int]]] = {}
    print(f"{'':18}" + "".join(f"{kind.__name__:>22}" for kind in KINDS))  # noqa: T201
    print(f"{'':18}" + f"{'left out, wrong, files':>22}" * len(KINDS))  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds(tuple(asked.only), frames=50):
            chance = random.Random(f"{asked.seed}/{seed.name}")
            row = {
                kind.__name__: dict(measured(seed, kind, rounds=asked.rounds, chance=chance, folder=Path(folder)))
                for kind in KINDS
            }
            told[seed.name] = row
            cells = (
                f"{one.get('left out', 0)}, {one.get('wrong', 0)}, {one.get('files with wrong', 0)}/{one['files']}"
                for one in row.values()
            )
            print(f"{seed.name:18}" + "".join(f"{cell:>22}" for cell in cells), flush=True)  # noqa: T201
    print(json.dumps(told))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
