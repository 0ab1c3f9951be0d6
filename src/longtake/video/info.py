"""video/info: an opened video in, what the file really is out, ready to print or to write as JSON. Decodes nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.video import LostSpan
from longtake.video.video_file import StreamFacts, VideoFile

_GAP = 1.5
_GAPS_TOLD = 10


@dataclass(frozen=True)
class VideoInfo:
    """What a video file really is: counted from its packets, not read from its header.

    Attributes:
        path, container, size_bytes: the file; `container` is FFmpeg's name of the format.
        streams: all streams, and which is taken.
        coded_width_px, coded_height_px: as stored.
        width_px, height_px: as displayed.
        rotation_deg, mirrored: a stored frame is first mirrored left to right, then turned clockwise.
        sample_aspect_ratio: width over height of a stored pixel, as "2:1".
        pixel_format, colour_primaries, colour_transfer, colour_matrix, colour_range: as stated by the stream.
        colour_conversion: what is done to show its colours as BT.709, such as the curve that HDR is tone-mapped by;
            None where its numbers are kept.
        frames: how many a player shows.
        header_frames: how many the header claims, None where it does not say.
        duration_s: from the first displayed frame to the end of the last.
        mean_fps: frames over duration.
        key_frames: places where decoding can start.
        largest_key_gap_s: the longest time between two of them, or to the end.
        gaps: (start_s, length_s) of the first ten places where a frame stays over 1.5 times as long as the median.
        gap_count: how many such places there are.
        variable_rate: whether frames stay for different times, beyond the rounding of stored times (2 ms or 2 %).
        interlaced: whether stored frames are two fields woven together.
        start_offset_s: presentation time of the first displayed frame by the file's own clock.
        lost_s: stretches that are known to be missing without decoding; an end of None is one that nobody knows.
        notes: what is worth saying.
    """

    path: str
    container: str
    size_bytes: int
    streams: tuple[StreamFacts, ...]
    coded_width_px: int
    coded_height_px: int
    width_px: int
    height_px: int
    rotation_deg: int
    mirrored: bool
    sample_aspect_ratio: str
    pixel_format: str
    colour_primaries: str
    colour_transfer: str
    colour_matrix: str
    colour_range: str
    colour_conversion: str | None
    frames: int
    header_frames: int | None
    duration_s: float
    mean_fps: float
    key_frames: int
    largest_key_gap_s: float
    gaps: tuple[tuple[float, float], ...]
    gap_count: int
    variable_rate: bool
    interlaced: bool
    start_offset_s: float
    lost_s: tuple[LostSpan, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """The same as plain values that `json.dumps` takes."""
        return dataclasses.asdict(self)


def info(video: VideoFile) -> VideoInfo:
    """Everything worth knowing about `video`'s file and stream."""
    table, picture, colour = video.table, video.picture, video.picture.colour
    steps_s = np.diff(table.times_s)
    gaps = _gaps(table.times_s)
    keys_s = table.times_s[np.isin(table.packet_N, np.flatnonzero(table.packets.key_P))]
    return VideoInfo(
        path=video.path,
        container=video.header.container,
        size_bytes=video.state.size_bytes,
        streams=video.header.streams,
        coded_width_px=picture.coded_width_px,
        coded_height_px=picture.coded_height_px,
        width_px=video.width_px,
        height_px=video.height_px,
        rotation_deg=picture.orientation.rotation_deg,
        mirrored=picture.orientation.mirrored,
        sample_aspect_ratio=f"{picture.sample_aspect.numerator}:{picture.sample_aspect.denominator}",
        pixel_format=picture.pixel_format,
        colour_primaries=colour.primaries,
        colour_transfer=colour.transfer,
        colour_matrix=colour.matrix + (" (assumed: not stated)" if colour.matrix_assumed else ""),
        colour_range="full" if colour.full_range else "limited",
        colour_conversion=colour.conversion,
        frames=len(table.times_s),
        header_frames=video.header.frames,
        duration_s=table.end_s,
        mean_fps=len(table.times_s) / table.end_s if table.end_s else 0.0,
        key_frames=len(keys_s),
        largest_key_gap_s=float(np.diff([*keys_s, table.end_s]).max()) if len(keys_s) else table.end_s,
        gaps=tuple(gaps[:_GAPS_TOLD]),
        gap_count=len(gaps),
        variable_rate=len(steps_s) > 1 and bool(np.ptp(steps_s) > max(2e-3, 0.02 * float(np.median(steps_s)))),
        interlaced=picture.interlaced,
        start_offset_s=table.offset_s,
        lost_s=video.lost_s,
        notes=video.notes,
    )


def _gaps(times_s: NDArray[np.float64]) -> list[tuple[float, float]]:
    steps_s = np.diff(times_s)
    median_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    return [(float(times_s[place]), float(steps_s[place])) for place in np.flatnonzero(steps_s > _GAP * median_s)]
