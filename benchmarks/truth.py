"""benchmarks: whether every frame that is read is the frame that was asked for, over many codecs, containers and files.

    python benchmarks/truth.py            # at least 100,000 frames: about 10 minutes of one core
    python benchmarks/truth.py --smoke    # a few files, seconds

Writes videos whose every frame shows its own number (tests/media/corpus.py), opens each again and again, and reads at
random numbers: all, random subsets, random stretches, single frames, in chunks of random size. A frame is wrong where
it shows another number than it was asked for, or none, or has a time further from the truth than half its distance to
the next frame. The truth comes from how the file was written. Real films show no numbers: there every pixel is
compared, by checksum, with a sequential decode by plain PyAV that applies FFmpeg's defaults.

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from longtake.errors import LongtakeError  # noqa: E402
from longtake.video.opening import open_video  # noqa: E402
from media import corpus  # noqa: E402

REAL = (
    "baseball.mp4",
    "basketball.mp4",
    "nasa_two_streams.mp4",
    "h264_10bit.mp4",
    "av1.mkv",
    "rotated_0.mov",
    "rotated_90.mov",
    "rotated_180.mov",
    "rotated_270.mov",
    "bigbuckbunny_480p_30s.mp4",
)
SMOKED = ("h264_pyramid.mp4", "hevc_open.ts", "vp9_alt.webm", "mpeg2.mpg", "gaps.mkv", "trimmed.mp4", "headless.ts")
TARGETS = {"frames": {"at_least": 100_000}, "silent_wrong": {"at_most": 0}, "refused": {"at_most": 0}}

Seen = Callable[[NDArray[np.uint8]], object]
"""What a displayed picture (H, W, 3) shows: its number, or a checksum of all of it."""


@dataclass(frozen=True)
class Truth:
    """What each frame of a file shows, and when."""

    path: Path
    shows: tuple[object, ...]
    times_s: NDArray[np.float64]
    seen: Seen


@dataclass
class Tally:
    """What was counted."""

    counts: Counter[str] = field(default_factory=Counter)
    worst_time_off_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    def note(self, kind: str, finding: str) -> None:
        self.counts[kind] += 1
        self.findings.append(finding)


def numbered_truths(folder: Path, frames: int, names: tuple[str, ...]) -> Iterator[Truth]:
    """The generated corpus, one file at a time; each is removed again."""
    for sound in corpus.SOUND:
        if names and sound.name not in names:
            continue
        written = corpus.write(sound, folder, frames=frames)
        yield Truth(written.path, written.numbers, np.array(written.times_s), written.read)
        written.path.unlink()


def real_truths(paths: list[Path]) -> Iterator[Truth]:
    """Real files, with the checksum and the time of each frame of a plain sequential decode."""
    for path in paths:
        video = open_video(path)
        reformatter, times_s, sums = VideoReformatter(), [], []
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams[video.stream]):
                times_s.append(frame.time)
                sums.append(checksum(video.picture.show(frame, reformatter)))
        yield Truth(path, tuple(sums), np.array(times_s) - times_s[0], checksum)


def checksum(image_HWC: NDArray[np.uint8]) -> str:
    """Equal for equal pictures only."""
    return hashlib.blake2b(np.ascontiguousarray(image_HWC), digest_size=16).hexdigest() + str(image_HWC.shape)


def asked_numbers(total: int, choose: random.Random) -> list[int]:
    """One way of asking: everything, a subset, a stretch, every so many, or single frames."""
    everything = range(total)
    way = choose.randrange(5)
    if way == 0:
        return list(everything)
    if way == 1:
        return sorted(choose.sample(everything, choose.randint(1, total)))
    if way == 2:
        first = choose.randrange(total)
        return list(range(first, choose.randint(first, total - 1) + 1))
    if way == 3:
        return list(range(choose.randrange(total), total, choose.randint(2, 40)))
    return sorted(choose.sample(everything, min(total, choose.randint(1, 12))))


def read_one(truth: Truth, choose: random.Random, tally: Tally) -> None:
    """Open the file afresh, read some frames, compare each."""
    video = open_video(truth.path)
    if len(video.times_s) != len(truth.shows):
        tally.note("silent_wrong", f"{truth.path.name}: {len(video.times_s)} frames listed of {len(truth.shows)}")
        return
    numbers = asked_numbers(len(video.times_s), choose)
    got = []
    for some in video.read(numbers, chunk=choose.choice((1, 2, 7, 32))):
        for number, time_s, image_CHW in zip(some.numbers.tolist(), some.times_s, some.pixels_TCHW, strict=True):
            got.append(number)
            compare(truth, number, float(time_s), truth.seen(image_CHW.transpose(1, 2, 0)), tally)
    if got != numbers:
        tally.note("silent_wrong", f"{truth.path.name}: asked {len(numbers)} frames, {len(got)} came")


def compare(truth: Truth, number: int, time_s: float, shown: object, tally: Tally) -> None:
    """Count one frame, and what is wrong with it."""
    tally.counts["frames"] += 1
    off_s = abs(time_s - float(truth.times_s[number]))
    around = truth.times_s[max(0, number - 1) : number + 2]
    half_s = float(np.diff(around).min()) / 2 if len(around) > 1 else 0.02
    tally.worst_time_off_s = max(tally.worst_time_off_s, off_s)
    if shown != truth.shows[number]:
        tally.note("silent_wrong", f"{truth.path.name}: frame {number} shows {shown}, not {truth.shows[number]}")
    elif off_s > half_s:
        tally.note("silent_wrong", f"{truth.path.name}: frame {number} is {off_s:.4f} s off")


def read_file(truth: Truth, frames: int, choose: random.Random, tally: Tally) -> None:
    """Read the file in random ways until `frames` of it were compared."""
    before = tally.counts["frames"]
    while tally.counts["frames"] < before + frames and len(tally.findings) < 100:
        try:
            read_one(truth, choose, tally)
        except LongtakeError as error:
            tally.note("refused", str(error))
            return
        tally.counts["readings"] += 1
    tally.counts["files"] += 1
    print(f"{truth.path.name:28}{len(truth.shows):6} frames, {tally.counts['frames'] - before:6,} read", flush=True)


def measure(*, smoke: bool, seed: int, shared: Path) -> dict[str, float | int]:
    """Every figure; prints a line for each file and finding."""
    os.environ.setdefault("SVT_LOG", "1")
    choose, tally = random.Random(seed), Tally()
    began_s = time.process_time()
    real = [ROOT / "tests" / "media" / "bigbuckbunny_720p_5s.mp4", *(shared / name for name in REAL)]
    present = [path for path in real if path.exists()]
    with tempfile.TemporaryDirectory() as folder:
        names = SMOKED if smoke else ()
        for truth in numbered_truths(Path(folder), 60 if smoke else 520, names):
            read_file(truth, 60 if smoke else 1150, choose, tally)
    numbered_frames = tally.counts["frames"]
    for truth in real_truths(present[:1] if smoke else present):
        read_file(truth, 20 if smoke else 3 * len(truth.shows), choose, tally)
    for finding in tally.findings:
        print(finding)
    return {
        "frames": tally.counts["frames"],
        "numbered_frames": numbered_frames,
        "real_frames": tally.counts["frames"] - numbered_frames,
        "files": tally.counts["files"],
        "real_files": 1 if smoke else len(present),
        "readings": tally.counts["readings"],
        "silent_wrong": tally.counts["silent_wrong"],
        "refused": tally.counts["refused"],
        "worst_time_off_ms": round(tally.worst_time_off_s * 1000, 4),
        "cpu_s": round(time.process_time() - began_s, 1),
        "seed": seed,
    }


def main() -> int:
    """Measure, print the line of JSON; 1 if a target is missed in a full run, or any frame is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few small files: seconds in all")
    parser.add_argument("--seed", type=int, default=3, help="of everything random (%(default)s)")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "media", help="where real films are")
    asked = parser.parse_args()
    figures = measure(smoke=asked.smoke, seed=asked.seed, shared=asked.shared)
    enough = asked.smoke or figures["frames"] >= TARGETS["frames"]["at_least"]
    ok = bool(enough and not figures["silent_wrong"] and not figures["refused"])
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
