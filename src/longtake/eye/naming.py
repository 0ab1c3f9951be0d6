"""eye/naming: a model, a file and what is planned of it in; everything that decides which features come of it, out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from longtake.errors import LongtakeError
from longtake.eye import Reading
from longtake.families import Model
from longtake.identity import file_sha256
from longtake.layouts import view_of
from longtake.plan import Plan
from longtake.video import Video
from longtake.video.seen import Seen
from longtake.vision.glancing import Glancing


class Unnameable(Exception):
    """Nothing tells a video or an encoder from all others, so nothing that is kept could be found again."""


def features_about(model: Model, video: Video, plan: Plan, reading: Reading | None = None) -> Mapping[str, object]:
    """Everything that decides which features come of a video's frames.

    Raises:
        Unnameable: something of it has no name.
    """
    origin = model.origin
    eye = plan.encoder.encoder if isinstance(plan.encoder, Glancing) else plan.encoder
    places = None if origin is None else origin.places(eye)
    told = getattr(plan.encoder, "told", None)
    if origin is None or places is None or told is None:
        raise Unnameable("the model's eye was put together by hand")
    view = view_of(plan.layout)
    try:
        weights = origin.sha256
    except LongtakeError as error:
        raise Unnameable(f"{error.subject} {error.reason}") from error
    return {
        "video": media_sha256(video, reading),
        "reading": dict(reading_of(video)),
        "weights": weights,
        "networks": list(places),
        "numbers": f"{origin.dtype} on {origin.device} by {origin.tower}",
        "encoder": told,
        "view": [view.tiled, view.rows, view.columns],
    }


def reading_of(video: Video) -> Mapping[str, object]:
    """What decides, beside the file's bytes, which pixels a video's frames have.

    Raises:
        Unnameable: it does not say so.
    """
    told: Mapping[str, object] | None = getattr(video, "reading", None)
    if told is None:
        raise Unnameable("this video does not say how it is read")
    return told


def wants_hashes(video: Video) -> bool:
    """Whether a video was opened to tell the hashes of its frames' pixels."""
    return bool(getattr(video, "hashes_pixels", False))


def hashes_lack(video: Video, seen: Seen) -> bool:
    """Whether hashes are wanted that are not known of what was seen at another time."""
    return wants_hashes(video) and not seen.hashes_of(seen.numbers)


def media_sha256(video: Video, reading: Reading | None = None) -> str:
    """The SHA-256 of a video's file, which is still the one that was opened.

    Raises:
        Unnameable: it is not, or it cannot be read.
    """
    heard = None if reading is None else lambda done, total: reading.tell("hash", done, total)
    try:
        sum_ = file_sha256(video.path, heard=heard)
        status = Path(video.path).stat()
    except OSError as error:
        raise Unnameable(f"{video.path}: {error.strerror}") from error
    state = getattr(video, "state", None)
    if state is not None and (state.size_bytes, state.modified_ns) != (status.st_size, status.st_mtime_ns):
        raise Unnameable(f"{video.path} has changed since it was opened")
    return sum_
