"""niah.distracting: pictures of other scenes among the frames of a haystack; drawn tasks from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.loading import load
from longtake.niah.distracting import places_of_symbols, with_symbols
from longtake.niah.drawn import draw_symbols, draw_trials, film_symbols
from longtake.niah.looking import Eye, Haystack
from running import Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_a_short_haystack_is_the_beginning_of_a_long_one() -> None:
    long = places_of_symbols(3000, 0.5, seed=1)
    assert np.array_equal(places_of_symbols(200, 0.5, seed=1), long[:200])
    assert 0.45 < long.mean() < 0.55 and 0.35 < long[:200].mean() < 0.65
    assert not places_of_symbols(50, 0.0, seed=1).any() and places_of_symbols(50, 1.0, seed=1).all()


def test_replaced_frames_are_the_symbols_and_the_others_stay() -> None:
    eye = Eye(load("nano"))
    beside = draw_trials("find", 1, seed=0)
    symbols = film_symbols(draw_symbols(beside, 3, seed=0), seed=0)
    encoded = eye.look_at_pictures([picture for (picture,) in symbols])
    frames = torch.randn(5, *encoded.shape[1:])
    plain = Haystack(frames, np.arange(40) % 5, {"files": ["film"]})
    mixed = with_symbols(eye, plain, symbols, share=0.5, seed=7)
    replaced = places_of_symbols(40, 0.5, seed=7)
    for place, frame in enumerate(mixed.part(0, 40)):
        if replaced[place]:
            assert min(float((frame - symbol).abs().max()) for symbol in encoded) < 1e-5
        else:
            assert torch.equal(frame, frames[place % 5])
    assert mixed.origin["files"] == ["film"]
    assert mixed.origin["symbol_frames"] == {"share_asked": 0.5, "frames": int(replaced.sum()), "different": 3}


def test_clips_stay_together_and_in_order() -> None:
    eye = Eye(load("nano"))
    clips = film_symbols(draw_symbols(draw_trials("clip", 1, seed=0, in_words=True), 2, seed=0), seed=0)
    assert [len(clip) for clip in clips] == [3, 3]
    encoded = eye.look_at_pictures([picture for clip in clips for picture in clip])
    plain = Haystack(torch.zeros(1, *encoded.shape[1:]), np.zeros(31, dtype=np.int64), {})
    mixed = with_symbols(eye, plain, clips, share=0.5, seed=3)
    shown = [
        int((frame - encoded).abs().amax((1, 2, 3)).argmin()) if frame.any() else -1 for frame in mixed.part(0, 31)
    ]
    stretches = [tuple(shown[at : at + 3]) for at in range(0, 30, 3)]
    assert set(stretches) == {(-1, -1, -1), (0, 1, 2), (3, 4, 5)}
    assert shown[30] in (-1, 0, 3)


def test_tasks_from_the_command_line(cli: Cli, tmp_path: Path, bunny: Path) -> None:
    for task in ("order", "clip"):
        folder = tmp_path / task
        options = ("--task", task, "--distractors", "0.5", "--trials", "2", "--frames", "6,12", "--depths", "0,1")
        status, out, err = cli("niah", bunny, *options, "--output", folder, "--json")
        assert status == 0, err
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        assert len(rows) == 8 and all(row["error"] is None and row["chance"] == 0.5 for row in rows)
        assert json.loads(out)["haystack"]["symbol_frames"]["share_asked"] == 0.5
    # Another share of distractors is another run.
    status, out, err = cli("niah", bunny, *options[:2], *options[4:], "--output", folder, "--json")
    assert status == 2 and "distractors" in out + err
