"""samplers/every: frames by the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from longtake.video import Video


@dataclass(frozen=True)
class Every:
    """The frame on screen every so many seconds, by display time; `fps` as a rate takes the place of `seconds`.

    Attributes:
        seconds: the step from one look to the next.
        fps: looks a second; where given, the step is 1 / fps.
    """

    seconds: float = 1.0
    fps: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"seconds is {self.seconds}; want more than 0")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}; want more than 0")

    @property
    def step_s(self) -> float:
        """Seconds from one look to the next."""
        return self.seconds if self.fps is None else 1 / self.fps

    def pick(self, video: Video, question: str) -> list[int]:
        """The frames on screen at the first frame's time, a step later, two steps later, ... each once.

        The frame on screen at a time is the last that begins no later.
        """
        times_s = video.times_s[video.numbers]
        looks = np.floor((times_s[-1] - times_s[0]) / self.step_s + _ROUNDING) + 1
        wanted_s = times_s[0] + np.arange(looks) * self.step_s
        places = np.searchsorted(times_s, wanted_s + _ROUNDING * self.step_s, side="right") - 1
        return [int(number) for number in video.numbers[np.unique(places)]]


_ROUNDING = 1e-6
"""Of a step: a frame stored for a time counts as on screen at it, whatever the last bits of the two numbers."""
