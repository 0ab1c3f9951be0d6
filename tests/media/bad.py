"""media/bad: a folder in, bad files and odd but good ones with the truth about each out. Knows nothing of longtake.

    python -m tests.media.bad --list
    python -m tests.media.bad --all DIR
    python -m tests.media.bad --only m23_torrent.mp4 DIR

Everything is made here from drawn pictures, the same bytes each time: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .bad_case import Case, spans
from .bad_cut import CUT_OR_HALF
from .bad_index import LYING
from .bad_large import LARGE
from .bad_noise import DAMAGED
from .bad_other import OTHER
from .bad_playlists import PLAYLISTS
from .odd_good import ODD_PICTURES
from .odd_times import ODD_TIMES

BAD: list[Case] = [*OTHER, *PLAYLISTS, *LARGE, *CUT_OR_HALF, *LYING, *DAMAGED]
"""Each must end in a refusal."""

ODD: list[Case] = [*ODD_PICTURES, *ODD_TIMES]
"""Each must be read right."""


def write(cases: Sequence[Case], folder: Path) -> list[Case]:
    """Write the files, `truth.json` and `truth.md`; returns the cases whose file the system would not take."""
    folder.mkdir(parents=True, exist_ok=True)
    refused = []
    for case in cases:
        try:
            case.make(folder / case.name)
        except OSError as error:
            # Names that are no UTF-8 and files of 200 GiB are not for every file system.
            sys.stderr.write(f"{case.name!a}: not written: {error.strerror}\n")
            refused.append(case)
    told = [case for case in cases if case not in refused]
    (folder / "truth.json").write_text(json.dumps([case.as_dict() for case in told], indent=1) + "\n")
    (folder / "truth.md").write_text(table(told))
    return refused


def table(cases: Sequence[Case]) -> str:
    """What is true of each file, for people."""
    head = ("file", "row", "made", "info", "frames", "frames --on-corrupt skip", "truth")
    rows = [head, tuple("---" for _ in head)]
    for case in sorted(cases, key=lambda case: (int(case.row[1:]), case.name)):
        promise = case.promise
        name = f"`{case.name.encode('unicode_escape', 'backslashreplace').decode()}`"
        rows.append((name, case.row, case.made, promise.info, promise.frames, promise.skip, _truth(case)))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def _truth(case: Case) -> str:
    truth = case.truth
    if truth is None:
        return ""
    parts = [f"{len(truth.times_s):,} frames to {truth.times_s[-1]:g} s"]
    parts += [f"{truth.width_px} x {truth.height_px}"] if truth.width_px else []
    parts += [f"the first shows {truth.numbers[0]}, the last {truth.numbers[-1]}"] if truth.numbers else []
    parts += [f"may be lost: {', '.join(f'{first:g} to {last:g} s' for first, last in spans(truth))}"] * bool(
        truth.lost
    )
    parts += [f"notes: {', '.join(truth.notes)}"] * bool(truth.notes)
    return "; ".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.media.bad", description="Write bad media files.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="print the table of all files")
    what.add_argument("--all", action="store_true", help="write all files")
    what.add_argument("--only", metavar="NAME", help="write one file")
    parser.add_argument("folder", nargs="?", type=Path, help="where to")
    given = parser.parse_args(arguments)
    if given.list:
        sys.stdout.write(table([*BAD, *ODD]))
        return 0
    if given.folder is None:
        parser.error("name the folder to write to")
    cases = [case for case in (*BAD, *ODD) if given.all or case.name == given.only]
    if not cases:
        parser.error(f"there is no file {given.only!a}; see --list")
    refused = write(cases, given.folder)
    sys.stdout.write(f"{len(cases) - len(refused)} files in {given.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
