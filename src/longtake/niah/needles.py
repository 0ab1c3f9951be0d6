"""niah.needles: a data set on disk in, trials out: LongVA's dataset.json, or rows of parquet. Knows nothing of models.

dataset.json    [{"path": "ucsd.jpeg", "prompt": "...", "answer": "B"}, ...], pictures beside it
*.parquet       columns image (bytes and path, as Hugging Face's `datasets` writes them), question, answer
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from longtake.errors import ErrorCode, LongtakeError
from longtake.niah import Insertion, Trial

DATASET = "dataset.json"
MOST_PIXELS = 100_000_000
"""Pictures of more are refused before they are decoded."""
_COLUMNS = ("image", "question", "answer")
_KEYS = ("path", "prompt", "answer")


@dataclass(frozen=True)
class _Needle:
    """One row: its name, where its picture is (a file or the bytes), its question and answer."""

    name: str
    picture: Path | bytes
    question: str
    answer: str


def read_needles(place: str, names: Sequence[str] = ()) -> list[Trial]:
    """The trials of a data set.

    Args:
        place: a dataset.json or another .json of its form, a .parquet file, or a folder that holds a dataset.json or
            parquet files.
        names: which to take, in this order, by picture name with or without its ending; all where there are none.

    Raises:
        LongtakeError: `media.not_found` where `place` or a picture is missing, all of them named; `data.bad` for a file
            that is not of that form, with its row; `media.unknown_format` and `limit.pixels` for pictures;
            `usage.bad_option` for a name that no needle has.
    """
    found = _chosen(place, list(_read(Path(place))), names)
    missing = [str(one.picture) for one in found if isinstance(one.picture, Path) and not one.picture.is_file()]
    if missing:
        one_is = "this picture is" if len(missing) == 1 else "these pictures are"
        others = [one.name for one in found if str(one.picture) not in missing]
        advice = "put it there" + (f", or take others with --needle: {', '.join(others)}" if others else "")
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, ", ".join(missing), f"{one_is} missing", advice)
    return [_trial(one, place) for one in found]


def _read(place: Path) -> Iterator[_Needle]:
    if place.is_dir():
        tables = sorted(place.rglob("*.parquet"))
        if (place / DATASET).is_file() or not tables:
            place = place / DATASET
        else:
            for table in tables:
                yield from _rows_of_parquet(table)
            return
    if not place.is_file():
        advice = f"give a {DATASET}, a parquet file, or the folder of either"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(place), "there is no such file", advice)
    yield from _rows_of_parquet(place) if place.suffix == ".parquet" else _rows_of_json(place)


def _rows_of_json(path: Path) -> Iterator[_Needle]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(str(path), f"cannot be read as JSON: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise _bad(str(path), "holds no list of needles")
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        if not isinstance(row, Mapping):
            raise _bad(where, "is no object")
        written, question, answer = (_text(row, key, where) for key in _KEYS)
        yield _Needle(Path(written).name, path.parent / written, question, answer)


def _rows_of_parquet(path: Path) -> Iterator[_Needle]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        advice = 'pip install "longtake[data]"'
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "pyarrow", "is needed to read parquet", advice) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        lacking = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if lacking:
            raise _bad(str(path), f"has no column {', '.join(lacking)}")
        rows = (row for batch in file.iter_batches(64, columns=list(_COLUMNS)) for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            yield _row_of_parquet(row, path, number)
    except pyarrow.ArrowException as error:
        raise _bad(str(path), f"is not parquet: {error}") from error


def _row_of_parquet(row: Mapping[str, object], path: Path, number: int) -> _Needle:
    where = f"{path}, row {number}"
    question, answer = _text(row, "question", where), _text(row, "answer", where)
    image = row["image"]
    if isinstance(image, bytes):
        return _Needle(f"{path.stem}-{number}", image, question, answer)
    held = image if isinstance(image, Mapping) else {}
    written, data = held.get("path"), held.get("bytes")
    name = Path(written).name if isinstance(written, str) and written else f"{path.stem}-{number}"
    if isinstance(data, bytes):
        return _Needle(name, data, question, answer)
    if isinstance(written, str) and written:
        return _Needle(name, path.parent / written, question, answer)
    raise _bad(where, "image holds neither bytes nor a path")


def _text(row: Mapping[str, object], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        came = "no" if value is None else "an empty" if isinstance(value, str) else f"a {type(value).__name__} as"
        raise _bad(where, f"has {came} {key}")
    return value


def _chosen(place: str, needles: Sequence[_Needle], names: Sequence[str]) -> list[_Needle]:
    if not needles:
        raise _bad(place, "holds no needles")
    named = _apart(needles)
    if not names:
        return named
    known = {spelling: one for one in reversed(named) for spelling in (Path(one.name).stem, one.name)}
    for name in names:
        if name not in known:
            advice = f"there are {', '.join(one.name for one in named)}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--needle {name}", f"{place} has no such needle", advice)
    return list(dict.fromkeys(known[name] for name in names))


def _apart(needles: Sequence[_Needle]) -> list[_Needle]:
    """The same, each with a name of its own: the second about one picture is `picture.png#2`."""
    told: dict[str, int] = {}
    named = []
    for one in needles:
        told[one.name] = told.get(one.name, 0) + 1
        name = one.name if told[one.name] == 1 else f"{one.name}#{told[one.name]}"
        named.append(_Needle(name, one.picture, one.question, one.answer))
    return named


def _trial(needle: _Needle, place: str) -> Trial:
    subject = str(needle.picture) if isinstance(needle.picture, Path) else f"{place}, {needle.name}"
    insertion = Insertion((read_picture(needle.picture, subject),))
    return Trial(needle.name, (insertion,), needle.question.strip(), needle.answer.strip())


def read_picture(picture: Path | bytes, subject: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, upright, of a picture's file or bytes; what is transparent is shown as stored.

    Raises:
        LongtakeError: `media.unknown_format`, `limit.pixels`, about `subject`.
    """
    try:
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as image:
            if image.width * image.height > MOST_PIXELS:
                reason = f"has {image.width:,} x {image.height:,} pixels; at most {MOST_PIXELS:,} are read"
                raise LongtakeError(ErrorCode.LIMIT_PIXELS, subject, reason, "make it smaller")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"is no picture that can be read: {error}"
        raise LongtakeError(ErrorCode.MEDIA_UNKNOWN_FORMAT, subject, reason, "give a PNG, JPEG or WebP file") from error


def _bad(subject: str, reason: str) -> LongtakeError:
    advice = "each row wants path, prompt and answer (JSON), or image, question and answer (parquet), in words"
    return LongtakeError(ErrorCode.DATA_BAD, subject, reason, advice)
