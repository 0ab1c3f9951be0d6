"""costs.reading: a video and the frames that are wanted of it in; what reading them takes out. Knows no model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.video import Shrink, Video

PILOT_PIXELS = 8_000_000
"""So many are decoded to see how fast that goes, twice."""
PILOT_FRAMES = (2, 16)
DECODER_BYTES, DECODER_BYTES_A_PIXEL = 6 * 2**20, 18
"""Of one decoder, and of each pixel of a displayed frame: pictures that others are made of, and frames on their way.
Measured with H.264 of 640 x 360 to 1280 x 720 (docs/plan.md)."""
PACKET_BYTES = 150
"""What the table of packets and FFmpeg's index take of each."""
KNOWN_PACKETS = 18_000
"""Those of the film with which the process itself was measured."""
MANY_GROUPS = 48
"""So many groups of pictures are read by two decoders (video/decoding/sources)."""


@dataclass(frozen=True)
class ReadPace:
    """Processor seconds of one frame that is decoded, and what comes on top for one that is shown and made small."""

    decoded_s: float
    shown_s: float


def read_pace(video: Video, shrink: Shrink) -> ReadPace:
    """Some frames of the beginning are read: the last of them alone, then each.

    Raises:
        LongtakeError: `media.*` where they cannot be read.
    """
    least, most = PILOT_FRAMES
    count = min(max(least, PILOT_PIXELS // (video.height_px * video.width_px)), most, len(video.numbers))
    numbers = [int(number) for number in video.numbers[:count]]
    alone_s, all_s = (min(_read_s(video, some, shrink) for _ in range(2)) for some in (numbers[-1:], numbers))
    shown_s = max(0.0, all_s - alone_s) / max(1, count - 1)
    return ReadPace(max(0.0, alone_s - shown_s) / count, shown_s)


def read_seconds(video: Video, numbers: Sequence[int], pace: ReadPace) -> float:
    """Processor seconds of reading these frames: each group of pictures is decoded up to the last wanted one."""
    return decoded_frames(video, numbers) * pace.decoded_s + len(numbers) * pace.shown_s


def decoded_frames(video: Video, numbers: Sequence[int]) -> int:
    """How many frames are decoded to show these; where nothing is known of groups of pictures, these."""
    table: Any = getattr(video, "table", None)
    if table is None:
        return len(numbers)
    wanted = np.asarray(numbers, dtype=np.int64)
    starts, packets = table.start_N[wanted], table.packet_N[wanted]
    return int(sum(packets[starts == start].max() - start + 1 for start in np.unique(starts)))


def decoder_bytes(video: Video, numbers: Sequence[int]) -> int:
    """What decoders and their tables hold."""
    table: Any = getattr(video, "table", None)
    packets = len(video.times_s) if table is None else len(table.packets)
    groups = len(numbers) if table is None else len(np.unique(table.start_N[np.asarray(numbers, dtype=np.int64)]))
    lanes = 2 if groups >= MANY_GROUPS else 1
    tables = max(0, packets - KNOWN_PACKETS) * PACKET_BYTES * lanes
    return lanes * (DECODER_BYTES + DECODER_BYTES_A_PIXEL * video.height_px * video.width_px) + tables


def _read_s(video: Video, numbers: Sequence[int], shrink: Shrink) -> float:
    begun = time.process_time()
    for _ in video.read(numbers, chunk=1, shrink=shrink):
        pass
    return time.process_time() - begun
