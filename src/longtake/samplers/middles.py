"""samplers/middles: SlowFast-LLaVA's choice of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtake.video import Video


@dataclass(frozen=True)
class Middles:
    """The middle frame of each of as many equal segments (SlowFast-LLaVA, arXiv 2407.15841).

    Attributes:
        frames: how many.
    """

    frames: int = 50

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; want at least 1")

    def pick(self, video: Video, question: str) -> list[int]:
        """The middles of `frames` segments of the video's n frames; all n where `frames` is no less."""
        total = len(video.numbers)
        places = segment_middles(total, self.frames) if self.frames < total else range(total)
        return [int(video.numbers[place]) for place in places]


def segment_middles(total: int, count: int) -> list[int]:
    """The middle of each of `count` segments that are (total - 1) / count long, with ends rounded to whole frames."""
    length = (total - 1) / count
    ends = [int(np.round(length * place)) for place in range(count + 1)]
    return [(start + end) // 2 for start, end in zip(ends, ends[1:], strict=False)]
