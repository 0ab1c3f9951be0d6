"""media/trial: command lines in on standard input, how each ended out on standard output; one process for each file.

Started as `python tests/media/trial.py`. It loads longtake once and then forks: every file gets a process of its own,
as when a user runs the command, without paying again and again for the start of Python. A line in:
`{"file": ..., "commands": [["info", FILE], ...]}`. Beside those of longtake there are `["@read", FILE, "error"]`, which
reads every frame's own number, `["@alone", FILE]`, which reads some frames each by itself, and `["@peak"]`, which gives
the most memory that the process held so far.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

ALONE = (10, 26, 32, 34, 35, 38, 58, 59)
"""Frames before, behind and at the places where the corpus is damaged."""

WORK_S = 10.0
"""Of processor time: a command that takes more is killed. A busy machine alone ends none."""
SILENCE_S = 60.0
"""A command that is not done by then is killed: it waits for something."""


def main() -> int:
    """Serve until standard input ends."""
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        ended = in_own_process(asked["commands"])
        sys.stdout.write(json.dumps({"file": asked["file"], "ended": ended}) + "\n")
        sys.stdout.flush()
    return 0


def in_own_process(commands: list[list[str]]) -> list[dict[str, Any]]:
    """How each command ended, until one was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            for command in commands:
                out.write(json.dumps(_ended(command)) + "\n")
                out.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        ended = [json.loads(line) for line in lines]
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        by = signal.Signals(os.WTERMSIG(status)).name
        ended.append({"status": None, "killed": by, "out": "", "err": f"killed by {by}"})
    return ended


def _ended(command: list[str]) -> dict[str, Any]:
    """Run one command in this process; the system ends the process if it takes too long."""
    guards = {signal.ITIMER_PROF: WORK_S, signal.ITIMER_REAL: SILENCE_S}
    for by in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(by, signal.SIG_DFL)
    for guard, most_s in guards.items():
        signal.setitimer(guard, most_s)
    if command[0] == "@peak":
        return {"status": 0, "out": str(_peak_bytes()), "err": ""}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        own = {"@read": _read_numbers, "@alone": _read_alone}
        status = own[command[0]](*command[1:]) if command[0] in own else _longtake(command)
        sys.stdout.flush()
        sys.stderr.flush()
        for guard in guards:
            signal.setitimer(guard, 0)
        return {"status": status, "out": _text(out), "err": _text(err)}


def _longtake(command: list[str]) -> int:
    from longtake.cli import main as longtake

    return longtake([os.fsdecode(os.fsencode(word)) for word in command])


def _read_numbers(path: str, on_corrupt: str) -> int:
    """Print what each frame that comes out shows, its place and size; of a long video every so many."""
    from longtake.video.opening import open_video
    from longtake.video.options import ReadOptions

    assert on_corrupt in ("error", "skip")
    video = open_video(path, options=ReadOptions(on_corrupt="skip" if on_corrupt == "skip" else "error"))
    found = []
    step = -(-len(video.numbers) // 300)
    for frames in video.read(video.numbers[::step], chunk=1):
        image_HWC = frames.pixels_TCHW[0].transpose(1, 2, 0)
        found.append((int(frames.numbers[0]), _number(image_HWC), image_HWC.shape[1], image_HWC.shape[0]))
    told = {"frames": found, "step": step, "times_s": video.times_s.tolist(), "lost_s": video.lost_s}
    print(json.dumps(told))  # noqa: T201
    return 0


def _read_alone(path: str) -> int:
    """Print what some frames show, and when, each of them read by itself; those that are refused are not in it."""
    from longtake.errors import LongtakeError
    from longtake.video.opening import open_video

    found = []
    for place in ALONE:
        with contextlib.suppress(LongtakeError):
            video = open_video(path)
            if place >= len(video.times_s):
                break
            frames = next(video.read([place]))
            found.append((float(frames.times_s[0]), _number(frames.pixels_TCHW[0].transpose(1, 2, 0))))
    print(json.dumps(found))  # noqa: T201
    return 0


def _number(image_HWC: Any) -> int | str:
    """What a frame shows; in words where it is no number."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from media import numbered

    try:
        return numbered.read(image_HWC)
    except (ValueError, IndexError) as error:
        return str(error)[:80]


def _peak_bytes() -> int:
    """The most memory that this process held at once, what it shares with the one that forked it included."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "backslashreplace"))


def warm_up() -> None:
    """Load, once and before any fork, what the commands load when they run; nothing is decoded here."""
    for module in (
        "PIL.JpegImagePlugin", "av.subtitles.stream", "longtake.cli.describing", "longtake.cli.looking",
        "longtake.pictures", "longtake.samplers.uniform", "longtake.video.info", "longtake.video.opening",
        "longtake.video.seen", "rich.console",
    ):  # fmt: skip
        importlib.import_module(module)
    with contextlib.redirect_stdout(io.StringIO()):
        assert _longtake(["info", "--json", ""]) == 3


if __name__ == "__main__":
    warm_up()
    sys.exit(main())
