"""A tower computed by OpenVINO sees what torch's sees, says what it lacks, and tells nobody that it runs."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import longtake
import released
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.loading import load
from longtake.video import Frames
from longtake.vision.openvino import OpenvinoTower
from running import ONE_LINE, Cli

installed = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed (the extra `openvino`)"
)
ERRORS = {"openvino": 1.0, "openvino-int8": 2.0}
"""Relative, of features: at most so many times that of torch's own bfloat16. It was 0.8 and 1.5 with both models here:
3e-3 and 5e-3 with nano, 8e-3 and 1.5e-2 with LongVA-tiny. benchmarks/tower.py has figures of CLIP-L's shapes."""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def features(model: Model, tower: nn.Module, count: int) -> torch.Tensor:
    """Of the tower alone, as an encoder runs it: a projector can make errors look smaller than they are."""
    encoder: Any = model.encoder
    side_px = encoder.recipe.side_px
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, side_px, side_px), dtype=np.uint8)
    seeing = replace(encoder, tower=tower, projector=nn.Identity())
    return seeing.encode([Frames(pixels, np.arange(count, dtype=np.float64), np.arange(count))]).values_THWD


def off(seen: torch.Tensor, wanted: torch.Tensor) -> float:
    assert seen.shape == wanted.shape
    return float((seen.float() - wanted.float()).norm() / wanted.float().norm())


@installed
@pytest.mark.parametrize("name", ["nano", "LongVA-tiny"])
def test_features_are_those_of_torch(name: str, request: pytest.FixtureRequest) -> None:
    folder = name if name == "nano" else request.getfixturevalue("shared") / "golden" / "checkpoints" / name
    model = load(str(folder), device="cpu", dtype="float32")
    torch_tower = model.encoder.tower  # type: ignore[attr-defined]
    wanted = {count: features(model, torch_tower, count) for count in (5, 1, 40)}
    halved = load(str(folder), device="cpu", dtype="bfloat16").encoder.tower  # type: ignore[attr-defined]
    usual = {count: off(features(model, halved, count), some) for count, some in wanted.items()}
    assert max(usual.values()) < 1.2e-2
    for tower, most in ERRORS.items():
        fast = load(str(folder), device="cpu", dtype="float32", tower=tower).encoder.tower  # type: ignore[attr-defined]
        # The torch tower that it was made of is gone, and its memory may be anybody's by now.
        gc.collect()
        assert type(fast) is OpenvinoTower
        for count, some in wanted.items():
            assert 0 < off(features(model, fast, count), some) < most * usual[count]


@installed
def test_a_tower_in_half_the_bits_is_no_worse_for_it() -> None:
    model = load("nano", device="cpu", dtype="float32")
    exact: Any = model.encoder.tower  # type: ignore[attr-defined]
    wanted = features(model, exact, 3)
    halved = load("nano", device="cpu", dtype="bfloat16").encoder.tower  # type: ignore[attr-defined]
    fast = OpenvinoTower(halved, exact.side_px)
    assert next(halved.parameters()).dtype == torch.bfloat16, "it is left as it was"
    seen = features(model, fast, 3)
    assert seen.dtype == torch.bfloat16, "the projector takes no other"
    assert off(seen, wanted) < 1.5 * off(features(model, halved, 3), wanted), "weights and features are rounded too"


@installed
def test_eight_bits_are_eight_bits() -> None:
    """A matrix whose rows are multiples of 1/127 of their largest number loses nothing; others are rounded to such."""

    class OneMatrix(nn.Module):
        def __init__(self, rows: torch.Tensor) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * 4 * 4, 2, bias=False)
            self.linear.weight = nn.Parameter(rows)

        def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
            return self.linear(pixels_TCHW.flatten(1))[:, None, None]

    fitting = torch.zeros(2, 48)
    fitting[0, 0], fitting[0, 1], fitting[1, 5] = 127.0, 64.0, 1.0
    between = fitting.clone()
    between[0, 1] = 64.4
    # One number alone in a picture is the largest of its group: exact in int8 itself.
    pixels = torch.zeros(2, 3, 4, 4)
    pixels.view(2, 48)[0, 1], pixels.view(2, 48)[1, 5] = 1.0, 2.0
    for rows in (fitting, between):
        seen = OpenvinoTower(OneMatrix(rows).eval(), 4, eight_bits=True)(pixels)
        assert seen.shape == (2, 1, 1, 2)
        torch.testing.assert_close(seen[:, 0, 0], torch.tensor([[64.0, 0.0], [0.0, 2.0]]), rtol=4e-3, atol=1e-3)


@installed
def test_nano_reads_the_same_number_in_eight_bits(cli: Cli) -> None:
    film = Path(longtake.__file__).parent / "assets" / "demo" / "hour.mp4"
    first = json.loads((film.parent / "questions.json").read_text())["questions"][0]
    command = ("ask", film, first["question"], "--start", "980", "--end", "1000", "--frames", "20")
    assert cli.json(*command, "--tower", "openvino-int8")["answer"] == first["answer"]


@installed
def test_what_openvino_cannot_compute_is_refused_in_one_line() -> None:
    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
            return pixels_TCHW * self.scale if float(pixels_TCHW.sum()) > 0 else pixels_TCHW

    with pytest.raises(LongtakeError) as caught:
        OpenvinoTower(Choosy(), 8)
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    assert ONE_LINE.fullmatch(f"{caught.value}\n") and "leave it to torch" in str(caught.value)


@installed
def test_videos_and_pictures_share_the_one_that_was_made(tmp_path: Path) -> None:
    folder = released.RECIPES["llava_onevision"].save(tmp_path)
    plain, fast = (load(str(folder), device="cpu", tower=tower) for tower in ("torch", "openvino"))
    towers = [fast.encoder.tower, fast.image_encoder.tower]  # type: ignore[attr-defined, union-attr]
    assert towers[0] is towers[1] and type(towers[0]) is OpenvinoTower
    exact = plain.encoder.tower  # type: ignore[attr-defined]
    assert 0 < off(features(plain, towers[0], 3), features(plain, exact, 3)) < 1e-2, "SigLIP's"


def test_a_class_token_is_torchs_alone(tmp_path: Path) -> None:
    folder = released.RECIPES["video_llava"].save(tmp_path)
    with pytest.raises(LongtakeError, match="class tokens") as caught:
        load(str(folder), device="cpu", tower="openvino")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


def test_a_tower_that_is_not_on_the_processor_is_refused() -> None:
    with pytest.raises(LongtakeError, match="computes on the processor, and the model is on meta"):
        OpenvinoTower(nn.Linear(1, 1, device="meta"), 8)


def test_without_openvino_it_says_what_to_install(cli: Cli, bunny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    status, out, err = cli("ask", bunny, "What number is it?", "--tower", "openvino", "--quiet")
    assert (status, out) == (ErrorCode.ENVIRONMENT_MISSING.value.exit_status, "")
    assert ONE_LINE.fullmatch(err) and 'pip install "longtake[openvino]"' in err


@installed
def test_nothing_is_told_to_openvinos_makers(tmp_path: Path) -> None:
    """Whatever is called openvino_telemetry is imported by OpenVINO if it is there; here it would leave a trace."""
    told = tmp_path / "openvino_telemetry"
    told.mkdir()
    (told / "__init__.py").write_text("import pathlib; pathlib.Path(__file__).with_name('told').touch()\n")
    # What is imported leaves its trace at once, so there is none before the last line.
    code = (
        "import sys, torch; from longtake.vision.openvino import OpenvinoTower; "
        "OpenvinoTower(torch.nn.Conv2d(3, 4, 4).requires_grad_(False), 8); "
        "import pathlib; assert not pathlib.Path(sys.argv[1]).exists(); import openvino_telemetry; print('well')"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, told / "told"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
    assert (told / "told").exists(), "whoever imports it himself gets it"


@installed
def test_signals_are_heard_when_towers_have_come_and_gone() -> None:
    """Each Core of OpenVINO's sets a stack for signals aside; put back in the wrong order it is a crash."""
    code = """
import faulthandler, gc, signal
import longtake
from longtake.vision.openvino import OpenvinoTower

faulthandler.enable()
encoder = longtake.load("nano").encoder
first = OpenvinoTower(encoder.tower, encoder.recipe.side_px)
second = OpenvinoTower(encoder.tower, encoder.recipe.side_px)
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGINT, lambda number, frame: print("heard"))
signal.raise_signal(signal.SIGINT)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stdout) == (0, "heard\n"), ran.stderr
