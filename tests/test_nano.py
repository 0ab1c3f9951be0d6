"""nano, the shipped weights: right on held-out scenes of real files, at chance on films that do not show them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import longtake
from longtake.families import Model
from longtake.train.card import model_card
from longtake.train.exam import GRADED, examine, shares

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "exam.py"
ASSETS = Path(longtake.__file__).parent / "assets" / "nano"


@pytest.fixture(scope="module")
def nano() -> Model:
    return longtake.load("nano")


def test_nano_is_right_on_questions_that_were_in_no_exam_before(nano: Model) -> None:
    marks = examine(nano, questions=80, seed=11, lengths={8: 0.7, 48: 0.3})
    own, blank, other = (shares(marks, column) for column in ("own", "blank", "other"))
    wrong = [mark for mark in marks if mark.kind in GRADED and not mark.own]
    assert own["all"] >= 0.9, wrong
    assert blank["all"] <= 0.2
    assert other["all"] <= 0.2


def test_the_card_is_the_one_that_the_figures_make_and_they_reach_the_promised_marks() -> None:
    figures = json.loads((ASSETS / "figures.json").read_text(encoding="utf-8"))
    assert (ASSETS / "README.md").read_text(encoding="utf-8") == model_card(figures)
    weights = (ASSETS / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == figures["weights_sha256"]
    assert sum(figures["asked"][kind] for kind in GRADED) == 800
    assert figures["own"]["all"] >= 0.95
    assert all(figures["by_length"]["8"][kind] >= 0.9 for kind in GRADED)


def test_the_weights_are_small() -> None:
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) <= 20e6


def test_the_benchmark_of_the_exam_runs() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"figures", "targets", "ok"}
    assert set(told["figures"]) == {"own", "blank", "other", "by_length"}
