"""fuzz/target: one mutated file in, how looking and reading ended out. Runs in a child that may die of it.

Started as `python -m tests.fuzz.target`. A line in: {"path", "shown": [[number, time_s], ...], "turns", "cpu_s"}; a
line out: a `Trial`.
"""

from __future__ import annotations

import faulthandler
import json
import re
import resource
import sys
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from longtake.errors import LongtakeError
from longtake.samplers.uniform import Uniform
from longtake.video.info import info
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from longtake.video.video_file import VideoFile
from longtake.vision.pixels import PixelRecipe
from media import numbered

MEMORY_BYTES = 3 << 29
"""1.5 GiB of address space above what the libraries take."""

ASKED = 8
MOST_READ = 64
_SHRINK = PixelRecipe(side_px=56).shrink
_UNTIMED = "stores no presentation times"
_NEAR_S = 0.021
"""Half a frame, and the rounding of containers."""


@dataclass
class Trial:
    """How one input ended.

    Attributes:
        outcomes: for "error" and "skip": "ok", an error's code, or "bug".
        bugs: what is neither frames nor a refusal: an exception with where it came from, or a broken promise.
        wrong: frames that show another number than they should at their time where a plain decode has no such frame.
        counts: frames that came out: right, unreadable (no number: damage that nobody noticed), elsewhere (a number at
            another time, and a plain decode says the same: the container was changed), untimed (the same in a file that
            stores no times: who takes a frame away moves the others, and nobody can tell).
        cpu_s: user and system time of this input.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    bugs: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0


@dataclass
class Eye:
    """What each frame shows, noted before it is made small."""

    turns: int
    seen: list[int | None] = field(default_factory=list)

    def shrink(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.seen.append(_shown(image_HWC, self.turns))
        return _SHRINK(image_HWC)


def tried(asked: dict[str, Any]) -> Trial:
    """Look at and read one file, first refusing damage and then leaving it out."""
    trial, began_s = Trial(), _cpu_s()
    truth = {int(number): float(time_s) for number, time_s in asked["shown"]}
    for mode in ("error", "skip"):
        frames: list[tuple[int | None, float]] = []
        try:
            video = open_video(asked["path"], options=ReadOptions(on_corrupt="skip" if mode == "skip" else "error"))
            _check_table(video)
            json.dumps(info(video).as_dict(), allow_nan=False)
            _read(video, mode, asked["turns"], frames)
            trial.outcomes[mode] = "ok"
        except LongtakeError as error:
            trial.outcomes[mode] = error.code.value.code
            if len(str(error).splitlines()) != 1 or not error.advice:
                trial.bugs.append(f"not one helpful line: {error!s:.200}")
        except Exception:  # noqa: BLE001  whatever it is, it is a finding
            trial.outcomes[mode] = "bug"
            trial.bugs.append(_where(traceback.format_exc()))
        if frames:
            _judge(video, frames, truth, trial, mode)
    trial.cpu_s = _cpu_s() - began_s
    return trial


def _check_table(video: VideoFile) -> None:
    times_s = video.times_s
    if not (len(times_s) and times_s[0] == 0 and np.isfinite(times_s).all() and (np.diff(times_s) > 0).all()):
        raise AssertionError("times are not ascending from 0")
    if not times_s[-1] <= video.duration_s < np.inf:
        raise AssertionError("the video ends before its last frame")


def _read(video: VideoFile, mode: str, turns: int, frames: list[tuple[int | None, float]]) -> None:
    """What `ask` reads; with skip every frame, if they are few. Fills `frames` as they come."""
    numbers = Uniform(ASKED).pick(video, "")
    if mode == "skip":
        numbers = sorted({*numbers, *range(min(MOST_READ, len(video.times_s)))})
    got, eye = [], Eye(turns)
    for some in video.read(numbers, chunk=1, shrink=eye.shrink):
        got.append(int(some.numbers[0]))
        frames.append((eye.seen[-1], float(some.times_s[0])))
    if got != numbers and (mode == "error" or not set(got) <= set(numbers) or got != sorted(got)):
        raise AssertionError(f"asked {numbers}, got {got}")


def _judge(
    video: VideoFile, frames: list[tuple[int | None, float]], truth: dict[int, float], trial: Trial, mode: str
) -> None:
    """Count the frames that came out; those at a time that is not theirs are held against a plain decode."""
    strange = []
    untimed = any(_UNTIMED in note for note in video.notes)
    for number, time_s in frames:
        if number is None or number not in truth:
            trial.counts["unreadable"] += 1
        elif abs(truth[number] - time_s) <= _NEAR_S:
            trial.counts["right"] += 1
        elif untimed:
            trial.counts["untimed"] += 1
        else:
            strange.append((number, time_s))
    plain = _plain(video) if strange else {}
    for number, time_s in strange:
        agrees = any(abs(time_s + video.table.offset_s - other_s) <= _NEAR_S for other_s in plain.get(number, ()))
        trial.counts["elsewhere" if agrees else "wrong"] += 1
        if not agrees:
            trial.wrong.append(f"{mode}: at {time_s:.3f} s shows {number}; {video.header.container}")


def _plain(video: VideoFile) -> dict[int, list[float]]:
    """The numbers and times of a sequential decode with FFmpeg's defaults, which goes on after errors."""
    found: dict[int, list[float]] = {}
    with suppress(FFmpegError, ValueError, MemoryError, IndexError), av.open(video.path) as container:
        for packet in container.demux(container.streams[video.stream]):
            with suppress(FFmpegError):
                for frame in packet.decode():
                    number = _shown(frame.to_ndarray(format="rgb24"), 0)
                    if number is not None and frame.time is not None:
                        found.setdefault(number, []).append(frame.time)
    return found


def _shown(image_HWC: NDArray[np.uint8], turns: int) -> int | None:
    if min(image_HWC.shape[:2]) < 2 * numbered.ROWS:
        return None
    try:
        return numbered.read(np.rot90(image_HWC, k=turns))
    except ValueError:
        return None


def _where(told: str) -> str:
    """The last line of a traceback and the places in longtake that it passed, which make two findings the same."""
    places = re.findall(r'longtake/(\S+?)", line (\d+), in (\S+)', told)
    last = [line for line in told.strip().splitlines() if not line.startswith(" ")][-1]
    return f"{last[:160]} | " + " < ".join(f"{file}:{line} {name}" for file, line, name in reversed(places[-3:]))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))


def main() -> int:
    """Serve until standard input ends. The system ends the process at the deadline of an input."""
    faulthandler.enable()
    warnings.simplefilter("error")
    av.logging.set_level(None)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory()
    for line in sys.stdin:
        asked = json.loads(line)
        resource.setrlimit(resource.RLIMIT_CPU, (int(_cpu_s() + asked["cpu_s"]) + 1, resource.RLIM_INFINITY))
        sys.stdout.write(json.dumps(vars(tried(asked))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
