"""train/hour: a seed in, the bundled demo film and its questions out: `python -m longtake.train.hour FOLDER`."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

from longtake.world.film import write_film
from longtake.world.hour import film, plan_film, questions_about

SEED = 1895
FPS = 5
WIDTH, HEIGHT = 320, 180
CRF = 30
"""Quality at which the hour stays under 5 MB and its plates stay readable."""
KINDS = ("value", "colour", "letter")


def write_hour(folder: Path) -> None:
    """Write hour.mp4 and questions.json (question, answer, and when the scene is on screen) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    takes = plan_film(SEED)
    pictures = film(takes, fps=FPS, width=WIDTH, height=HEIGHT)
    write_film(folder / "hour.mp4", pictures, fps=Fraction(FPS), crf=CRF)
    rows = [
        {
            "question": asked.question,
            "answer": asked.answer,
            "start_s": round(take.start_s, 1),
            "end_s": round(take.end_s, 1),
        }
        for asked, take in questions_about(takes, KINDS, seed=SEED)
    ]
    (folder / "questions.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    write_hour(Path(sys.argv[1]))
