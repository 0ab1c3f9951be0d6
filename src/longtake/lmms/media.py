"""lmms/media: what tasks of lmms-eval hand on as visuals in, opened videos and pictures out. Knows no model.

A visual is a path, a picture (PIL), or a mapping with a path and perhaps the stretch that is meant.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import Video
from longtake.video.opening import open_video

_STARTS, _ENDS = ("start_time", "video_start"), ("end_time", "video_end")
_PATHS = ("url", "path", "video", "image")


@dataclass(frozen=True)
class Medium:
    """What is to be seen: equal values are the same thing, so that a prefix of one serves the other.

    Attributes:
        path: of a file; "" for a picture that lies in none.
        start_s, end_s: the stretch that is meant, if it is not all.
        pixels: SHA-256 of a picture that lies in no file.
    """

    path: str = ""
    start_s: float | None = None
    end_s: float | None = None
    pixels: str = ""


def medium_of(visual: Any) -> Medium:
    """What a visual stands for.

    Raises:
        LongtakeError: `data.bad` for sound, arrays and whatever else is neither file nor picture; `media.not_found`
            for an address.
    """
    if isinstance(visual, str | os.PathLike):
        path = os.fspath(visual).removeprefix("file://")
        if "://" in path:
            reason, advice = "is an address, and longtake fetches nothing", "let the task download its videos first"
            raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, path, reason, advice)
        return Medium(path)
    if isinstance(visual, Mapping):
        inner = next((visual[name] for name in _PATHS if visual.get(name) is not None), None)
        if inner is not None and visual.get("type", "video") in ("video", "image"):
            found = medium_of(inner)
            start_s, end_s = _time(visual, _STARTS), _time(visual, _ENDS)
            return Medium(found.path, found.start_s if start_s is None else start_s, end_s or found.end_s, found.pixels)
    if hasattr(visual, "tobytes") and hasattr(visual, "convert"):
        digest = hashlib.sha256(f"{visual.mode} {visual.size}".encode() + visual.tobytes()).hexdigest()
        return Medium(pixels=digest)
    kind = visual.get("type", "mapping") if isinstance(visual, Mapping) else type(visual).__name__
    reason, advice = f"shows a {kind}, which is neither a file nor a picture", "longtake reads videos and pictures"
    raise LongtakeError(ErrorCode.DATA_BAD, "the task", reason, advice)


@contextmanager
def opened(visuals: Sequence[Any]) -> Iterator[list[Video]]:
    """The files of visuals, opened; pictures that lie in none are in a folder that is gone behind the `with`.

    Raises:
        LongtakeError: as `medium_of`; `media.*`, `limit.*`, `usage.bad_span`.
    """
    with TemporaryDirectory(prefix="longtake-") as folder:
        yield [_opened(visual, Path(folder) / f"{place}.png") for place, visual in enumerate(visuals)]


def _opened(visual: Any, place: Path) -> Video:
    medium = medium_of(visual)
    if medium.pixels:
        _picture(visual).convert("RGB").save(place)
        return open_video(place)
    video = open_video(medium.path)
    if medium.start_s is None and medium.end_s is None:
        return video
    return video.stretch(medium.start_s, medium.end_s)


def _picture(visual: Any) -> Any:
    while isinstance(visual, Mapping):
        visual = next(visual[name] for name in _PATHS if visual.get(name) is not None)
    return visual


def _time(visual: Mapping[str, Any], names: Sequence[str]) -> float | None:
    told = next((visual[name] for name in names if visual.get(name) is not None), None)
    return None if told is None else float(told)
