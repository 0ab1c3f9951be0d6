"""samplers/uniform: LongVA's choice of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtake.video import Video


@dataclass(frozen=True)
class Uniform:
    """Frames spread evenly from the first to the last, both included (LongVA, arXiv 2406.16852).

    Attributes:
        frames: how many.
    """

    frames: int = 64

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; want at least 1")

    def pick(self, video: Video, question: str) -> list[int]:
        """Frame `int(linspace(0, n - 1, frames))` of the video's n frames; all n where `frames` is no less."""
        places = evenly_spread(len(video.numbers), min(self.frames, len(video.numbers)))
        return [int(video.numbers[place]) for place in places]


def evenly_spread(total: int, count: int) -> list[int]:
    """`count` places among `total`, from the first to the last: `int(linspace(0, total - 1, count))`.

    With more places than there are frames some come twice: LongVA gives those to the model, `Uniform` never does.
    """
    return [int(place) for place in np.linspace(0, total - 1, count, dtype=int)]
