"""cli/heap: how this process gets large blocks of memory, so that they go back when they are freed. Knows no video.

To open 12 hours of MP4, FFmpeg's index of a million packets grows to 90 MB and shrinks to 50 MB. By default glibc soon
takes such blocks from its heap, where they are copied to grow and leave holes: 80 MB more at the peak of an `ask`.
"""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
_LARGE_BYTES = 4 << 20
"""Larger than a decoded 720p frame, so that frames are still taken from the heap."""


def keep_large_blocks_apart() -> None:
    """Let the system hand out each large block by itself (glibc's mallopt); without glibc do nothing."""
    if sys.platform.startswith("linux"):
        choose = getattr(ctypes.CDLL(None), "mallopt", None)
        if choose is not None:
            choose(_M_MMAP_THRESHOLD, _LARGE_BYTES)
