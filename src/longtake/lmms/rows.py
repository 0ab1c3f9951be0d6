"""lmms/rows: a benchmark's files in, rows of a data set for lmms-eval's tasks out; and a row's question again.

A task file names a data set of one row, `{"benchmark": "msvd_qa"}`; what lmms-eval calls `process_docs` puts in its
place the questions of the files below LONGTAKE_BENCHMARKS/msvd_qa, where the videos lie too. Knows no benchmark.

V-NIAH has no files of questions: `lmms.haystacks` makes films and rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, Place, VideoName, read_items
from longtake.evals.asking import Wording, asking_of
from longtake.evals.benchmarks import ROOM
from longtake.evals.finding import Footage, footage

HOME = "LONGTAKE_BENCHMARKS"
"""The environment variable that names the folder with a folder for each benchmark."""


ROWS = "lmms_rows.jsonl"
"""Rows that were made beforehand, with videos relative to their folder."""


def rows_of(benchmark: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each question, all of one form: lmms-eval keeps them as a table.

    Args:
        benchmark: its name.
        folder: holds the annotation files as the authors publish them, and the videos, in any folders below.

    Raises:
        LongtakeError: `media.not_found`, `data.bad` for the first row of the files that is not as it should be.
    """
    if (folder / ROWS).is_file():
        for line in (folder / ROWS).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield {**row, "video": str(folder / row["video"])}
        return
    videos = footage(folder)
    for item in read_items(parts.find(ROOM, benchmark)(), folder):
        if isinstance(item, LongtakeError):
            raise item
        yield {
            "benchmark": benchmark,
            "id": item.id,
            "video": str(_place_of(item.video, videos)),
            "question": item.question,
            "options": list(item.options),
            "labels": list(item.labels),
            "right": -1 if item.right is None else item.right,
            "reference": item.reference or "",
            "categories": list(item.categories),
        }


def item_of(row: Mapping[str, Any]) -> Item:
    """A row's question, as far as asking and marking it needs."""
    return Item(
        id=row["id"],
        video=VideoName((row["video"],)),
        question=row["question"],
        place=Place(row["id"]),
        options=tuple(row["options"]),
        labels=tuple(row["labels"]),
        right=None if row["right"] < 0 else row["right"],
        reference=None if row["options"] else row["reference"],
        categories=tuple(row["categories"]),
    )


def asked(row: Mapping[str, Any], wording: Wording) -> str:
    """The words in which a row's question is put; as it stands, where the row is of no benchmark with files."""
    item = item_of(row)
    if not row["benchmark"]:
        return item.question
    return asking_of(parts.find(ROOM, row["benchmark"])(), item, wording).text(item)


def home_of(benchmark: str) -> Path:
    """The folder of a benchmark's files.

    Raises:
        LongtakeError: `usage.bad_option` where LONGTAKE_BENCHMARKS does not say it.
    """
    home = os.environ.get(HOME)
    if not home:
        reason = "is not set, and says where the benchmarks' files are"
        advice = f"put {benchmark}'s into a folder {benchmark}, and set {HOME} to the folder around it"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, HOME, reason, advice)
    return Path(home).expanduser() / benchmark


def _place_of(video: VideoName, videos: Footage) -> Path:
    """Its file; where there is none the place where it would be looked for, so that whoever asks tells all at once."""
    try:
        return videos.find(video)
    except LongtakeError as error:
        if error.code is not ErrorCode.MEDIA_NOT_FOUND:
            raise
        return videos.folder / f"{video.key}.mp4"
