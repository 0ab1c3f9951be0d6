"""The benchmarks at released models' shapes run from end to end, at tiny ones, and end in their line of figures."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def smoke(name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--smoke", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"figures", "targets", "ok"}
    return dict(last)


def test_tower() -> None:
    last = smoke("tower")
    figures, targets = last["figures"], last["targets"]
    assert set(targets) == {"fp32", "bf16", "openvino", "openvino_int8"}
    assert figures["fp32_error"] < 1e-5, "the layer that is left out is not missed"
    with_openvino = importlib.util.find_spec("openvino") is not None
    for name in targets if with_openvino else ("fp32", "bf16"):
        assert figures[f"{name}_speedup"] > 0 and figures[f"{name}_error"] < 2e-2
    assert with_openvino or last["ok"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_longva(tmp_path: Path) -> None:
    last = smoke("longva", "--workdir", str(tmp_path))
    figures = last["figures"]
    assert set(last["targets"]) == {"load_peak", "frames_memory"} <= set(figures)
    # 8 frames of 4 x 4 places, pooled by 2 x 2; features of 8 and 32 frames in bfloat16, 64 wide.
    assert figures["visual_tokens"] == 8 * 2 * 2
    assert (figures["8_frames_features_mb"], figures["32_frames_features_mb"]) == (0.016, 0.066)
    assert not list(tmp_path.iterdir()), "it leaves no checkpoint behind"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_onevision(tmp_path: Path) -> None:
    last = smoke("onevision", "--workdir", str(tmp_path))
    figures = last["figures"]
    # 5 x 5 places a frame are scaled down to 3 x 3; one newline ends the video.
    assert (figures["frames"], figures["visual_tokens"]) == (32, 32 * 3 * 3 + 1)
    assert 1 <= figures["new_tokens"] <= 16 and figures["peak_mb"] > figures["weights_mb"]
    assert not list(tmp_path.iterdir()), "it leaves no checkpoint behind"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.skipif(importlib.util.find_spec("decord") is None, reason="needs decord, of the extra bench")
def test_answer(tmp_path: Path) -> None:
    last = smoke("answer", "--workdir", str(tmp_path))
    figures, sides = last["figures"], ("fp32", "bf16")
    assert set(last["targets"]) == {"fp32", "bf16", "openvino", "openvino_bf16"}
    # 8 frames of 4 x 4 places, pooled by 2 x 2.
    assert figures["visual_tokens"] == 8 * 2 * 2 and figures["different_tokens"] > 1
    assert all(figures[f"{side}_speedup"] > 0 and figures[f"{side}_same_opening"] for side in sides)
    assert figures["fp32_same_tokens"] and figures["fp32_likeliest_same"] == 1
    assert figures["fp32_visual_error"] < 1e-5 and figures["fp32_logprob_error"] < 1e-4
    assert 1e-4 < figures["bf16_visual_error"] < 2e-2
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"], "it leaves no checkpoint behind"


def test_answer_without_decord_measures_nothing_and_says_so(tmp_path: Path) -> None:
    if importlib.util.find_spec("decord") is not None:
        pytest.skip("decord is here")
    last = smoke("answer", "--workdir", str(tmp_path))
    assert last["figures"] == {} and last["ok"] is None


def test_distinct() -> None:
    figures = smoke("distinct")["figures"]
    assert {name.split(", ")[1] for name in figures} == {"uniform", "distinct"}
    for row in figures.values():
        assert (row["scenes"], row["questions"]) == (2, 6) and row["right"] <= 3 * row["seen"]
    assert figures["stills, distinct, 16 frames"]["seen"] == 2
    assert figures["stills, distinct, 16 frames"]["frames"] <= 16
