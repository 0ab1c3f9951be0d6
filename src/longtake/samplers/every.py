"""samplers/every: frames by the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtake.video import Video

SHORTEST_STEP_S, LONGEST_STEP_S = 1e-6, 1e9


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
        if not SHORTEST_STEP_S <= self.seconds <= LONGEST_STEP_S:
            raise ValueError(f"seconds is {self.seconds}; want {SHORTEST_STEP_S} to {LONGEST_STEP_S:.0f}")
        if self.fps is not None and not 1 / LONGEST_STEP_S <= self.fps <= 1 / SHORTEST_STEP_S:
            raise ValueError(f"fps is {self.fps}; want {1 / LONGEST_STEP_S} to {1 / SHORTEST_STEP_S:.0f}")

    @property
    def step_s(self) -> float:
        """Seconds from one look to the next."""
        return self.seconds if self.fps is None else 1 / self.fps

    def pick(self, video: Video, question: str) -> list[int]:
        """The frames on screen at the first frame's time, a step later, two steps later, ... each once.

        The frame on screen at a time is the last that begins no later.
        """
        begin_steps = (video.times_s[video.numbers] - video.times_s[video.numbers[0]]) / self.step_s
        first_look = np.ceil(begin_steps - _ROUNDING)
        last_look = np.floor(begin_steps[-1] + _ROUNDING)
        end_steps = np.append(begin_steps[1:], np.inf)
        seen = (first_look + _ROUNDING < end_steps) & (first_look <= last_look)
        return [int(number) for number in video.numbers[seen]]


_ROUNDING = 1e-6
"""Of a step: a frame stored for a time counts as on screen at it, whatever the last bits of the two numbers."""
