"""Runs for tests of judges: a folder as `longtake eval` leaves it, with answers that nobody had to give."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from chat import Chat, Sent
from longtake import parts
from longtake.evals import Item, Place, VideoName, good_items
from longtake.evals.benchmarks import ROOM
from longtake.evals.judged import OPEN
from longtake.measure import Header, Row
from longtake.measure.rows import begin

GOOD = '{"pred": "yes", "score": 4}'
SAMPLES = Path(__file__).resolve().parent / "evals"


def header(benchmark: str, items: int) -> Header:
    return Header(
        longtake="0",
        benchmark=benchmark,
        benchmark_options={},
        split="unknown",
        items=items,
        digest="d" * 64,
        model={"name": "nano"},
        parts={},
        prompt="published",
        example="",
        scoring=("letter",),
    )


def opens(count: int) -> list[Item]:
    """Short open questions; the reference of the third is `thing 3`."""
    return [
        Item(
            str(number),
            VideoName((f"v{number}",)),
            f"what is shown in number {number}?",
            Place("q.json", row=number),
            reference=f"thing {number}",
            aspects=OPEN,
        )
        for number in range(1, count + 1)
    ]


def samples(benchmark: str) -> list[Item]:
    """The made-up questions in tests/evals."""
    return good_items(parts.find(ROOM, benchmark)(), SAMPLES / benchmark)


def said(item: Item) -> str:
    return f"It is {item.reference}."


def run_folder(
    folder: Path, items: Sequence[Item], benchmark: str = "msvd_qa", answer: Callable[[Item], str | None] = said
) -> Path:
    """A run whose model said `answer` to each question, and to its twin; None failed."""
    with begin(folder, header(benchmark, len(items))).appending() as file:
        for number, item in enumerate(items):
            given = answer(item)
            if given is None:
                file.add(Row.of(item, number, error="media.not_found: there is no such file"))
            else:
                twin = f"{given} Again." if item.twin else None
                file.add(Row.of(item, number, answer=given, twin_answer=twin))
    return folder


def lines(folder: Path, name: str) -> list[dict[str, object]]:
    """A judge's file, sorted by item and prompt."""
    text = (folder / f"judge-{name}.jsonl").read_text()
    return sorted(map(json.loads, text.splitlines()), key=lambda line: (line["id"], line["prompt"]))


def completion(end: str = "stop", model: str = "judge-2026", **message: object) -> Sent:
    """A chat completion with any message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": end}
    return Sent(json.dumps({"model": model, "choices": [choice], "usage": {"prompt_tokens": 90}}).encode())


def judging(folder: Path, chat: Chat, *more: str) -> tuple[str, ...]:
    """The command that has `chat` judge a run."""
    return ("eval", "judge", str(folder), "--endpoint", chat.url, "--judge-model", "m", *more)


def number_in(text: str) -> int:
    """Which question a judge is asked about."""
    found = re.search(r"shown in number (\d+)", text)
    assert found is not None
    return int(found[1])
