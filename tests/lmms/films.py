"""Films drawn by longtake.world, with questions, as a small local task of lmms-eval: `python films.py FOLDER`."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.questions import Asked, ask_about
from longtake.world.scenes import draw_scene
from longtake.world.vocabulary import COLOURS, SHAPES

HERE = Path(__file__).resolve().parent
KINDS = ("value", "colour", "shape", "letter", "count", "order", "missing")
WORDS: dict[str, Sequence[str]] = {"colour": COLOURS, "shape": SHAPES}
SCENES = 6
PICTURES = 4
"""Of each scene, one a second."""


def make(folder: Path, *, films: int = 6, seed: int = 20) -> list[dict[str, object]]:
    """Write the films, the rows and the task files; the rows come with the questions on one film far apart."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for number in range(films):
        rng = np.random.default_rng(seed + number)
        scenes = [draw_scene(rng, held_out=True) for _ in range(SCENES)]
        drawn = [draw(scene, random_staging(rng, places=2**20), width=320, height=180) for scene in scenes]
        path = folder / f"film{number}.mp4"
        write_film(path, [picture for picture in drawn for _ in range(PICTURES)], fps=Fraction(1))
        for kind in KINDS:
            asked = ask_about(rng, scenes, kind)
            rows.append({"id": f"{number}-{kind}", "video": str(path), **_told(asked)})
    order = np.random.default_rng(seed).permutation(len(rows))
    rows = [rows[place] for place in order]
    for name, told in (("rows", rows), ("weighed", [row for row in rows if row["options"]])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    for source in (HERE / "tasks").iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    return rows


def as_intentqa(rows: list[dict[str, object]], folder: Path) -> int:
    """The questions that have options, in a file as IntentQA's authors publish theirs, beside the films; how many."""
    folder.mkdir(parents=True)
    names = ("video_id", "question", "answer", "qid", "type", "a0", "a1", "a2", "a3", "a4")
    with open(folder / "test.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        asked = [row for row in rows if row["kind"] in WORDS]
        for number, row in enumerate(asked):
            video, options = Path(str(row["video"])), _options(str(row["answer"]), WORDS[str(row["kind"])], 5)
            shutil.copy(video, folder)
            right = options.index(str(row["answer"]))
            table.writerow([video.stem, row["question"], right, number, ("CW", "CH", "TP", "TN")[number % 4], *options])
    return len(asked)


def as_msvd_qa(rows: list[dict[str, object]], folder: Path) -> int:
    """All questions, in a file as MSVD-QA's authors publish theirs, beside the films; how many."""
    folder.mkdir(parents=True)
    told = []
    for number, row in enumerate(rows):
        video = Path(str(row["video"]))
        place = 1451 + int(video.stem.removeprefix("film"))
        shutil.copy(video, folder / f"vid{place}.mp4")
        told.append({"id": 37_348 + number, "video_id": place, "question": row["question"], "answer": row["answer"]})
    (folder / "test_qa.json").write_text(json.dumps(told))
    return len(told)


def _told(asked: Asked) -> dict[str, object]:
    """The question; of a colour also four answers that may be weighed, of which one word differs."""
    options = _options(asked.answer, COLOURS, 4) if asked.kind == "colour" else []
    return {"question": asked.question, "answer": asked.answer, "kind": asked.kind, "options": options}


def _options(answer: str, words: Sequence[str], many: int) -> list[str]:
    """The right answer among others in which one word is another."""
    said = next(word for word in answer.split() if word in words)
    others = [word for word in words if word != said][: many - 1]
    return sorted(answer.replace(said, word) for word in (said, *others))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
