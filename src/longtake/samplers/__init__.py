"""samplers: a video's frame table in, the numbers of the frames to read out. Knows nothing of pixels or models."""

from __future__ import annotations

from typing import Protocol

from longtake.video import Video


class Sampler(Protocol):
    """Says which frames are looked at. Its dataclass fields are its options."""

    def pick(self, video: Video, question: str) -> list[int]:
        """Frame numbers to read, strictly ascending, all from `video.numbers`.

        A video that has fewer frames than the sampler would take gives all that it has: never one twice.

        Raises:
            LongtakeError: `usage.bad_option` if an option does not fit this video.
        """
        ...
