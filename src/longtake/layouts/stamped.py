"""layouts.stamped: each frame after its time in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from longtake.layouts import Piece, Text
from longtake.layouts.grid import Grid
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class Stamped:
    """Each frame's tokens after its time in words, so that the model can read when things happen.

    The words are text to the model and cost tokens of their own beside the visual ones. No model here was trained with
    them but by chance: what a model makes of them has to be measured. Source: the interleaving of timestamps and frames
    of TimeMarker (arXiv 2411.18211, section 3), without its weights.

    Attributes:
        form: "0:01:05" for `clock`, "65.0s" for `seconds`.
        pool: side of the square of features that becomes one token, as in the layout `grid`.
    """

    form: Literal["clock", "seconds"] = "clock"
    pool: int = 2

    def __post_init__(self) -> None:
        if self.form not in ("clock", "seconds"):
            raise ValueError(f"form is {self.form!r}; want clock or seconds")
        Grid(self.pool)

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """A `Text` and a `Visual` for each frame.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        pieces: list[Piece] = []
        for place, time_s in enumerate(grid.times_s):
            frame = FeatureGrid(grid.values_THWD[place : place + 1], grid.times_s[place : place + 1])
            pieces += [Text(self._stamp(float(time_s))), *Grid(self.pool).arrange(frame), Text("\n")]
        return pieces[:-1]

    def count(self, shape: GridShape) -> int:
        """As many visual tokens as the layout `grid` makes.

        Raises:
            LongtakeError: `usage.bad_option` if `pool` leaves nothing of a frame.
        """
        return Grid(self.pool).count(shape)

    def _stamp(self, time_s: float) -> str:
        if self.form == "seconds":
            return f"{time_s:.1f}s "
        minutes, seconds = divmod(int(time_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} "
