"""train/seeing: a looker that shows pictures as the model shows a user's: AnyRes and its like, where that is its way.

`Looker` itself shows every picture as frames of a video are shown (UniRes), whatever the model does when it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import LongtakeError
from longtake.layouts import Piece
from longtake.plan import plan_of
from longtake.prompt import ChatTemplate
from longtake.train.corpus import bad_data
from longtake.train.llava import Sample
from longtake.train.looking import Looker, Shown
from longtake.train.viewing import read_file, seen_pieces
from longtake.video.opening import open_video


@dataclass(frozen=True)
class AsAsked(Looker):
    """The model's own encoder and layout of pictures, alone or several together; `tiles` is not looked at."""

    @property
    def template(self) -> ChatTemplate:
        """The model's for pictures, with what it puts between several."""
        return self.model.image_template

    def cut(self, sample: Sample, path: Path) -> Shown:
        """See `Looker.cut`."""
        try:
            video = open_video(path)
            plan = plan_of(self.model, video, sample.turns[0].question, pictures=len(sample.pictures))
            return read_file(video, plan)
        except LongtakeError as error:
            reason = f"the picture {path} cannot be seen: {error.reason}"
            raise bad_data(sample.place, reason, "mend it, or leave such samples out with --on-bad skip") from error

    def visual_tokens(self, picture: Shown) -> int:
        """See `Looker.visual_tokens`."""
        tokens: int = picture.plan.tokens
        return tokens

    def pieces(self, pictures: Sequence[Shown], *, learning: bool) -> list[list[Piece]]:
        """See `Looker.pieces`."""
        return [seen_pieces(picture, learning=learning) for picture in pictures]
