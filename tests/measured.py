"""Folders of runs as `longtake eval` leaves them, written by the code that writes them, from answers that are made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtake.evals import Item, Place, VideoName
from longtake.evals.letters import read_option
from longtake.evals.splits import digest
from longtake.measure import Header, Row
from longtake.measure.rows import begin


def header_of(benchmark: str, ids: Sequence[str], **changed: Any) -> Header:
    """A header; `changed` are its fields."""
    told: dict[str, Any] = {
        "longtake": "0",
        "benchmark": benchmark,
        "benchmark_options": {},
        "split": "val, whole",
        "items": len(ids),
        "digest": digest(ids),
        "model": {"name": "nano", "sha256": "0" * 64},
        "parts": {
            "sampler": {"name": "uniform", "options": {"frames": 64}},
            "layout": {"name": "grid", "options": {}},
        },
        "prompt": "plain",
        "example": "Which?",
        "scoring": ("letter",),
        "frames": 64,
    }
    return Header(**{**told, **changed})


def choice(name: str, *, right: int = 1, options: int = 4, video: str = "", **more: Any) -> Item:
    """A question of multiple choice."""
    words = tuple(f"thing number {place}" for place in range(options))
    place = Place("made up")
    return Item(name, VideoName((video or name,)), "Which?", place, options=words, right=right, **more)


def answered(item: Item, number: int, answer: str | None, **more: Any) -> Row:
    """The row of an item with what a model said, read by longtake's rule; None: it failed."""
    came: dict[str, Any] = {"frames": 64, "tokens": {"visual": 256, "text": 40, "new": 3}}
    if answer is None:
        came = {"error": "media.not_found: there is no such file"}
    elif item.options:
        reading = read_option(answer, item.options, item.labels)
        came |= {"answer": answer, "read": reading.option}
    else:
        came |= {"answer": answer}
    return Row.of(item, number, **{**came, **more})


def write_run(folder: Path, header: Header, rows: Sequence[Row]) -> Path:
    """The folder with them."""
    begun = begin(folder, header)
    with begun.appending() as file:
        for row in rows:
            file.add(row)
    return folder


def write_judge(folder: Path, name: str, lines: Sequence[dict[str, Any]]) -> None:
    """What a judge said, as `longtake eval judge` writes it."""
    told = [{"digest": "0", "marks": None, "reason": "", "tokens": 100, "reply": None, **line} for line in lines]
    (folder / f"judge-{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
