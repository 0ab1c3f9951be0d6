"""fuzz: a budget of processor time in, one line of JSON about the inputs tried out. See the package for the rest."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .child import Child
from .edits import applied
from .running import Run, State
from .seeds import seeds

_TOLD_EVERY_S = 60.0
_EPILOG = (
    "Crashes, hangs and bugs are failures. Frames to judge are suspicions: their number or time is not what it was "
    "before the edit. An edit of a time, a rotation or the frame data itself changes what is true, and most formats "
    "carry no checksum (docs/reading.md)."
)


def main() -> int:
    """Run; 1 if a process crashed or hung, or longtake itself failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz looking at and reading videos.", epilog=_EPILOG
    )
    parser.add_argument("--minutes", type=float, default=60, help="processor time of the inputs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (%(default)s)")
    parser.add_argument("--out", type=Path, help="where findings go; a run that is there already goes on")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="seeds to start from")
    parser.add_argument("--again", type=Path, metavar="FINDING.json", help="try one finding once more")
    asked = parser.parse_args()
    if asked.again:
        return again(asked.again)
    if not asked.out:
        parser.error("--out DIR is needed")
    began_s = time.monotonic()
    run = Run(asked.out, seeds(tuple(asked.only)), seed=asked.seed)
    state = watched(run, asked.minutes * 60)
    print(json.dumps(summary(state, time.monotonic() - began_s)))  # noqa: T201
    return 1 if any(state.total(kind) for kind in ("crash", "hang", "bug")) else 0


def watched(run: Run, cpu_s: float) -> State:
    """Run with a bar on a terminal, with a line a minute elsewhere."""
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} cpu s, {task.description}"))
    last_s = 0.0
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=cpu_s)

        def tell(state: State) -> None:
            nonlocal last_s
            progress.update(task, completed=state.cpu_s, description=words(state))
            if not console.is_terminal and time.monotonic() - last_s > _TOLD_EVERY_S:
                last_s = time.monotonic()
                print(f"{state.cpu_s:7.0f} cpu s, {words(state)}", file=sys.stderr, flush=True)  # noqa: T201

        return run.go(cpu_s=cpu_s, tell=tell)


def words(state: State) -> str:
    """The counts that matter while it runs."""
    counts = (
        f"{state.total(kind)} {plural}" for kind, plural in (("crash", "crashes"), ("hang", "hangs"), ("bug", "bugs"))
    )
    return f"{state.inputs:,} inputs, {', '.join(counts)}, {state.frames['wrong']} frames to judge"


def summary(state: State, wall_s: float) -> dict[str, object]:
    """The line of JSON."""
    return {
        "inputs": state.inputs,
        "cpu_s": round(state.cpu_s, 1),
        "wall_s_of_this_part": round(wall_s, 1),
        "crashes": state.total("crash"),
        "hangs": state.total("hang"),
        "bugs": state.total("bug"),
        "wrong_kinds": state.total("wrong"),
        "frames": dict(state.frames.most_common()),
        "outcomes": dict(state.outcomes.most_common()),
        "findings": dict(state.findings.most_common()),
        "seed": state.seed,
    }


def again(path: Path) -> int:
    """Try one finding once more and print how it ended."""
    told = json.loads(path.read_text())
    (seed,) = seeds((told["seed"],))
    edits = [(at, removed, bytes.fromhex(new)) for at, removed, new in told["edits"]]
    data = applied(seed.data, edits)
    tried = path.with_suffix(".again.bin")
    tried.write_bytes(data)
    child = Child()
    try:
        ended = child(tried, seed)
    finally:
        child.close()
    print(json.dumps({"death": ended.death, **ended.trial}, indent=1))  # noqa: T201
    return 1 if ended.death or ended.trial["bugs"] else 0


if __name__ == "__main__":
    sys.exit(main())
