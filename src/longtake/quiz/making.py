"""quiz.making: what is wanted in; its films and annotations in a folder out. Knows nothing of how films are drawn.

settings.json   what is made: something else may not be made here
videos/         a film each, renamed to its name when it is whole
videos.sha256   a line for each film that is whole, as `sha256sum --check` reads it
films.jsonl     what every film shows, second by second
worldqa.jsonl   the questions: what `longtake.evals` reads; written last, so that where it is all films are
made.json       counts and digests
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from longtake.durable import write_whole
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.evals.splits import digest
from longtake.identity import file_sha256
from longtake.measure.rows import alone_in
from longtake.quiz import KINDS, VERSION, Question, Spot, Wanted
from longtake.quiz.asking import film_at
from longtake.quiz.staging import PLACES_EACH, Staged
from longtake.world.film import write_film
from longtake.world.hour import film
from longtake.world.scenes import Scene
from longtake.world.vocabulary import PLACES

SETTINGS, SUMS, SHOWN, QUESTIONS, MADE = "settings.json", "videos.sha256", "films.jsonl", "worldqa.jsonl", "made.json"
VIDEOS, UNFINISHED = "videos", ".making"
WIDTH_PX, HEIGHT_PX = 320, 180
CRF = 26
SAMPLE_S = 32
"""So much of a film is made to foresee what all of them cost."""
SPARE = 1.2
"""So much more room than foreseen must be free."""
_SUM = re.compile(rf"([0-9a-f]{{64}})  ({VIDEOS}/[\w-]+\.mp4)\n")

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""


@dataclass(frozen=True)
class Foreseen:
    """What making costs, measured on a part of one film.

    Attributes:
        pictures: to draw and encode.
        seconds: that this takes.
        bytes: of the films.
    """

    pictures: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        told: counts and digests, as in made.json.
        new: films that were made now; the others were there.
        mended: of these, how many were there and were not as they had been written.
    """

    told: Mapping[str, object]
    new: int
    mended: int


def settings_of(wanted: Wanted) -> dict[str, object]:
    """All that films and questions depend on."""
    asked = {**dataclasses.asdict(wanted), "lengths_s": list(wanted.lengths_s)}
    return {"benchmark": "worldqa", "version": VERSION, **asked, "width_px": WIDTH_PX, "height_px": HEIGHT_PX}


def lines_of(spot: Spot, staged: Staged, questions: tuple[Question, ...]) -> tuple[str, list[str]]:
    """The film's line in films.jsonl, and its questions' lines in worldqa.jsonl."""
    shows = [
        {"from_s": take.start_s, "to_s": take.end_s, "place": take.shot.place, **_seen(take.shot)}
        for take in staged.takes
    ]
    video = f"{spot.name}.mp4"
    asked = [
        {
            "id": f"{spot.name}-{question.kind.replace(' ', '-')}",
            "video": video,
            "seconds": spot.length_s,
            "kind": question.kind,
            "question": question.text,
            "options": list(question.options),
            "answer": question.options[question.right],
            **({"asks_for": question.asks_for} if question.asks_for else {}),
            "seen_s": [list(span) for span in question.seen_s],
        }
        for question in questions
    ]
    film_line = {"video": video, "seconds": spot.length_s, "shows": shows}
    return json.dumps(film_line) + "\n", [json.dumps(row) + "\n" for row in asked]


def foresee(wanted: Wanted) -> Foreseen:
    """Draw and encode the beginning of the longest film twice, in a temporary folder, and reckon from that.

    Raises:
        LongtakeError: `disk.write`.
    """
    staged, _ = film_at(Spot(wanted.seed, wanted.lengths_s[-1], 0))
    length_s = min(wanted.lengths_s[-1], SAMPLE_S)
    with writing(tempfile.gettempdir()), tempfile.TemporaryDirectory(prefix="longtake-quiz-") as folder:
        path = Path(folder) / "film.mp4"
        begin_s = time.perf_counter()
        _write(path, staged, wanted, most_s=length_s)
        first_s = time.perf_counter() - begin_s
        _write(path, staged, wanted, most_s=length_s)
        again_s = time.perf_counter() - begin_s - first_s
        size = path.stat().st_size
    pictures = wanted.seconds * wanted.fps
    # The first time backgrounds are painted, which are kept for later films.
    drawn = [take for take in staged.takes if take.start_s < length_s]
    grounds = len({(take.shot.place, take.staging.place_seed) for take in drawn})
    paint_s = max(0.0, first_s - again_s) / grounds * min(len(PLACES) * PLACES_EACH, wanted.seconds)
    draw_s = again_s / (length_s * wanted.fps) * pictures
    return Foreseen(pictures, paint_s + draw_s, round(size / length_s * wanted.seconds))


def make(folder: Path, wanted: Wanted, *, foreseen: Foreseen | None = None, progress: Progress | None = None) -> Made:
    """Make what is not there yet. A run that was stopped, wherever it was, goes on; one that ended does nothing.

    Args:
        folder: is made if need be.
        foreseen: refused beforehand if there is no room for it.
        progress: hears of films.

    Raises:
        LongtakeError: `usage.bad_option` where something else was made, or another process is at it; `disk.write`.
    """
    with ExitStack() as stack:
        stack.enter_context(writing(str(folder)))
        (folder / VIDEOS).mkdir(parents=True, exist_ok=True)
        stack.enter_context(alone_in(folder, None))
        _refuse_other(folder, settings_of(wanted))
        whole, damaged = _whole(folder)
        if foreseen is not None:
            _refuse_too_large(folder, foreseen, 1 - len(whole) / wanted.films)
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        (folder / UNFINISHED).mkdir()
        shown, asked = list[str](), list[str]()
        new = 0
        with open(folder / SUMS, "a", encoding="ascii", buffering=1) as sums:
            for number, spot in enumerate(wanted.spots):
                staged, questions = film_at(spot)
                film_line, lines = lines_of(spot, staged, questions)
                shown.append(film_line)
                asked += lines
                name = f"{VIDEOS}/{spot.name}.mp4"
                if name not in whole:
                    sums.write(f"{_film(folder, name, staged, wanted)}  {name}\n")
                    new += 1
                if progress is not None:
                    progress("films", number + 1, wanted.films)
        (folder / UNFINISHED).rmdir()
        write_whole(folder / SHOWN, "".join(shown))
        write_whole(folder / QUESTIONS, "".join(asked))
        told = _told(folder, wanted, asked)
        write_whole(folder / MADE, json.dumps(told, indent=2) + "\n")
    return Made(told, new, len(damaged))


def _seen(shot: object) -> dict[str, str]:
    return {"colour": shot.colour, "shape": shot.shape, "value": shot.value} if isinstance(shot, Scene) else {}


def _film(folder: Path, name: str, staged: Staged, wanted: Wanted) -> str:
    """Write one film whole or not at all; the SHA-256 of its bytes."""
    unfinished = folder / UNFINISHED / Path(name).name
    _write(unfinished, staged, wanted)
    with open(unfinished, "rb") as file:
        os.fsync(file.fileno())
        sum_ = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(unfinished, folder / name)
    return sum_


def _write(path: Path, staged: Staged, wanted: Wanted, *, most_s: int | None = None) -> None:
    pictures = film(list(staged.takes), fps=wanted.fps, width=WIDTH_PX, height=HEIGHT_PX)
    write_film(
        path, islice(pictures, most_s and most_s * wanted.fps), fps=Fraction(wanted.fps), crf=CRF, repeatable=True
    )


def _whole(folder: Path) -> tuple[set[str], set[str]]:
    """The films that are as they were written, and those that are not; of the others the lines are thrown away."""
    path = folder / SUMS
    lines = path.read_text("ascii", "replace").splitlines(keepends=True) if path.exists() else []
    written = {found[2]: found[1] for found in map(_SUM.fullmatch, lines) if found}
    there = {name for name in written if (folder / name).is_file()}
    whole = {name for name in there if file_sha256(folder / name) == written[name]}
    kept = "".join(f"{written[name]}  {name}\n" for name in written if name in whole)
    if kept != "".join(lines):
        write_whole(path, kept)
    return whole, there - whole


def _told(folder: Path, wanted: Wanted, asked: list[str]) -> dict[str, object]:
    rows = [json.loads(line) for line in asked]
    kinds, lengths = Counter(row["kind"] for row in rows), Counter(row["seconds"] for row in rows)
    return {
        "settings": settings_of(wanted),
        "questions": len(rows),
        "by_kind": {kind: kinds[kind] for kind in KINDS},
        "by_length_s": {str(length_s): lengths[length_s] for length_s in wanted.lengths_s},
        "films": wanted.films,
        "seconds": wanted.seconds,
        "bytes": sum((folder / VIDEOS / f"{spot.name}.mp4").stat().st_size for spot in wanted.spots),
        "ids_sha256": digest([row["id"] for row in rows]),
        "questions_sha256": hashlib.sha256("".join(asked).encode()).hexdigest(),
        "versions": {name: version(name) for name in ("longtake", "av", "numpy", "pillow")},
    }


def _refuse_other(folder: Path, settings: Mapping[str, object]) -> None:
    path = folder / SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(settings, indent=2) + "\n")
        return
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        written = {}
    names = [*settings, *written] if isinstance(written, dict) else list(settings)
    differing = list(_differing(dict.fromkeys(names), settings, written if isinstance(written, dict) else {}))
    if differing:
        reason, advice = f"holds what was made otherwise: {'; '.join(differing)}", "give another --out"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(folder), reason, advice)


def _differing(names: Mapping[str, None], mine: Mapping[str, object], theirs: Mapping[str, object]) -> Iterator[str]:
    for name in names:
        if mine.get(name) != theirs.get(name):
            yield f"{name} {theirs.get(name, 'not told')}, not {mine.get(name, 'told')}"


def _refuse_too_large(folder: Path, foreseen: Foreseen, left: float) -> None:
    free, need = shutil.disk_usage(folder).free, round(foreseen.bytes * left * SPARE)
    if need > free:
        reason = f"{need / 1e6:,.0f} MB of films do not fit into the {free / 1e6:,.0f} MB that are free"
        raise LongtakeError(ErrorCode.DISK_WRITE, str(folder), reason, "ask for fewer --questions or shorter --lengths")
