"""media/bad_case: what one generated file is, what is true of it, and what longtake promises to do with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Maker = Callable[[Path], None]
"""Writes one file, link or folder at the path that it is given."""

FINE = "ok"
"""Stands where others have an error code: exit status 0."""

UNKNOWN, NOT_ALLOWED, NOT_A_FILE = "media.unknown_format", "media.format_not_allowed", "media.not_a_file"
CONTAINER, TRUNCATED, CORRUPT = "media.container", "media.truncated", "media.corrupt"
NO_VIDEO, CODEC, NOT_FOUND, EMPTY = "media.no_video", "media.codec", "media.not_found", "media.empty"
PIXELS, BYTES = "limit.pixels", "limit.bytes"

FRAMES = 60
"""Of most files."""

_STATUS = {"ok": 0, "usage": 2, "media": 3, "model": 4, "limit": 5, "disk": 7}


@dataclass(frozen=True)
class Promise:
    """How each command ends: "ok" or the code of an error.

    Attributes:
        info: `longtake info FILE`; reads all packets and one frame.
        frames: `longtake frames FILE -o sheet.png`; reads frames, the last among them.
        skip: the same with `--on-corrupt skip`.
    """

    info: str
    frames: str
    skip: str


@dataclass(frozen=True)
class Truth:
    """What is true of the frames that a player would show.

    Attributes:
        times_s: of each frame from the first.
        numbers: what each frame shows (`numbered.read`); None where the picture is too small, or shows nothing.
        width_px, height_px: as displayed, from the first frame; None: not told.
        lost: of a damaged file: the places in `times_s` that `--on-corrupt skip` may leave out; no other may be.
        notes: words that the notes of `longtake info` must hold.
        tolerance_s: how far a time may be off: the rounding of the container.
    """

    times_s: tuple[float, ...]
    numbers: tuple[int, ...] | None
    width_px: int | None = 160
    height_px: int | None = 128
    lost: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    tolerance_s: float = 0.0011


@dataclass(frozen=True)
class Case:
    """One file of the corpus.

    Attributes:
        name: of the file; "\\udcXX" stands for a byte that is no UTF-8.
        made: how, in a few words.
        make: writes it.
        promise: how the commands end.
        truth: of its frames; None where nothing can be read.
    """

    name: str
    made: str
    make: Maker
    promise: Promise
    truth: Truth | None = None

    @property
    def row(self) -> str:
        """Of the table of faults: "M4" for m04_html.mp4; names that would hide it are all of M26."""
        found = re.match(r"-?m(\d\d)_", self.name)
        return f"M{int(found[1])}" if found else "M26"

    @property
    def good(self) -> bool:
        """Whether the file must be read."""
        return self.promise.frames == FINE

    def as_dict(self) -> dict[str, object]:
        """Plain values for `truth.json`; names with bytes that are no UTF-8 are escaped."""
        ends = {key: {"code": code, "exit_status": status_of(code)} for key, code in asdict(self.promise).items()}
        return {
            "file": self.name.encode("utf-8", "backslashreplace").decode(),
            "row": self.row,
            "made": self.made,
            "promise": ends,
            "truth": None if self.truth is None else asdict(self.truth),
        }


def status_of(code: str) -> int:
    """The exit status that belongs to a code."""
    return _STATUS[code.partition(".")[0]]


def refused(name: str, made: str, make: Maker, *, code: str) -> Case:
    """A file that every command refuses with the same code."""
    return Case(name, made, make, Promise(code, code, code))


def damaged(name: str, made: str, make: Maker, *, info: str = FINE, lost: Iterable[int]) -> Case:
    """A file of which `--on-corrupt skip` gives every frame but at most the `lost` ones; nothing where all are lost."""
    truth = Truth(**even(FRAMES), lost=tuple(lost))
    return Case(name, made, make, Promise(info, CORRUPT, CORRUPT if len(truth.lost) == FRAMES else FINE), truth)


def cut_amid(name: str, made: str, make: Maker, *, lost: Iterable[int]) -> Case:
    """A file that ends inside a part of its container; `--on-corrupt skip` gives every frame but at most the `lost`."""
    truth = Truth(**even(FRAMES), lost=tuple(lost))
    return Case(name, made, make, Promise(TRUNCATED, TRUNCATED, FINE), truth)


def even(frames: int, *, fps: float = 25, first: int = 0) -> dict[str, Any]:
    """Times and numbers of a video that shows `first`, `first` + 1, ... at an even rate."""
    return {
        "times_s": tuple(round(place / fps, 6) for place in range(frames)),
        "numbers": tuple(range(first, first + frames)),
    }


def spans(truth: Truth) -> Sequence[tuple[float, float]]:
    """First and last time of each run of frames that may be lost."""
    runs: list[list[int]] = []
    for place in truth.lost:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return [(truth.times_s[run[0]], truth.times_s[run[-1]]) for run in runs]
