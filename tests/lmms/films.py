"""Films drawn by longtake.world, with questions, as a small local task of lmms-eval: `python films.py FOLDER`."""

from __future__ import annotations

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.questions import Asked, ask_about
from longtake.world.scenes import draw_scene
from longtake.world.vocabulary import COLOURS

HERE = Path(__file__).resolve().parent
KINDS = ("value", "colour", "shape", "letter", "count", "order", "missing")
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


def _told(asked: Asked) -> dict[str, object]:
    """The question; of a colour also four answers that may be weighed, of which one word differs."""
    options: list[str] = []
    if asked.kind == "colour":
        said = next(word for word in asked.answer.split() if word in COLOURS)
        others = [colour for colour in COLOURS if colour != said][:3]
        options = sorted(asked.answer.replace(said, colour) for colour in (said, *others))
    return {"question": asked.question, "answer": asked.answer, "kind": asked.kind, "options": options}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
