"""evals/finding: a folder of videos and a name in, the file out. Knows no benchmark, and opens no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, VideoName, bad_row

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".gif")
"""Of several files that differ in nothing else, the first of these is taken."""


@dataclass(frozen=True)
class Footage:
    """The videos below a folder, by name without ending.

    Attributes:
        folder: as the user named it.
        by_stem: the paths, relative to the folder.
    """

    folder: Path
    by_stem: Mapping[str, tuple[Path, ...]]

    def find(self, video: VideoName) -> Path:
        """The file of a video: by the first of its names that one has, then by its YouTube id.

        Raises:
            LongtakeError: `media.not_found`; `data.bad` if several could be it.
        """
        for name in video.names:
            wanted = Path(name)
            here = [path for path in self.by_stem.get(_stem(wanted), ()) if _below(path, wanted)]
            if here:
                return self.folder / _only(_exact(here, wanted), name, self.folder)
        tagged = [
            path for paths in self.by_stem.values() for path in paths if video.youtube and _tagged(path, video.youtube)
        ]
        if tagged:
            return self.folder / _only(tagged, video.youtube, self.folder)
        names = " or ".join(dict.fromkeys(video.names))
        advice = f"put it below {self.folder}, in any folder, ending in {', '.join(ENDINGS)}"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, video.key, f"there is no video called {names}", advice)


def footage(folder: Path) -> Footage:
    """All videos below `folder`; a folder of pictures counts as one too (MVBench has such).

    Raises:
        LongtakeError: `media.not_found` if there is no such folder.
    """
    if not folder.is_dir():
        raise LongtakeError(
            ErrorCode.MEDIA_NOT_FOUND, str(folder), "there is no such folder", "name the videos' folder"
        )
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS or (path.is_dir() and any(path.glob("*.jpg"))):
            by_stem.setdefault(_stem(path), []).append(path.relative_to(folder))
    return Footage(folder, {stem: tuple(paths) for stem, paths in by_stem.items()})


def span_of(item: Item, path: Path) -> tuple[float, float] | None:
    """The stretch of the file that a question is about; None for all of it.

    Files in a folder `..._segment` (MVBench's second release) are cut to it already.
    """
    return None if path.parent.name.endswith("_segment") else item.span_s


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() in ENDINGS else path.name


def _tagged(path: Path, youtube: str) -> bool:
    """Whether a name ends in an id as downloaders write it: `Title [dQw4w9WgXcQ]`, `Title-dQw4w9WgXcQ`."""
    return bool(re.fullmatch(rf"(?:.*[ \[_-])?{re.escape(youtube)}\]?", _stem(path)))


def _below(path: Path, wanted: Path) -> bool:
    """Whether a path ends in the folders that a name has before it."""
    folders = wanted.parent.parts
    return not folders or path.parent.parts[-len(folders) :] == folders


def _exact(paths: list[Path], wanted: Path) -> list[Path]:
    """The files of just this name, if there are some."""
    return [path for path in paths if path.name == wanted.name] or paths


def _only(paths: list[Path], name: str, folder: Path) -> Path:
    if len({path.parent for path in paths}) > 1:
        several = ", ".join(str(path) for path in paths)
        raise bad_row(str(folder), f"several files could be {name}: {several}", "leave one of them there")
    return min(paths, key=lambda path: (*ENDINGS, path.suffix.lower()).index(path.suffix.lower()))
