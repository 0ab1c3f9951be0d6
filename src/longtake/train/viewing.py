"""train/viewing: files and a question in, small pictures out; and of these the pieces of a prompt, with a gradient.

What is seen of a file, and how it is laid out, is decided by `plan`, and read by `eye`, as when a user asks; only the
way through tower and projector is another, for `Encoder.encode` keeps no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from longtake.clock import Clock
from longtake.eye import Reading
from longtake.families import Model
from longtake.layouts import Piece
from longtake.networks import input_device
from longtake.plan import Plan, is_still, plan_of
from longtake.prompt import ChatTemplate, joined
from longtake.video import Video
from longtake.video.opening import open_video
from longtake.video.seen import Seen
from longtake.vision import FeatureGrid


@dataclass(frozen=True)
class Viewed:
    """What of one file goes through the tower.

    Attributes:
        plan: of the frames that came.
        views_NCHW: (N, 3, side, side) uint8, frames or pictures with their tiles.
        times_s: (N,) of the frames that they show.
    """

    plan: Plan
    views_NCHW: torch.Tensor
    times_s: NDArray[np.float64]


@dataclass(frozen=True)
class Opened:
    """Files that are planned and not read yet.

    Attributes:
        template: of videos, or of pictures where one of the files is a picture.
    """

    videos: tuple[Video, ...]
    plans: tuple[Plan, ...]
    template: ChatTemplate

    @property
    def tokens(self) -> int:
        """How many visual tokens they will make."""
        return sum(plan.tokens for plan in self.plans)

    def read(self) -> list[Viewed]:
        """Decode what was planned.

        Raises:
            LongtakeError: whatever the files' frames are refused for.
        """
        return [read_file(video, plan) for video, plan in zip(self.videos, self.plans, strict=True)]


def open_files(model: Model, files: Sequence[Path], question: str) -> Opened:
    """Plan what `model` sees of some files when it is asked `question`; nothing is decoded.

    Raises:
        LongtakeError: `media.*`, `limit.*`.
    """
    videos = tuple(open_video(path) for path in files)
    pictures = sum(is_still(video) for video in videos)
    plans = tuple(plan_of(model, video, question, pictures=pictures) for video in videos)
    return Opened(videos, plans, model.image_template if pictures else model.template)


def read_file(video: Video, plan: Plan) -> Viewed:
    """Decode what was planned of one file.

    Raises:
        LongtakeError: whatever its frames are refused for.
    """
    if plan.sifter is not None:
        raise ValueError("a sampler that looks before it chooses would choose otherwise at every step")
    seen, encoder = Seen(video, plan.numbers), _opened(plan)
    reading = Reading(Clock(), lambda stage, done, total: None, asked=len(plan.numbers))
    with closing(reading.pictures(video, plan, plan.numbers, seen)) as pictures:
        views = list(encoder.views(pictures))
    views_NCHW = torch.from_numpy(np.concatenate([one.pixels_TCHW for one in views]))
    return Viewed(plan.of(seen.numbers), views_NCHW, np.concatenate([one.times_s for one in views]))


def pieces_of(viewed: Sequence[Viewed], template: ChatTemplate, *, learning: bool) -> list[Piece]:
    """The pieces of a prompt that shows some files, one after the other.

    Args:
        learning: whether the tower learns; else no gradient is kept for it.
    """
    return joined(template, [seen_pieces(one, learning=learning) for one in viewed])


def seen_pieces(viewed: Viewed, *, learning: bool) -> list[Piece]:
    """The pieces of one file, by its own encoder and layout; see `pieces_of`."""
    encoder = _opened(viewed.plan)
    pixels_NCHW = viewed.views_NCHW.to(input_device(encoder.tower))
    values, classes = [], []
    for some_TCHW in pixels_NCHW.split(encoder.chunk_frames):
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            normalised_TCHW = encoder.recipe.normalise(some_TCHW)
            if encoder.class_token:
                class_TC, features_THWC = encoder.tower.with_class(normalised_TCHW)
            else:
                class_TC, features_THWC = None, encoder.tower(normalised_TCHW)
        values.append(encoder.projector(features_THWC))
        classes += [] if class_TC is None else [encoder.projector(class_TC)]
    class_TD = torch.cat(classes) if classes else None
    tilings, newline_D = viewed.plan.shape.tilings, encoder.newline_D
    return viewed.plan.layout.arrange(FeatureGrid(torch.cat(values), viewed.times_s, newline_D, tilings, class_TD))


def _opened(plan: Plan) -> Any:
    """The encoder, which `looking.Looker` has made sure is an `Encoder`."""
    return plan.encoder


def kept_still(parts: Sequence[nn.Module]) -> None:
    """Make dropout and batch statistics do what they do when a model answers, also in training mode.

    What is compared with a model that does not learn must not differ from it by chance.
    """
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._BatchNorm):
                module.eval()
