"""Small benchmarks for tests of runs: films of the drawn world, and questions about them in files of known layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake.world.drawing import draw, random_staging
from longtake.world.film import write_film
from longtake.world.films import HELD_OUT, draw_shots

OPTIONS = ("a dog", "a cat", "a boat", "a kite", "a lamp")
TYPES = ("CW", "CH", "TN", "TC", "DC")


def film(path: Path, seed: int, *, frames: int = 8, width: int = 96, height: int = 64) -> Path:
    """A film of the drawn world, two frames a second."""
    rng = np.random.default_rng(seed)
    shots = draw_shots(rng, frames, HELD_OUT)
    pictures = [draw(shot, random_staging(rng, places=2), width=width, height=height) for shot in shots]
    write_film(path, pictures, fps=Fraction(2))
    return path


def next_qa(folder: Path, *, videos: int = 3, questions: int = 2) -> Path:
    """NExT-QA's val.csv and the videos; questions on one video do not stand together."""
    folder.mkdir(parents=True, exist_ok=True)
    for video in range(videos):
        film(folder / f"{4000 + video}.mp4", video)
    with open(folder / "val.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("video", "frame_count", "width", "height", "question", "answer", "qid", "type", *columns()))
        for number in range(questions):
            for video in range(videos):
                asked = f"what is shown {number} times in {video}"
                right, kind = (number + video) % 5, TYPES[(number * videos + video) % 5]
                table.writerow((4000 + video, 8, 96, 64, asked, right, number, kind, *OPTIONS))
    return folder


def columns() -> Sequence[str]:
    """Of NExT-QA's options."""
    return tuple(f"a{place}" for place in range(len(OPTIONS)))


def video_mme(folder: Path) -> Path:
    """Video-MME's JSON for two videos, the first with subtitles."""
    (folder / "subtitle").mkdir(parents=True, exist_ok=True)
    told = []
    for number, name in enumerate(("AbCdEfGhIj0", "AbCdEfGhIj1")):
        film(folder / f"{name}.mp4", number)
        told.append(
            {
                "video_id": f"00{number}",
                "duration": "short",
                "video_category": "Knowledge",
                "video_subcategory": "Geography",
                "url": f"https://www.youtube.com/watch?v={name}",
                "questions": [
                    {
                        "question_id": f"00{number}-1",
                        "task_type": "Counting Problem",
                        "question": "How many?",
                        "choices": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
                        "answer": "B",
                    }
                ],
            }
        )
    (folder / "Video-MME.json").write_text(json.dumps(told))
    said = "1\n00:00:00,000 --> 00:00:01,000\nwe begin\n\n2\n00:00:01,000 --> 00:00:03,000\nwe go on\n\n"
    (folder / "subtitle" / "AbCdEfGhIj0.srt").write_text(said + "3\n01:00:00,000 --> 01:00:01,000\nnobody sees this\n")
    return folder
