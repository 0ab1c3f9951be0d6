"""evals.benchmarks._files: what a user names in, the files to read out. Knows no format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals.records import refuse_missing

UNDER = ("", "json", "questions", "videomme", "data", "annotations")
"""Folders below the named one in which authors keep their files."""


def one_file(files: Path, names: Sequence[str]) -> Path:
    """The file itself, or the one in a folder that has one of the known names.

    Raises:
        LongtakeError: `media.not_found` if there is none; `usage.bad_option` if there are several.
    """
    if not files.is_dir():
        return files
    found = [path for path in _known(files, names) if path.is_file()]
    if len(found) > 1:
        reason = f"holds {' and '.join(path.name for path in found)}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(files), reason, "name the one to read")
    return found[0] if found else _refuse(files, names)[0]


def known_files(files: Path, names: Mapping[str, Sequence[str]]) -> list[tuple[str, Path]]:
    """The files of a set, each with what it is known as: those that a folder has, or the one that is named.

    Args:
        names: what it is known as -> the names that it may have.

    Raises:
        LongtakeError: `media.not_found` if there are none; `usage.bad_option` for a file whose name is not known.
    """
    if files.is_dir():
        found = [(kind, path) for kind, some in names.items() for path in _known(files, some)[:1]]
        return found or [("", path) for path in _refuse(files, [name for some in names.values() for name in some])]
    for kind, some in names.items():
        if files.name in some:
            return [(kind, files)]
    refuse_missing(files)
    advice = f"keep its name, which tells what it holds: {', '.join(name for some in names.values() for name in some)}"
    raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(files), "has a name that is not known here", advice)


def beside(path: Path, name: str) -> Path | None:
    """Another file in the same folder, if it is there."""
    other = path.parent / name
    return other if other.is_file() else None


def _known(folder: Path, names: Sequence[str]) -> list[Path]:
    return [path for under in UNDER for name in names if (path := folder / under / name).is_file()]


def _refuse(folder: Path, names: Sequence[str]) -> list[Path]:
    reason = f"holds none of {', '.join(names)}"
    raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(folder), reason, "docs/evals.md says where they come from")
