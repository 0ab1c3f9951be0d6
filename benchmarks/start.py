"""benchmarks: how long the beginning takes, before any work is done.

    python benchmarks/start.py            # 15 rounds
    python benchmarks/start.py --smoke    # 3 rounds; misses no target

Each round starts a new process for every case, in turn, so that a busy moment of the machine hits all alike; the
median over the rounds counts. The bare interpreter's time is taken off, so that the figures are longtake's own.
Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUNNY = Path(__file__).resolve().parents[1] / "tests" / "media" / "bigbuckbunny_720p_5s.mp4"

BARE = [sys.executable, "-c", "pass"]
CASES = {
    "import_s": [sys.executable, "-c", "import longtake"],
    "help_s": [sys.executable, "-m", "longtake", "--help"],
    "info_s": [sys.executable, "-m", "longtake", "info", str(BUNNY)],
}
TARGETS = {"import_s": 0.3}
"""Seconds over the bare interpreter, at most (issue: ask an hour-long video a question)."""


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one process; its failure ends the benchmark."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed by a full run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few rounds: seconds in all")
    smoke: bool = parser.parse_args().smoke
    rounds = 3 if smoke else 15
    commands = {"bare_s": BARE, **CASES}
    for command in commands.values():
        seconds(command)  # the first start reads the files from disk and writes bytecode
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(seconds(command))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    figures = {name: round(medians[name] - medians["bare_s"], 4) for name in CASES}
    print(f"python starts in {medians['bare_s']:.3f} s; over that, median of {rounds}:")
    for name, figure in figures.items():
        target = f"   (at most {TARGETS[name]} s)" if name in TARGETS else ""
        print(f"  {name:10} {figure:7.3f} s{target}")
    ok = all(figures[name] <= most for name, most in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok or smoke else 1


if __name__ == "__main__":
    sys.exit(main())
