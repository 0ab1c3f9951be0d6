"""train/corpus: files of text in, documents out, one after another. Knows nothing of tokens or models.

The order of the documents follows from files and seed alone. Each round through the data takes the files in a new
order and mixes their documents in a small buffer, so that memory does not grow with the data.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from longtake.errors import ErrorCode, LongtakeError

TEXT_ENDINGS = (".txt", ".text", ".md", ".rst")
LINE_ENDINGS = (".jsonl", ".ndjson")
TABLE_ENDINGS = (".parquet",)
ENDINGS = (*TEXT_ENDINGS, *LINE_ENDINGS, *TABLE_ENDINGS)
ROWS_AT_ONCE = 256
WHOLE_BYTES = 2**22
"""A longer text file is several documents, cut after a line where there is one: a million tokens, more than a row."""
MIXED_CHARACTERS = 2**26
"""So much text, at most, waits to be mixed, however many documents that is."""


@dataclass(frozen=True)
class Document:
    """A text, and where it stands: the file, with the line or row where it has several."""

    text: str
    place: str


class Source(Protocol):
    """Where training text comes from."""

    def training(self, seed: Sequence[int]) -> Iterator[Document]:
        """Documents to train on, without end; the same seed gives the same again."""
        ...

    def held_out(self) -> Iterator[Document]:
        """Documents that are never trained on, in a fixed order."""
        ...

    def told(self) -> dict[str, Any]:
        """What tells this source from another; kept with the recipe."""
        ...


@dataclass(frozen=True)
class Corpus:
    """Documents of files: one for a text file, one for each line of jsonl, one for each row of parquet.

    Attributes:
        files: see `find_files`.
        field: the key or column that holds the text.
        held_out_share: of the documents, chosen by a hash of their text, are kept from training.
        buffer: so many documents are held to be mixed.
    """

    files: tuple[Path, ...]
    field: str = "text"
    held_out_share: float = 0.01
    buffer: int = 1000

    def training(self, seed: Sequence[int]) -> Iterator[Document]:
        """Documents to train on, round after round.

        Raises:
            LongtakeError: `data.bad`, also when a whole round holds no document.
        """
        for number in count():
            empty = True
            for document in self.round(seed, number):
                empty = False
                yield document
            if empty:
                raise nothing_to_train_on(self.files)

    def round(self, seed: Sequence[int], number: int) -> Iterator[Document]:
        """Every document to train on once, in the order of round `number`."""
        rng = np.random.default_rng([*seed, number])
        order = [self.files[place] for place in rng.permutation(len(self.files))]
        read = (document for path in order for document in read_documents(path, self.field))
        return mixed((document for document in read if not self._kept_out(document)), rng, self.buffer)

    def held_out(self) -> Iterator[Document]:
        """Documents kept from training, in the order of the files."""
        if self.held_out_share:
            for path in self.files:
                yield from (document for document in read_documents(path, self.field) if self._kept_out(document))

    def told(self) -> dict[str, Any]:
        """The files with their sizes in bytes: other bytes would be another training."""
        return {"files": [[str(path), path.stat().st_size] for path in self.files]}

    def _kept_out(self, document: Document) -> bool:
        digest = hashlib.blake2b(document.text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.held_out_share * 2**64


def find_files(
    patterns: Sequence[str], endings: Sequence[str] = ENDINGS, *, option: str = "--data "
) -> tuple[Path, ...]:
    """Files, folders (all files below that end in one of `endings`) and globs as a sorted list of files.

    Args:
        option: that the patterns were given to, for the refusal.

    Raises:
        LongtakeError: `usage.bad_option` if a pattern finds nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        some = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))] or [Path(pattern)]
        files = [file for path in some for file in (_below(path, endings) if path.is_dir() else [path])]
        if not files or not all(file.is_file() for file in files):
            fits = f"name files, folders or globs of {', '.join(endings)}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{option}{pattern}", "finds no file", fits)
        found.update(dict.fromkeys(files))
    return tuple(found)


def read_documents(path: Path, field: str) -> Iterator[Document]:
    """The documents of one file in order; blank ones are left out, for there is nothing in them to leave out.

    Raises:
        LongtakeError: `data.bad`, naming file and line or row.
    """
    endings = [ending for ending in path.suffixes if ending != ".gz"]
    ending = endings[-1].lower() if endings else ""
    if ending in TABLE_ENDINGS:
        documents = _rows(path, field)
    elif ending in LINE_ENDINGS:
        documents = _lines(path, field)
    else:
        documents = _whole(path)
    yield from (document for document in documents if document.text.strip())


def mixed(documents: Iterator[Document], rng: np.random.Generator, buffer: int) -> Iterator[Document]:
    """The same documents in another order: each waits among `buffer` others until it is drawn.

    Among fewer where they are long: no more than MIXED_CHARACTERS wait.
    """
    waiting: list[Document] = []
    characters = 0
    for document in documents:
        waiting.append(document)
        characters += len(document.text)
        while len(waiting) > buffer or (characters > MIXED_CHARACTERS and len(waiting) > 1):
            # The newest takes the place of the one that is drawn.
            place, newest = int(rng.integers(len(waiting) - 1)), waiting.pop()
            drawn, waiting[place] = waiting[place], newest
            characters -= len(drawn.text)
            yield drawn
    yield from (waiting[place] for place in rng.permutation(len(waiting)))


def nothing_to_train_on(files: Sequence[Path]) -> LongtakeError:
    """The refusal of data that a whole round of holds no document."""
    named = f"{files[0]} and {len(files) - 1} more" if len(files) > 1 else files[0]
    return bad_data(str(named), "no document to train on", "give more text, or hold out less")


def bad_data(place: str, reason: str, advice: str) -> LongtakeError:
    """The refusal of something in a data set."""
    return LongtakeError(ErrorCode.DATA_BAD, place, reason, advice)


def _below(folder: Path, endings: Sequence[str]) -> list[Path]:
    known = tuple(endings)
    return sorted(path for path in folder.rglob("*") if path.name.lower().removesuffix(".gz").endswith(known))


def _open(path: Path) -> io.BufferedIOBase:
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    return opened


def _whole(path: Path) -> Iterator[Document]:
    """The file as one document, or as several where it is very long; only one of them is held at once."""
    with _telling(str(path)):
        file = _open(path)
    with file:
        decoder, text, last = codecs.getincrementaldecoder("utf-8")(), "", False
        for part in count(1):
            while not last and len(text) < WHOLE_BYTES:
                with _telling(str(path)):
                    read = file.read(WHOLE_BYTES)
                    last = not read
                    text += decoder.decode(read, final=last)
            cut = len(text) if last else text.rfind("\n", 0, WHOLE_BYTES) + 1 or WHOLE_BYTES
            yield Document(text[:cut], str(path) if last and part == 1 else f"{path}: part {part}")
            text = text[cut:]
            if last and not text:
                return


def _lines(path: Path, field: str) -> Iterator[Document]:
    with _open(path) as file:
        lines = iter(file)
        number = 0
        while True:
            number += 1
            with _telling(f"{path}:{number}"):
                line = next(lines, None)
                text = "" if line is None or not line.strip() else _field(json.loads(line.strip()), field)
                # A lone surrogate is valid JSON and no text; said here, where its line is known.
                text.encode()
            if line is None:
                return
            yield Document(text, f"{path}:{number}")


def _field(row: Any, field: str) -> str:
    if not isinstance(row, dict):
        raise ValueError(f"is no object but {type(row).__name__}")
    if field not in row:
        raise ValueError(f"has no text under {field!r}; its keys are {', '.join(map(str, row))}")
    text = row[field]
    if not isinstance(text, str):
        raise ValueError(f"has no text under {field!r} but {type(text).__name__}")
    return text


def _rows(path: Path, field: str) -> Iterator[Document]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        reason, advice = "reading parquet needs pyarrow", "pip install 'longtake[data]'"
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, str(path), reason, advice) from error
    with _telling(str(path), ArrowException):
        table = parquet.ParquetFile(path)
        names = table.schema_arrow.names
        if field not in names:
            raise ValueError(f"has no column {field!r}; its columns are {', '.join(names)}")
    number = 0
    batches = table.iter_batches(ROWS_AT_ONCE, columns=[field])
    while True:
        with _telling(f"{path}: row {number}", ArrowException):
            batch = next(batches, None)
            texts = [] if batch is None else batch.column(0).to_pylist()
        if batch is None:
            return
        for text in texts:
            if not isinstance(text, str):
                reason = f"holds {type(text).__name__} in column {field!r} where text should be"
                raise bad_data(f"{path}: row {number}", reason, "mend that row, or name another column as text_field")
            yield Document(text, f"{path}: row {number}")
            number += 1


class _telling:
    """Tells what is wrong with a file as `data.bad`, with its place."""

    def __init__(self, place: str, *more: type[Exception]) -> None:
        self._place = place
        self._kinds: tuple[type[BaseException], ...] = (OSError, EOFError, ValueError, RecursionError, *more)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self._kinds):
            reason = " ".join(str(error).split())
            raise bad_data(self._place, reason, "mend or remove it; text is UTF-8") from error
