"""fuzz/seeds: a folder in, small sound videos of all codecs and containers with their truth out."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av

from media import corpus

FRAMES = 40
"""Two groups of most codecs: a seek has somewhere to go."""

WIDTH, HEIGHT = 96, 80


@dataclass(frozen=True, eq=False)
class Seed:
    """One sound video.

    Attributes:
        frames: (start, end) of the bytes of each video packet, where they lie in one piece.
        shown: (number, time in seconds) of every frame that a player shows.
    """

    name: str
    data: bytes
    frames: tuple[tuple[int, int], ...]
    shown: tuple[tuple[int, float], ...]
    turns: int


def seeds(names: tuple[str, ...] = (), *, frames: int = FRAMES) -> list[Seed]:
    """The seed corpus, or those of `names`; encoded anew, the same on every call with the same libraries."""
    os.environ.setdefault("SVT_LOG", "1")
    with tempfile.TemporaryDirectory() as folder:
        return [_seed(sound, Path(folder), frames) for sound in corpus.SOUND if not names or sound.name in names]


def _seed(sound: corpus.Sound, folder: Path, frames: int) -> Seed:
    written = corpus.write(sound, folder, frames=frames, width=WIDTH, height=HEIGHT)
    data = written.path.read_bytes()
    shown = tuple(zip(written.numbers, written.times_s, strict=True))
    return Seed(sound.name, data, tuple(_frames(written.path, data)), shown, written.turns)


def _frames(path: Path, data: bytes) -> list[tuple[int, int]]:
    found, behind = [], 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            start = data.find(bytes(packet), behind) if packet.size else -1
            if start >= 0:
                behind = start + packet.size
                found.append((start, behind))
    return found
