"""Every frame that is read is the one that was asked for: the benchmark of that runs, would tell, and what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from longtake.errors import LongtakeError
from longtake.video.opening import open_video
from longtake.video.video_file import VideoFile
from media import corpus, numbered
from media.numbered import Coding

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "truth.py"
PERIOD = 20
REFRESH = Coding(options={"x264-params": f"intra-refresh=1:keyint={PERIOD}:bframes=0"})


def test_smoke() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert set(last) == {"figures", "targets", "ok"} and last["ok"]
    assert last["figures"]["frames"] > 400 and last["figures"]["real_frames"] > 0


@pytest.mark.parametrize("sound", corpus.SOUND, ids=lambda sound: sound.name)
def test_every_frame_of_every_kind_of_file_is_itself(tmp_path: Path, sound: corpus.Sound) -> None:
    written = corpus.write(sound, tmp_path, frames=40, width=96, height=80)
    video = open_video(written.path)
    np.testing.assert_allclose(video.times_s, written.times_s, atol=0.0011)
    assert [written.read(image_HWC) for image_HWC in pictures(video, range(len(video.times_s)))] == list(
        written.numbers
    )
    few = [0, len(video.times_s) // 2, len(video.times_s) - 1]
    assert [written.read(image_HWC) for image_HWC in pictures(video, few)] == [written.numbers[place] for place in few]


def test_gradual_refresh_starts_early_enough(tmp_path: Path) -> None:
    # A decoder that starts at such a key frame can drop it, and then calls what follows whole: it is not.
    video = open_video(numbered.write(tmp_path / "refresh.mp4", REFRESH, frames=7 * PERIOD))
    assert np.flatnonzero(video.table.packets.key_P).tolist() == list(range(0, 7 * PERIOD, PERIOD))
    for number in range(7 * PERIOD):
        assert [numbered.read(image_HWC) for image_HWC in pictures(video, [number])] == [number]


def test_gradual_refresh_without_its_beginning(tmp_path: Path) -> None:
    data = numbered.write(tmp_path / "whole.ts", REFRESH, frames=8 * PERIOD).read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(data[len(data) * 3 // 10 // 188 * 188 :])
    video = open_video(path)
    (lost,) = video.lost_s
    assert lost[0] < 0 == lost[1]
    first = 8 * PERIOD - len(video.times_s)
    assert first % PERIOD == 0
    shown = [numbered.read(image_HWC) for image_HWC in pictures(video, range(len(video.times_s)))]
    assert shown == list(range(first, 8 * PERIOD))


def pictures(video: VideoFile, numbers: range | list[int]) -> list[np.ndarray]:
    """The asked frames as (H, W, 3)."""
    return [image for some in video.read(list(numbers), chunk=8) for image in some.pixels_TCHW.transpose(0, 2, 3, 1)]


def test_without_a_whole_refresh_nothing_is_shown(tmp_path: Path) -> None:
    data = numbered.write(tmp_path / "whole.ts", REFRESH, frames=3 * PERIOD).read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(data[len(data) // 2 // 188 * 188 :])
    with pytest.raises(LongtakeError, match="no frame of it is ever shown"):
        open_video(path)
