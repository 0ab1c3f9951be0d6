"""benchmarks: what a process that decodes apart survives, and what it costs.

    python benchmarks/faults.py            # 102 faults, a few minutes
    python benchmarks/faults.py --smoke    # 12 faults; the costs are measured once

Each fault must end in `media.decoder_failed` within the deadline and two seconds, or name the memory; this process must
live, and the next file be read right by the same `DecodingProcess`. Three kinds, in turn:

    kill      SIGKILL, SIGSEGV or SIGABRT: at a random moment from outside, or at a given packet from inside
    hang      SIGSTOP at a random moment from outside, or a sleep inside decoding
    allocate  memory without end inside decoding, or a sound file whose frames exceed the limit

Costs: 64 frames of a 720p file, whole pixels, apart and here, in turn; the median of the rounds counts. Ends with one
line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from longtake.errors import ErrorCode, LongtakeError  # noqa: E402
from longtake.video.apart import DecodingProcess  # noqa: E402
from longtake.video.opening import open_video  # noqa: E402
from longtake.video.options import Guard  # noqa: E402
from longtake.video.video_file import VideoFile  # noqa: E402
from media import numbered  # noqa: E402
from media.numbered import Coding  # noqa: E402

BUNNY = TESTS / "media" / "bigbuckbunny_720p_5s.mp4"
FRAMES = 100
COST_FRAMES = 64
GUARD = Guard(deadline_s=2.0, memory_bytes=256 << 20)
SMALL = Guard(deadline_s=30.0, memory_bytes=128 << 20)
LATE_S = 2.0
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
TARGETS = {"survived_share": 1.0}


class FaultyProcess(DecodingProcess):
    """Its worker does what the names of files ask for (tests/faulty_worker.py)."""

    module = "faulty_worker"


@dataclass(frozen=True)
class Told:
    """How one injected fault ended: the error, if any, and how long after the fault it came up (0 where not known)."""

    error: LongtakeError | None
    seconds: float = 0.0


@dataclass(frozen=True)
class Bench:
    """The files, and the processes that read them; `small` holds its frames to less memory."""

    folder: Path
    chance: random.Random
    process: DecodingProcess
    small: DecodingProcess

    def inside(self, fault: str) -> Told:
        """A fault at a random packet."""
        at = f"decode+{self.chance.randint(1, FRAMES - 1)}" if self.chance.random() < 0.8 else "scan+1"
        path = self.folder / f"{fault}@{at}.mp4"
        if not path.exists():
            shutil.copy(self.folder / "good.mp4", path)
        error, at = told(lambda: read(self.process, path)), path.with_suffix(".at")
        return Told(error, time.time() - at.stat().st_mtime)

    def outside(self, kind: signal.Signals) -> Told:
        """A signal at a random moment of opening or reading, which goes on until it comes."""
        self.process.start()
        pid = self.process.pid
        assert pid is not None
        sent_s = []

        def send() -> None:
            os.kill(pid, kind)
            sent_s.append(time.monotonic())

        sender = threading.Timer(self.chance.uniform(0.0, 1.0), send)
        sender.start()

        def read_on() -> None:
            while self.process.pid == pid:
                read(self.process, self.folder / "good.mp4")

        error = told(read_on)
        ended_s = time.monotonic()
        sender.join()
        # Between two files nothing is being decoded: that was no fault.
        return Told(error, ended_s - sent_s[0]) if error is not None else self.outside(kind)

    def too_large(self) -> Told:
        """A sound file that wants more memory than it may have."""
        return Told(told(lambda: read(self.small, self.folder / "large.mp4")))


def told(work: Callable[[], object]) -> LongtakeError | None:
    """The error in which `work` ends."""
    try:
        work()
    except LongtakeError as error:
        return error
    return None


def read(process: DecodingProcess, path: Path) -> list[int]:
    """What all frames of a file show."""
    video = process.open_video(path)
    chunks = video.read(range(len(video.times_s)), chunk=8)
    return [numbered.read(image.transpose(1, 2, 0)) for chunk in chunks for image in chunk.pixels_TCHW]


def inject(bench: Bench, count: int) -> tuple[list[str], float]:
    """`count` faults, the kinds in turn: what did not end as promised, and the longest time that one took."""
    chance = bench.chance
    kinds: dict[str, list[Callable[[], Told]]] = {
        "kill": [
            lambda: bench.outside(chance.choice(DEADLY)),
            lambda: bench.inside(chance.choice(("kill", "segfault", "abort"))),
        ],
        "hang": [lambda: bench.outside(signal.SIGSTOP), lambda: bench.inside("sleep")],
        "allocate": [lambda: bench.inside("allocate"), bench.too_large],
    }
    failed, longest_s = [], 0.0
    for number in range(count):
        kind = list(kinds)[number % 3]
        ended = kinds[kind][number // 3 % 2]()
        process = bench.small if kind == "allocate" and number // 3 % 2 else bench.process
        wrong = complaint(kind, ended)
        if read(process, bench.folder / "good.mp4") != list(range(FRAMES)):
            wrong += ", the next file is not read right"
        if wrong:
            failed.append(f"{number} ({kind}): {wrong}")
        longest_s = max(longest_s, ended.seconds)
        print(f"  {number + 1:4} {kind:9} {ended.seconds:6.2f} s  {ended.error}", flush=True)
    return failed, longest_s


def complaint(kind: str, ended: Told) -> str:
    """What is wrong with how a fault ended; nothing where all is as promised."""
    if ended.error is None or ended.error.code is not ErrorCode.MEDIA_DECODER_FAILED:
        return f"ended in {ended.error}"
    said = {"kill": "died of SIG", "hang": "no sign of life", "allocate": "of memory"}[kind]
    if said not in ended.error.reason:
        return f"is not told as {kind}: {ended.error}"
    return f"took {ended.seconds:.1f} s" if ended.seconds > GUARD.deadline_s + LATE_S else ""


def cost(rounds: int) -> dict[str, float]:
    """Wall and processor seconds of reading apart and here, seconds until a new process answers, memory."""
    taken: dict[str, list[float]] = {}
    with DecodingProcess() as process:
        begin = time.perf_counter()
        apart, here = process.open_video(BUNNY), None
        first_s = time.perf_counter() - begin
        here = open_video(BUNNY)
        numbers = np.linspace(0, len(here.times_s) - 1, COST_FRAMES).astype(int).tolist()
        for _ in range(rounds):
            for name, video in (("here", here), ("apart", apart)):
                wall_s, parent_s, child_s = timed(video, numbers, process.pid)
                taken.setdefault(f"{name}_wall_s", []).append(wall_s)
                taken.setdefault(f"{name}_cpu_s", []).append(parent_s + (child_s if name == "apart" else 0))
                taken.setdefault(f"{name}_parent_cpu_s", []).append(parent_s)
        memory = status_mib(process.pid, "VmHWM")
    figures = {name: statistics.median(values) for name, values in taken.items()}
    more_s = figures["apart_cpu_s"] - figures["here_cpu_s"]
    return {
        **figures,
        "more_cpu_ms_per_frame": 1000 * more_s / len(numbers),
        "first_answer_s": first_s,
        "child_peak_mib": memory,
        "parent_peak_mib": status_mib(os.getpid(), "VmHWM"),
    }


def timed(video: VideoFile, numbers: list[int], pid: int | None) -> tuple[float, float, float]:
    """Wall seconds, and processor seconds of this process and of the child."""
    wall_s, parent_s, child_s = time.perf_counter(), time.process_time(), processor_s(pid)
    for _ in video.read(numbers, chunk=8):
        pass
    return time.perf_counter() - wall_s, time.process_time() - parent_s, processor_s(pid) - child_s


def processor_s(pid: int | None) -> float:
    """Processor time of a process so far, in ticks of 10 ms; 0 where there is no /proc."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_mib(pid: int | None, name: str) -> float:
    """A line of a process's status in MiB; 0 where there is no /proc."""
    path = Path(f"/proc/{pid}/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def main() -> int:
    """Measure, inject, print a table and the line of JSON; 1 if a fault did not end as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a dozen faults")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    chosen = parser.parse_args()
    costs = cost(1 if chosen.smoke else 9)
    count = 12 if chosen.smoke else 102
    with (
        tempfile.TemporaryDirectory() as name,
        FaultyProcess(GUARD) as process,
        DecodingProcess(SMALL) as small,
    ):
        fast = {"preset": "ultrafast", "g": "25", "bf": "2"}
        numbered.write(Path(name) / "good.mp4", Coding(options=fast), frames=FRAMES)
        numbered.write(Path(name) / "large.mp4", Coding(options=fast, width=3840, height=2160), frames=6)
        bench = Bench(Path(name), random.Random(chosen.seed), process, small)
        failed, longest_s = inject(bench, count)
    for line in failed:
        print(f"NOT SURVIVED {line}")
    figures = {
        "faults": count,
        "survived_share": (count - len(failed)) / count,
        "longest_s": round(longest_s, 2),
        **{key: round(value, 4) for key, value in costs.items()},
    }
    ok = figures["survived_share"] >= TARGETS["survived_share"]
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
