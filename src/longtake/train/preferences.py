"""train/preferences: files of preferred and rejected answers in, checked pairs out. Knows nothing of models.

A row is {"prompt", "chosen", "rejected"} with "image", "images", "video" or "videos" that name files, as LLaVA-Hound's
(arXiv 2404.01258) and others' are; a row of words alone has none. Other keys are left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import LongtakeError
from longtake.train.corpus import LINE_ENDINGS, bad_data

PAIR_ENDINGS = (".json", *LINE_ENDINGS)
SHOWN = ("image", "images", "video", "videos")
MARKS = ("<image>", "<video>")
FILM_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
"""Tried in this order behind a name that is no file: LLaVA-Hound names its videos without an ending."""
FORM = '{"prompt", "chosen", "rejected", "video"}'
ADVICE = f"want rows like {FORM}, or leave such rows out with --on-bad skip"


@dataclass(frozen=True)
class Preference:
    """Two answers to a prompt, one of which is preferred.

    Attributes:
        place: file and row, for messages.
        names: of the pictures and videos, as they are written; all of them come before the prompt.
        files: where these are.
        prompt: in plain words.
        chosen, rejected: the answers.
    """

    place: str
    names: tuple[str, ...]
    files: tuple[Path, ...]
    prompt: str
    chosen: str
    rejected: str

    @property
    def key(self) -> str:
        """What tells it from other pairs: its words, and its files' names and sizes; wherever they lie."""
        sizes = [[name, path.stat().st_size] for name, path in zip(self.names, self.files, strict=True)]
        return _digest([sizes, self.prompt, self.chosen, self.rejected]).hex()

    def held_out(self, share: float) -> bool:
        """Whether it is kept from training, by a hash of its prompt and its files' names: all pairs of one are."""
        return int.from_bytes(_digest([self.names, self.prompt])[:8], "big") < share * 2**64


def read_preferences(path: Path, folder: Path) -> Iterator[Preference | LongtakeError]:
    """The pairs of a file in order; in place of one that is not as it should be, what is wrong with it (`data.bad`).

    Args:
        folder: that the names of pictures and videos are relative to.

    Raises:
        LongtakeError: `data.bad` if the file itself cannot be read.
    """
    for place, row in _rows(path):
        try:
            yield _preference(json.loads(row) if isinstance(row, str) else row, place, folder)
        except LongtakeError as error:
            yield error
        except (ValueError, RecursionError) as error:
            yield bad_data(place, f"cannot be read as JSON: {error}", "mend it")


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row with its place: the text of a line, or what a list holds."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = None if path.suffix in LINE_ENDINGS else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise bad_data(str(path), f"cannot be read as JSON: {error}", "mend it") from error
    if rows is None:
        # Not splitlines: other ends of lines, such as U+2028, may stand inside a JSON text.
        yield from ((f"{path}:{number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    elif isinstance(rows, list):
        # A row that is a text is written out again, for it to be refused as one.
        yield from ((f"{path}: row {number}", json.dumps(row)) for number, row in enumerate(rows))
    else:
        raise bad_data(str(path), f"holds no list but {type(rows).__name__}", f"want [{FORM}, ...]")


def _preference(row: Any, place: str, folder: Path) -> Preference:
    if not isinstance(row, dict):
        raise bad_data(place, f"is no object but {type(row).__name__}", ADVICE)
    prompt, chosen, rejected = (_text(row, key, place) for key in ("prompt", "chosen", "rejected"))
    for mark in MARKS:
        prompt = prompt.replace(f"{mark}\n", "").replace(f"\n{mark}", "").replace(mark, "").strip()
    for key, text in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
        if not text:
            raise bad_data(place, f"its {key} has no words", ADVICE)
    if chosen == rejected:
        raise bad_data(place, "chosen and rejected are the same", "leave such rows out with --on-bad skip")
    names = tuple(name for key in SHOWN for name in _names(row, key, place))
    return Preference(place, names, tuple(_file(folder, name, place) for name in names), prompt, chosen, rejected)


def _text(row: dict[str, Any], key: str, place: str) -> str:
    text = row.get(key)
    if not isinstance(text, str):
        raise bad_data(place, f"has no text under {key!r}; its keys are {', '.join(map(str, row))}", ADVICE)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # A lone surrogate is valid JSON and no text.
        raise bad_data(place, f"holds no Unicode text: {error.reason}", "mend or remove it") from error
    return text.strip()


def _names(row: dict[str, Any], key: str, place: str) -> list[str]:
    found = row.get(key)
    names = [] if found is None else [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise bad_data(place, f"its {key} is neither a name nor a list of names", "name files")
    return names


def _file(folder: Path, name: str, place: str) -> Path:
    tried = [folder / name, *(folder / f"{name}{ending}" for ending in FILM_ENDINGS)]
    for path in tried:
        if path.is_file():
            return path
    advice = "put it there, name its folder with --media, or leave such rows out with --on-bad skip"
    raise bad_data(place, f"{tried[0]} is not there", advice)


def _digest(told: Any) -> bytes:
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=16).digest()
