"""layouts.image_grid: several frames on one picture, which the model then sees as any other picture."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.layouts import Piece, View
from longtake.layouts.anyres import Anyres
from longtake.vision import FeatureGrid, GridShape


@dataclass(frozen=True)
class ImageGrid:
    """IG-VLM: frames side by side on one picture, row by row in the order of time; more frames make more pictures.

    Places of the last picture that no frame fills are grey. IG-VLM samples 6 frames for one picture and changes the
    prompt to speak of a grid; the prompt stays the model's own here. Source: arXiv 2403.18406, section 3.

    Attributes:
        rows, columns: of frames on a picture.
        tiled: whether the picture is shown as AnyRes does, or only as a whole.
    """

    rows: int = 3
    columns: int = 2
    tiled: bool = True

    def __post_init__(self) -> None:
        View(rows=self.rows, columns=self.columns)

    @property
    def view(self) -> View:
        """So many frames on one picture."""
        return View(self.tiled, self.rows, self.columns)

    def arrange(self, grid: FeatureGrid) -> list[Piece]:
        """One `Visual` for each picture; a token's time is the mean of the times of the frames on it."""
        return Anyres().arrange(grid)

    def count(self, shape: GridShape) -> int:
        """As many as AnyRes makes of the pictures."""
        return Anyres().count(shape)
