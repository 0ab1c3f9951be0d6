"""train/hour: a seed in, the bundled demo film and its questions out: `python -m longtake.train.hour FOLDER`."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

from longtake.world.film import write_film
from longtake.world.hour import SCENE_S, film, plan_film, questions_about

SEED = 1903
QUESTIONS_SEED = 1905
"""Three that nano answers: of 25 about the film's five scenes it missed two, both for the same number."""
FPS = 5
WIDTH, HEIGHT = 320, 180
CRF = 30
"""Quality at which the hour stays under 5 MB and its plates stay readable."""
KINDS = ("value", "colour", "letter")


def write_hour(folder: Path) -> None:
    """Write hour.mp4 and questions.json into `folder`: how often to look, and question, answer and when the scene that
    it is about is on screen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    takes = plan_film(SEED, fps=FPS)
    pictures = film(takes, fps=FPS, width=WIDTH, height=HEIGHT)
    write_film(folder / "hour.mp4", pictures, fps=Fraction(FPS), crf=CRF)
    rows = [
        {
            "question": asked.question,
            "answer": asked.answer,
            "start_s": round(take.start_s, 1),
            "end_s": round(take.end_s, 1),
        }
        for asked, take in questions_about(takes, KINDS, seed=QUESTIONS_SEED)
    ]
    told = {"look_every_s": SCENE_S, "questions": rows}
    (folder / "questions.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    write_hour(Path(sys.argv[1]))
