"""Samplers: the two papers' choices against their recorded numbers, clocks by hand, and the room's contract."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from longtake import parts
from longtake.samplers.every import Every
from longtake.samplers.middles import Middles, segment_middles
from longtake.samplers.uniform import Uniform, evenly_spread


@dataclass(frozen=True, eq=False)
class TimeTable:
    """As much of a video as a sampler may know: when each frame comes, and which may be taken."""

    times_s: NDArray[np.float64]
    numbers: NDArray[np.int64]
    duration_s: float
    path: str = "made-up"
    height_px: int = 1
    width_px: int = 1


def video_of(times_s: list[float], *, lasting_s: float = 0.04) -> TimeTable:
    times = np.array(times_s, dtype=np.float64)
    return TimeTable(times, np.arange(len(times)), float(times[-1]) + lasting_s)


def steady(frames: int, fps: float = 25.0) -> TimeTable:
    return video_of([number / fps for number in range(frames)], lasting_s=1 / fps)


def test_evenly_spread_is_longva_to_the_frame(golden: Path) -> None:
    rows = json.loads((golden / "a_frames" / "longva_linspace.json").read_text())
    assert len(rows) == 70
    for row in rows:
        assert evenly_spread(row["total"], row["n"]) == row["idx"], row


def test_uniform_is_longva_without_its_repeats(golden: Path) -> None:
    for row in json.loads((golden / "a_frames" / "longva_linspace.json").read_text()):
        if row["total"] > 20_000:
            continue
        expected = row["idx"] if row["n"] <= row["total"] else list(range(row["total"]))
        assert Uniform(frames=row["n"]).pick(steady(row["total"]), "") == expected, row


def test_segment_middles_is_slowfast_llava_to_the_frame(golden: Path) -> None:
    rows = json.loads((golden / "a_frames" / "sf_seq_frames.json").read_text())
    assert len(rows) == 74
    for row in rows:
        assert segment_middles(row["total"], row["n_requested"]) == row["idx_direct"], row
        assert segment_middles(row["total"], row["n_after_clamp"]) == row["idx_load_video"], row


def test_middles_is_slowfast_llava_where_there_are_frames_enough(golden: Path) -> None:
    rows = json.loads((golden / "a_frames" / "sf_seq_frames.json").read_text())
    enough = [row for row in rows if row["n_requested"] < row["total"] <= 20_000]
    assert len(enough) > 30
    for row in enough:
        assert Middles(frames=row["n_requested"]).pick(steady(row["total"]), "") == row["idx_load_video"], row


def test_middles_takes_all_frames_of_a_short_video_once() -> None:
    assert Middles(frames=50).pick(steady(3), "") == [0, 1, 2]


def test_every_second_by_the_clock() -> None:
    assert Every(seconds=1.0).pick(steady(101, fps=25), "") == [0, 25, 50, 75, 100]
    assert Every(fps=2.0).pick(steady(26, fps=25), "") == [0, 12, 25]
    assert Every(seconds=1.0, fps=0.5).pick(steady(101, fps=25), "") == [0, 50, 100]


def test_every_takes_the_frame_on_screen_and_a_frame_that_stays_only_once() -> None:
    # Looks at 0, 1, 2, ... 38: the frame that comes at 0.9 stays on screen for 36 s.
    video = video_of([0.0, 0.5, 0.9, 36.9, 37.0, 37.5, 38.0])
    assert Every(seconds=1.0).pick(video, "") == [0, 2, 4, 6]


def test_every_is_not_a_frame_early_where_times_are_rounded() -> None:
    # 30000/1001 frames a second in milliseconds, as Matroska stores them: 1.001 s is frame 30.
    video = video_of([round(number * 1001 / 30) / 1000 for number in range(300)])
    assert Every(seconds=1.001).pick(video, "") == list(range(0, 300, 30))


def test_samplers_stay_inside_a_stretch() -> None:
    video = steady(1000)
    part = replace(video, numbers=np.arange(100, 151))
    assert Uniform(frames=3).pick(part, "") == [100, 125, 150]
    assert Every(seconds=1.0).pick(part, "") == [100, 125, 150]
    assert Middles(frames=2).pick(part, "") == [112, 137]


@pytest.mark.parametrize("bad", [0, -1])
def test_frames_must_be_positive(bad: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Uniform(frames=bad)
    with pytest.raises(ValueError, match="at least 1"):
        Middles(frames=bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e300])
def test_steps_must_be_of_a_size_that_makes_sense(bad: float) -> None:
    with pytest.raises(ValueError, match="want 1e-06 to 1000000000"):
        Every(seconds=bad)
    with pytest.raises(ValueError, match="want 1e-09 to 1000000"):
        Every(fps=bad)


def test_every_is_what_looking_step_by_step_would_see() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = np.cumsum(np.concatenate([[0.0], rng.choice([0.04, 0.2, 1.0, 7.3], 40)]))
        step_s = float(rng.choice([0.01, 0.04, 0.33, 1.0, 5.0]))
        looks_s = np.arange(np.floor(times[-1] / step_s + 1e-6) + 1) * step_s
        seen = {int(np.flatnonzero(times <= look_s + 1e-6 * step_s)[-1]) for look_s in looks_s}
        assert Every(seconds=step_s).pick(video_of(times.tolist()), "") == sorted(seen)


def test_every_takes_all_frames_where_the_step_is_tiny() -> None:
    assert Every(seconds=1e-6).pick(steady(50), "") == list(range(50))


@pytest.mark.parametrize("name", parts.names("samplers"))
@pytest.mark.parametrize("frames", [1, 2, 3, 49, 50, 51, 63, 64, 65, 997])
def test_contract_of_every_sampler(name: str, frames: int) -> None:
    sampler = parts.find("samplers", name)()
    assert parts.summary(type(sampler)).endswith(".")
    whole = steady(frames)
    for video in (whole, replace(whole, numbers=whole.numbers[frames // 3 : frames // 3 + max(1, frames // 2)])):
        picked = sampler.pick(video, "what is this?")
        assert picked, "at least one frame"
        assert all(type(number) is int for number in picked)
        assert picked == sorted(set(picked)), "ascending, none twice"
        assert set(picked) <= set(video.numbers.tolist()), "only what may be sampled"
        assert sampler.pick(video, "what is this?") == picked, "the same choice every time"


@pytest.mark.parametrize("name", parts.names("samplers"))
def test_options_are_set_by_text(name: str) -> None:
    part = parts.find("samplers", name)
    option, value = next(iter(parts.options(part()).items()))
    assert parts.options(parts.with_settings(part(), {option: "7"}, label="sampler"))[option] == type(value)(7)
