"""video/fingerprint: a displayed frame in, the SHA-256 of its pixels out. Knows nothing of files."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def pixel_sha256(image_HWC: NDArray[np.uint8]) -> str:
    """The SHA-256 of a frame as a binary PPM: its size and its RGB bytes, so that any tool can check it.

    Args:
        image_HWC: (H, W, 3) uint8 RGB.
    """
    height, width, _ = image_HWC.shape
    found = hashlib.sha256(f"P6\n{width} {height}\n255\n".encode())
    found.update(np.ascontiguousarray(image_HWC).data)
    return found.hexdigest()
