"""video/sameness: frames pass through, whether there was anything to see in them comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from longtake.video import Frames

_NOISE = 12
"""Steps of 255 that lossy coding adds to a plain or frozen picture; what a person sees is larger."""


class Sameness:
    """Looks at frames on their way and remembers whether they show anything, and anything new."""

    def __init__(self) -> None:
        self._first_CHW: NDArray[np.int16] | None = None
        self._frames = 0
        self._plain, self._frozen = True, True

    def watched(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """The same chunks; each is looked at as it passes. All frames have one size."""
        for frames in chunks:
            self._look(frames.pixels_TCHW)
            yield frames

    def _look(self, pixels_TCHW: NDArray[np.uint8]) -> None:
        self._frames += len(pixels_TCHW)
        for image_CHW in pixels_TCHW if self._plain or self._frozen else ():
            if self._first_CHW is None:
                self._first_CHW = image_CHW.astype(np.int16)
            self._plain = self._plain and int(np.ptp(image_CHW, axis=(1, 2)).max()) <= _NOISE
            self._frozen = self._frozen and int(np.abs(image_CHW - self._first_CHW).max()) <= _NOISE

    def notes(self) -> tuple[str, ...]:
        """What is worth saying of the frames that passed."""
        if not self._frames:
            return ()
        if self._plain and self._frozen:
            return ("low information: every frame that was looked at is one and the same plain colour",)
        if self._plain:
            return ("low information: every frame that was looked at is one plain colour",)
        if self._frozen and self._frames > 1:
            return (f"low information: all {self._frames:,} frames that were looked at show the same picture",)
        return ()
