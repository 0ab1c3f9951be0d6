"""benchmarks: what reading frames of a long 720p film costs, beside decord, and what memory it takes.

    python benchmarks/frames.py            # 20 minutes of film, 256 and 2,000 frames, 3 rounds: about 10 minutes
    python benchmarks/frames.py --smoke    # 40 seconds of film, few frames, 1 round: shows that it runs; always exits 0

The film is made once and kept in --workdir: 80 s of Big Buck Bunny (the bundled clip, panned, zoomed and cut) through
x264 at its default settings, B-frames included, and those packets repeated to the full length; each repeat costs a
decoder what the first did. Every run is a process of its own, in turn, so that a busy moment of the machine hits all
alike; the median of the rounds counts. Processor time is user and system time of all threads from opening the file to
the last frame, imports left out. The same frames are asked of both: `int(linspace(0, n - 1, k))`.

Ends with one line of JSON: {"figures", "targets", "ok"}; `ok` is null where decord is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BUNNY = Path(__file__).resolve().parents[1] / "tests" / "media" / "bigbuckbunny_720p_5s.mp4"
WIDTH, HEIGHT, FPS = 1280, 720, 25
SHRUNK_PX = 336
COMPARED = 8
BT709, LIMITED = 1, 1
TARGETS = {"cpu_over_decord": {"at_most": 1.0}, "memory_many_over_few": {"at_most": 1.3}}
"""longtake's processor time over decord's; its peak memory for many frames (2,000) over that for few (100), each shrunk
to 336 x 336 (issue: ask an hour-long video a question)."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    unique_s: int
    repeats: int
    frames: int
    few: int
    many: int
    rounds: int


FULL = Plan(unique_s=80, repeats=15, frames=256, few=100, many=2000, rounds=3)
SMOKE = Plan(unique_s=2, repeats=20, frames=16, few=40, many=80, rounds=1)


def film(plan: Plan, folder: Path) -> Path:
    """The film of this plan, made if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"film_{plan.unique_s}s_x{plan.repeats}.mp4"
    if not path.exists():
        print(f"making {path} ...", flush=True)
        unfinished = path.with_suffix(".part.mp4")
        write_film(plan, unfinished)
        unfinished.rename(path)
    return path


def write_film(plan: Plan, path: Path) -> None:
    """Encode the unique part, then write its packets again and again, each time later."""
    count = plan.unique_s * FPS
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        codec = stream.codec_context
        codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc = BT709, LIMITED, BT709, BT709
        codec.time_base = Fraction(1, FPS)
        packets = []
        for number, picture in enumerate(pictures(count)):
            frame = av.VideoFrame.from_ndarray(picture)
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = number, codec.time_base
            packets += stream.encode(frame)
        packets += stream.encode()
        for repeat in range(plan.repeats):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
                copy.pts, copy.dts = packet.pts + repeat * count, packet.dts + repeat * count
                container.mux(copy)


def pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Shots of 3 to 6 s: the clip forwards or backwards from anywhere, through a window that moves and zooms."""
    with av.open(str(BUNNY)) as container:
        clip = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    choose = np.random.default_rng(720)
    made = 0
    while made < count:
        length = int(choose.integers(3 * FPS, 6 * FPS))
        start, step = int(choose.integers(len(clip))), int(choose.choice([-1, 1]))
        (zoom, left, top), (zoom_to, left_to, top_to) = choose.uniform((0.5, 0, 0), (0.9, 1, 1), size=(2, 3))
        mirror = int(choose.choice([-1, 1]))
        for place in range(min(length, count - made)):
            done = place / length
            size = zoom + (zoom_to - zoom) * done
            x = (left + (left_to - left) * done) * (1 - size) * WIDTH
            y = (top + (top_to - top) * done) * (1 - size) * HEIGHT
            image = Image.fromarray(clip[(start + step * place) % len(clip)][:, ::mirror])
            box = (x, y, x + size * WIDTH, y + size * HEIGHT)
            yield np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box))
        made += min(length, count - made)


def shrink(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What keeps memory flat: the frame at the size of a vision tower."""
    small = Image.fromarray(image_HWC).resize((SHRUNK_PX, SHRUNK_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small).transpose(2, 0, 1)


def spread(total: int, count: int) -> list[int]:
    """`count` numbers from 0 to total - 1."""
    return np.linspace(0, total - 1, count, dtype=int).tolist()


def read_by_longtake(path: str, count: int, *, small: bool) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    from longtake.video.opening import open_video

    video = open_video(path)
    for frames in video.read(spread(len(video.times_s), count), shrink=shrink if small else None):
        yield from zip(frames.numbers.tolist(), frames.pixels_TCHW.transpose(0, 2, 3, 1), strict=True)


def read_by_decord(path: str, count: int, *, small: bool) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0))
    numbers = spread(len(reader), count)
    yield from zip(numbers, reader.get_batch(numbers).asnumpy(), strict=True)


READERS = {"longtake": read_by_longtake, "decord": read_by_decord}


def work(reader: str, path: str, count: int, *, small: bool, keep: str | None) -> dict[str, float]:
    """One run, in a process of its own: cpu and wall seconds, peak megabytes; some frames go to the file `keep`."""
    importlib.import_module("decord" if reader == "decord" else "longtake.video.opening")
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    kept = {}
    wanted = set(range(0, count, max(1, count // COMPARED)))
    for place, (number, image) in enumerate(READERS[reader](path, count, small=small)):
        if keep and place in wanted:
            kept[str(number)] = image.copy()
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if keep:
        np.savez(keep, **kept)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu_s, "wall_s": ended - began, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process had resident since it started."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a child's begins with what its parent had.
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(reader: str, path: Path, count: int, *, small: bool = False, keep: Path | None = None) -> dict[str, float]:
    """`work` in a child process."""
    command = [sys.executable, __file__, "--worker", json.dumps([reader, str(path), count, small, keep and str(keep)])]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(child.stdout)


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


def difference(ours: Path, theirs: Path) -> dict[str, float]:
    """How far the same frames of two readers lie apart, in steps of 255."""
    with np.load(ours) as mine, np.load(theirs) as other:
        assert list(mine) == list(other), "both were asked for the same frames"
        steps = np.stack([np.abs(mine[number].astype(int) - other[number]) for number in mine])
    return {"pixel_mean_difference": round(float(steps.mean()), 4), "pixel_max_difference": int(steps.max())}


def measure(plan: Plan, folder: Path) -> dict[str, float | int]:
    """Every figure; prints the table."""
    path = film(plan, folder)
    readers = [name for name in READERS if name == "longtake" or importlib.util.find_spec(name)]
    seconds = plan.unique_s * plan.repeats
    print(f"{WIDTH}x{HEIGHT}, {seconds} s, {seconds * FPS:,} frames; median of {plan.rounds}, {os.cpu_count()} cores")
    print(f"{'':34}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in readers}
    for _ in range(plan.rounds):
        for name in readers:
            runs[name].append(run(name, path, plan.frames, keep=folder / f"{name}.npz"))
    figures: dict[str, float | int] = {
        "frames": plan.frames,
        "few": plan.few,
        "many": plan.many,
        "film_s": seconds,
    }
    for name in readers:
        told(f"{name}, {plan.frames} whole frames", medians(runs[name]), name, figures)
    for count in (plan.few, plan.many):
        rows = [run("longtake", path, count, small=True) for _ in range(plan.rounds)]
        told(f"longtake, {count} shrunk frames", medians(rows), f"shrunk_{count}", figures)
    figures["memory_many_over_few"] = round(
        figures[f"shrunk_{plan.many}_peak_mb"] / figures[f"shrunk_{plan.few}_peak_mb"], 3
    )
    if "decord" in readers:
        figures["cpu_over_decord"] = round(figures["longtake_cpu_s"] / figures["decord_cpu_s"], 3)
        figures |= difference(folder / "longtake.npz", folder / "decord.npz")
    else:
        print("decord is not installed: pip install decord==0.6.0")
    return figures


def told(label: str, row: dict[str, float], prefix: str, figures: dict[str, float | int]) -> None:
    """Print one row and keep it in `figures`."""
    print(f"{label:34}{row['cpu_s']:8.2f}{row['wall_s']:8.2f}{row['peak_mb']:9.0f}", flush=True)
    figures |= {f"{prefix}_{name}": round(value, 2) for name, value in row.items()}


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed in a full run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short film and few frames: seconds in all")
    default = Path(tempfile.gettempdir()) / "longtake-benchmarks"
    parser.add_argument("--workdir", type=Path, default=default, help="where the film is kept (%(default)s)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        reader, path, count, small, keep = json.loads(asked.worker)
        print(json.dumps(work(reader, path, count, small=small, keep=keep)))
        return 0
    figures = measure(SMOKE if asked.smoke else FULL, asked.workdir)
    ok = None
    if "cpu_over_decord" in figures:
        ok = all(figures[name] <= limit["at_most"] for name, limit in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 1 if ok is False and not asked.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
