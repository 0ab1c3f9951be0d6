"""evals/subtitles: a file of subtitles in, what is said when out. Knows no benchmark.

SubRip (.srt), as Video-MME has them, and JSON, as LongVideoBench has them: `[{"start": "00:00:01.000", "end": ...,
"line": ...}]`, or `[{"timestamp": [1.0, 2.5], "text": ...}]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Place, bad_row
from longtake.evals.records import MEND, Record, json_records

_TIMES = re.compile(r"(\d+:\d\d:\d\d[,.]\d+)\s*-->\s*(\d+:\d\d:\d\d[,.]\d+)")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True)
class Line:
    """Something said, from one time to another, in seconds of what the file counts from.

    Attributes:
        end_s: None where the file does not say.
    """

    start_s: float
    end_s: float | None
    text: str


def read_subtitles(path: Path) -> list[Line]:
    """The lines of a file, in its order; lines without words are left out.

    Raises:
        LongtakeError: `media.not_found`; `data.bad`, naming the line.
    """
    if not path.is_file():
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path), "there are no such subtitles", "put them there")
    found = _from_json(path) if path.suffix.lower() == ".json" else _from_srt(path)
    return [line for line in found if line.text]


def spoken(lines: Sequence[Line], times_s: Sequence[float] = ()) -> list[str]:
    """What is said, each once: all of it, or what is said at the given times (those of the frames that are seen)."""
    heard = [line for line in lines if not times_s or any(_at(line, time_s) for time_s in times_s)]
    return list(dict.fromkeys(line.text for line in heard))


def _at(line: Line, time_s: float) -> bool:
    return line.start_s <= time_s and (line.end_s is None or time_s < line.end_s)


def _from_srt(path: Path) -> Iterator[Line]:
    try:
        rows = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise bad_row(str(path), f"cannot be read as text: {error}", "subtitles are UTF-8") from error
    times: tuple[float, float] | None = None
    words: list[str] = []
    for number, row in enumerate([*rows, ""], start=1):
        found = _TIMES.search(row)
        if "-->" in row:
            if found is None:
                raise bad_row(
                    Place(str(path), number), f"{row.strip()!r} is no pair of times", "want 00:00:01,000 --> ..."
                )
            times, words = (_seconds(found.group(1)), _seconds(found.group(2))), []
        elif row.strip():
            words.append(_MARKUP.sub("", row).strip())
        elif times is not None:
            yield Line(*times, " ".join(word for word in words if word))
            times, words = None, []


def _from_json(path: Path) -> Iterator[Line]:
    for record in json_records(path):
        if isinstance(record, LongtakeError):
            raise record
        yield _line(record)


def _line(record: Record) -> Line:
    if "timestamp" in record.values:
        times = record.values["timestamp"]
        good = isinstance(times, list) and len(times) == 2 and isinstance(times[0], int | float)
        if not good:
            raise record.bad(f"'timestamp' holds {times!r} where two numbers should be")
        end = float(times[1]) if isinstance(times[1], int | float) else None
        return Line(float(times[0]), end, str(record.values.get("text", "")).strip())
    start, end = (_time(record, name) for name in ("start", "end"))
    return Line(start, end, str(record.values.get("line", "")).strip())


def _time(record: Record, name: str) -> float:
    words = record.text(name)
    if not re.fullmatch(r"\d+:\d\d:\d\d([,.]\d+)?", words):
        raise bad_row(record.place, f"{name!r} holds {words!r} where hours:minutes:seconds should be", MEND)
    return _seconds(words)


def _seconds(words: str) -> float:
    hours, minutes, seconds = words.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
