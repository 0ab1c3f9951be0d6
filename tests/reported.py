"""Folders of runs as `longtake eval` leaves them, written by the code that writes them, from made-up answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtake.evals import Item, Place, VideoName
from longtake.evals.judged import verdict
from longtake.evals.letters import read_option
from longtake.evals.splits import digest
from longtake.judges import Answered, Judged
from longtake.judges.kept import line_of
from longtake.judges.prompts import KINDS
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


def spoken(name: str, aspects: tuple[str, ...], *, category: str = "open") -> Item:
    """An open question that a judge marks."""
    place = Place("made up")
    return Item(name, VideoName((name,)), "What?", place, reference="a dog", categories=(category,), aspects=aspects)


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


def write_judge(folder: Path, name: str, rows: Sequence[Row], replies: dict[str, dict[str, str | None]]) -> None:
    """What a judge replied, by item and by what it was asked, marked as `longtake eval judge` marks it."""
    by_id = {row.id: row for row in rows}
    lines = [line_of(_judged(by_id[id], prompt, said)) for id, some in replies.items() for prompt, said in some.items()]
    (folder / f"judge-{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def _judged(row: Row, prompt: str, reply: str | None) -> Judged:
    found = verdict(reply, KINDS[prompt].aspects) if reply is not None else None
    scores = found.scores if found else {}
    why = "network.unreachable: nobody answers" if found is None else found.why
    answer = Answered(row.item, row.answer or "", row.twin_answer or "").sha256
    return Judged(row.id, prompt, "0", answer, {"model": "judge-1"}, "0", scores or None, "" if scores else why, reply)
