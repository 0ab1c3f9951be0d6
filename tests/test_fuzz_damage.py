"""Damage inside frames: what a decoder can notice is told or left out, never shown. What none can: docs/reading.md."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fuzz import damage
from fuzz.seeds import Seed, seeds
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from media import numbered
from media.numbered import Coding


def seed(name: str) -> Seed:
    (found,) = seeds((name,), frames=50)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vp9.webm", damage.one_bit),
        ("vp9_alt.webm", damage.one_bit),
        ("vp9_alt.webm", damage.noise),
        ("png.mov", damage.tail),
        ("mpeg4.mp4", damage.tail),
        ("h264_1s.mp4", damage.tail),
        ("h264_1s.mp4", damage.noise),
        ("hevc.mp4", damage.noise),
    ],
)
def test_damage_that_a_decoder_notices_is_never_shown(tmp_path: Path, name: str, kind: damage.Damage) -> None:
    counts = damage.measured(seed(name), kind, rounds=6, chance=random.Random(4), folder=tmp_path)
    assert counts["left out"] >= 6 and not counts["wrong"]


def test_hashes_of_pictures_are_compared(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:hash=1:keyint=25:pools=1:frame-threads=1"}
    path = numbered.write(tmp_path / "a.mp4", Coding(codec="libx265", options=options), frames=20)
    whole = [some.pixels_TCHW[0] for some in open_video(path).read(range(20), chunk=1)]
    data = bytearray(path.read_bytes())
    # The last byte of one picture's data: without the hash nothing is amiss.
    end = data.index(b"mdat") + 4 + 3000
    data[end] ^= 4
    path.write_bytes(data)
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    came = [(int(some.numbers[0]), some.pixels_TCHW[0]) for some in video.read(range(20), chunk=1)]
    assert 0 < len(came) < 20
    assert all((image == whole[number]).all() for number, image in came)
