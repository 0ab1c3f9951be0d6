"""benchmarks: what reading frames of an hour costs beside decord and torchcodec, and what memory 12 hours take.

    python benchmarks/frames.py                       # every cell, 3 rounds: 2 hours of processor time, 4 GB of disk
    python benchmarks/frames.py --only b_frames_256   # one cell; the table shows all that were measured before, too
    python benchmarks/frames.py --smoke               # 40 seconds of film, few frames, 1 round: always exits 0

Films are those of film.py, 720p H.264 with and without B-frames. The same frames are asked of every reader,
`linspace(0, n - 1, k)`, and whole: as decoded, in RGB, at full size. Every run is a process of its own, in turn, so
that a busy moment of the machine hits all alike; the median of the rounds counts. Processor time is user and system
time of all threads from opening the file to the last frame, imports left out. Every frame of every reader is compared
by a checksum, whose time is left out too.

The others are given their best: decord and torchcodec one thread (each takes less processor time so), and their frames
256 at a time, since they hold all that are asked for at once. torchcodec seeks in its exact mode: the approximate one
skips the scan of the file and is right only where frames are evenly spaced. It needs FFmpeg's libraries (4 to 8) on
the system; where they are missing it counts as not installed.

Results are kept as JSON beside the films, so a long run can be broken off and taken up again: what was measured with
another state of longtake's code is measured anew. Ends with one line of JSON: {"figures", "targets", "ok"}; `ok` is
null where a reader is not installed or a cell was not measured.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib
import io
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from film import FPS, WORKDIR, Film
from numpy.typing import NDArray
from PIL import Image

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "longtake"
SHRUNK_PX = 336
AT_ONCE = 256
QUESTION = "What can be seen?"
OTHERS = ("decord", "torchcodec")
WITH_B = {"over_decord": 0.52, "over_torchcodec": 0.65}
TARGETS = {
    **{f"b_frames_{count}_{name}": most for count in (32, 256, 2000, 3600) for name, most in WITH_B.items()},
    "no_b_frames_32_over_best": 0.85,
    "no_b_frames_256_over_best": 0.85,
    "no_b_frames_2000_over_best": 1.0,
    "no_b_frames_3600_over_best": 1.0,
    "b_frames_2000_memory_over_decord": 0.2,
    "no_b_frames_2000_memory_over_decord": 0.2,
    "hours_read_memory": 1.2,
    "hours_ask_memory": 1.2,
}
"""The most of each: longtake's processor time over the other's, peak memory over decord's, and peak memory with 12
hours of film over that with one minute of it (issue: frames that are true, errors that help)."""


@dataclass(frozen=True)
class Job:
    """One run: who reads how many frames of what."""

    reader: str
    film: Film
    frames: int


@dataclass(frozen=True)
class Cell:
    """Runs that are compared with each other, by name."""

    name: str
    jobs: dict[str, Job]


def cells(*, smoke: bool) -> list[Cell]:
    """Everything that is measured."""
    made = []
    for coding in ("b_frames", "no_b_frames"):
        film = Film(coding, 2, 20) if smoke else Film(coding, 80, 45)
        for count in (8, 16) if smoke else (32, 256, 2000, film.seconds):
            made.append(Cell(f"{coding}_{count}", {name: Job(name, film, count) for name in READERS}))
    short, long = (
        (Film("small", 2, repeats) for repeats in (1, 20)) if smoke else (Film("small", 60, n) for n in (1, 720))
    )
    for what, frames in (("read", 16 if smoke else 256), ("ask", 0)):
        made.append(Cell(f"hours_{what}", {"short": Job(what, short, frames), "long": Job(what, long, frames)}))
    return made


def spread(total: int, count: int) -> list[int]:
    """`count` numbers from 0 to total - 1."""
    return np.linspace(0, total - 1, count, dtype=int).tolist()


def by_longtake(path: str, count: int) -> Iterator[NDArray[np.uint8]]:
    from longtake.video.opening import open_video

    video = open_video(path)
    for frames in video.read(spread(len(video.times_s), count)):
        yield frames.pixels_TCHW.transpose(0, 2, 3, 1)


def by_decord(path: str, count: int) -> Iterator[NDArray[np.uint8]]:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    numbers = spread(len(reader), count)
    for start in range(0, count, AT_ONCE):
        yield reader.get_batch(numbers[start : start + AT_ONCE]).asnumpy()


def by_torchcodec(path: str, count: int) -> Iterator[NDArray[np.uint8]]:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NHWC")
    numbers = spread(len(decoder), count)
    for start in range(0, count, AT_ONCE):
        yield decoder.get_frames_at(numbers[start : start + AT_ONCE]).data.numpy()


READERS: dict[str, Callable[[str, int], Iterator[NDArray[np.uint8]]]] = {
    "longtake": by_longtake,
    "decord": by_decord,
    "torchcodec": by_torchcodec,
}
IMPORTS = {
    "longtake": "longtake.video.opening",
    "read": "longtake.video.opening",
    "ask": "longtake.cli",
    "decord": "decord",
    "torchcodec": "torchcodec.decoders",
}


def shrink(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What keeps memory flat: the frame at the size of a vision tower."""
    small = Image.fromarray(image_HWC).resize((SHRUNK_PX, SHRUNK_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small).transpose(2, 0, 1)


def work(reader: str, path: str, count: int) -> dict[str, object]:
    """One run, in a process of its own: cpu and wall seconds, peak megabytes, a checksum of every whole frame."""
    importlib.import_module(IMPORTS[reader])
    before, began, left_out_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), 0.0
    checksums: list[int] = []
    if reader == "ask":
        ask(path)
    elif reader == "read":
        read_small(path, count)
    else:
        for batch_THWC in READERS[reader](path, count):
            for image_HWC in batch_THWC:
                start_s = time.thread_time()
                checksums.append(zlib.crc32(np.ascontiguousarray(image_HWC)))
                left_out_s += time.thread_time() - start_s
            # Not held while the next is made: what the reader itself holds is what counts.
            del batch_THWC, image_HWC
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - left_out_s
    return {"cpu_s": cpu_s, "wall_s": ended - began, "peak_mb": peak_mb(), "checksums": checksums}


def ask(path: str) -> None:
    """The whole command, in this process."""
    from longtake.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        sys.argv = ["longtake", "ask", path, QUESTION]
        status = main()
        assert not status, f"longtake ask ended with {status}"


def read_small(path: str, count: int) -> None:
    """Frames made small one by one, none kept."""
    from longtake.video.opening import open_video

    video = open_video(path)
    came = sum(len(frames.numbers) for frames in video.read(spread(len(video.times_s), count), shrink=shrink))
    assert came == count


def peak_mb() -> float:
    """The most memory that this process had resident since it started, and the largest of its children besides."""
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a child's begins with what its parent had.
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 1024 + children
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20 + children


def run(job: Job, folder: Path) -> dict:
    """`work` in a child process."""
    command = [sys.executable, __file__, "--worker", json.dumps([job.reader, str(job.film.file(folder)), job.frames])]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(child.stdout.splitlines()[-1])


@functools.cache
def installed(reader: str) -> bool:
    """Whether it can be imported, tried in a process of its own; longtake's own ways of reading can."""
    if reader not in OTHERS:
        return True
    trial = [sys.executable, "-c", f"import {IMPORTS[reader]}"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def code_state() -> str:
    """Changes with every line of longtake that reads video."""
    files = sorted((PACKAGE / "video").rglob("*.py"))
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


class Results:
    """The rounds of every cell, kept in a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "results.json"
        self._code = code_state()
        kept = json.loads(self._file.read_text()) if self._file.exists() else []
        self._rounds: list[dict] = [one for one in kept if one["code"] == self._code]

    def of(self, cell: Cell) -> list[dict[str, dict]]:
        """Rounds in which every installed reader ran."""
        wanted = {name for name, job in cell.jobs.items() if installed(job.reader)}
        jobs = {name: repr(job) for name, job in cell.jobs.items() if name in wanted}
        return [one["runs"] for one in self._rounds if one["cell"] == cell.name and one["jobs"] == jobs]

    def add(self, cell: Cell, runs: dict[str, dict]) -> None:
        """Keep one more round."""
        jobs = {name: repr(job) for name, job in cell.jobs.items() if name in runs}
        self._rounds.append({"code": self._code, "cell": cell.name, "jobs": jobs, "runs": runs})
        self._file.write_text(json.dumps(self._rounds))


def measure(cell: Cell, folder: Path) -> dict[str, dict]:
    """One round: every job once, in turn; frames are compared, and only how many were other than longtake's is kept."""
    runs = {name: run(job, folder) for name, job in cell.jobs.items() if installed(job.reader)}
    checksums = {name: one.pop("checksums") for name, one in runs.items()}
    ours = checksums.get("longtake", [])
    for name, theirs in checksums.items():
        runs[name]["other_frames"] = sum(mine != other for mine, other in zip(ours, theirs, strict=bool(ours)))
    return runs


def figures_of(cell: Cell, rounds: list[dict[str, dict]]) -> dict[str, float]:
    """Medians of the rounds and the ratios that targets are set for; prints the rows of the table."""
    figures: dict[str, float] = {}
    medians = {
        name: {what: statistics.median(runs[name][what] for runs in rounds) for what in rounds[0][name]}
        for name in rounds[0]
    }
    for name, row in medians.items():
        print(
            f"{cell.name:18}{name:12}{len(rounds):6}{row['cpu_s']:9.2f}{row['wall_s']:9.2f}{row['peak_mb']:9.0f}"
            f"{row['other_frames']:9.0f}"
        )
        figures |= {f"{cell.name}_{name}_{what}": round(value, 2) for what, value in row.items()}
    if "short" in medians:
        figures[f"{cell.name}_memory"] = round(medians["long"]["peak_mb"] / medians["short"]["peak_mb"], 3)
        return figures
    ours, others = medians["longtake"], {name: medians[name] for name in OTHERS if name in medians}
    for name, row in others.items():
        figures[f"{cell.name}_over_{name}"] = round(ours["cpu_s"] / row["cpu_s"], 3)
        figures[f"{cell.name}_memory_over_{name}"] = round(ours["peak_mb"] / row["peak_mb"], 3)
    if len(others) == len(OTHERS):
        figures[f"{cell.name}_over_best"] = max(figures[f"{cell.name}_over_{name}"] for name in OTHERS)
    return figures


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed in a full run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="short films and few frames: a minute in all")
    parser.add_argument("--only", action="append", metavar="CELL", help="only this cell (may be given again)")
    parser.add_argument("--rounds", type=int, help="until each cell has so many (3; with --smoke 1)")
    parser.add_argument("--workdir", type=Path, default=WORKDIR, help="where films and results are kept (%(default)s)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(work(*json.loads(asked.worker))))
        return 0
    everything = cells(smoke=asked.smoke)
    unknown = set(asked.only or ()) - {cell.name for cell in everything}
    if unknown:
        parser.error(f"no cell {', '.join(sorted(unknown))}; there are {', '.join(cell.name for cell in everything)}")
    asked.workdir.mkdir(parents=True, exist_ok=True)
    results = Results(asked.workdir)
    for number in range(1, (asked.rounds or (1 if asked.smoke else 3)) + 1):
        for cell in everything:
            if len(results.of(cell)) < number and (not asked.only or cell.name in asked.only):
                print(f"{cell.name}, round {number} ...", file=sys.stderr, flush=True)
                results.add(cell, measure(cell, asked.workdir))
    return tell(everything, results, smoke=asked.smoke)


def tell(everything: list[Cell], results: Results, *, smoke: bool) -> int:
    """The table of all results and the line of JSON; the exit status."""
    print(
        f"720p at {FPS} frames a second, {os.cpu_count()} cores, medians; other: frames whose pixels are not longtake's"
    )
    print(f"{'cell':18}{'reader':12}{'rounds':>6}{'cpu s':>9}{'wall s':>9}{'peak MB':>9}{'other':>9}")
    figures: dict[str, float] = {}
    for cell in everything:
        if rounds := results.of(cell):
            figures |= figures_of(cell, rounds)
    for name in OTHERS:
        if not installed(name):
            print(f"{name} is not installed: pip install 'longtake[bench]'")
    for name, most in TARGETS.items():
        if name in figures:
            print(f"{name:40}{figures[name]:8.3f}  at most {most:.2f}  {'met' if figures[name] <= most else 'MISSED'}")
    same = not any(value for name, value in figures.items() if name.endswith("_other_frames"))
    ok = None
    if all(installed(name) for name in OTHERS) and set(TARGETS) <= set(figures):
        ok = same and all(figures[name] <= most for name, most in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 1 if ok is False and not smoke else 0


if __name__ == "__main__":
    sys.exit(main())
