"""cli/glancing: a sampler that looks before it chooses, and a model to look with, in; the frames that it keeps out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.cli.progress import Progress
    from longtake.samplers import Sampler
    from longtake.video import Video

EYES = "nano"
"""The model that looks where none is named, as in `longtake ask`."""


@dataclass(frozen=True)
class Chosen:
    """Frames that a sampler chose.

    Attributes:
        numbers: ascending.
        among: out of what they were chosen, for a title; empty: all frames of the video.
        told: what is to be told of the candidates, with --json.
        notes: what is worth saying of the candidates.
    """

    numbers: list[int]
    among: str
    told: Mapping[str, object]
    notes: tuple[str, ...] = ()


def choose(sampler: Sampler, video: Video, model: str | None, *, progress: Progress) -> Chosen:
    """What `sampler` would have a model see of `video`.

    Args:
        sampler: by the clock, or one that looks.
        video: that it chooses from.
        model: whose eyes a sampler that looks is lent, by name; None for EYES.
        progress: hears how many candidates have been looked at.

    Raises:
        LongtakeError: `usage.bad_option` for a model that a sampler has no use for; as `longtake.load` and `watch`.
    """
    from longtake.samplers import sifter_of

    if sifter_of(sampler) is None:
        if model is not None:
            reason, advice = "this sampler chooses by the clock alone", "leave it out, or take --sampler distinct"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--model", reason, advice)
        numbers = sampler.pick(video, "")
        return Chosen(numbers, "", {"asked_frames": len(numbers)})
    import dataclasses

    from longtake import pipeline
    from longtake.loading import load

    eyes = dataclasses.replace(load(model or EYES), sampler=sampler)
    look = pipeline.choose_frames(eyes, video, progress=progress)
    lost_s = [list(span) for span in look.lost_s]
    came = {"asked_frames": look.asked_frames, "candidates": look.candidates}
    told = {**came, "degraded": look.degraded, "lost_s": lost_s}
    among = f"{look.candidates:,} that {eyes.name} glanced at"
    return Chosen(look.numbers.tolist(), among, told, look.notes[len(video.notes) :])
