"""video/packets/scanning: an open container in, the table of a stream's packets and frames out. Decodes nothing.

Every frame number in longtake is a row of this table. It is made from the packets themselves, never from a header's
frame count or rate.

    packets as stored   I0  P3  B1  B2 | I6  B4  B5  P9 ...     | = a group of pictures starts: a key frame
    frames as shown     0   1   2   3    4   5   6   ...         by presentation time
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import LostSpan
from longtake.video.container import packets_of
from longtake.video.options import ReadOptions
from longtake.video.packets.clock import NO_TIME, one_clock
from longtake.video.packets.ffv1 import checksums_hold
from longtake.video.packets.h264 import refreshes_gradually, starts_cleanly
from longtake.video.packets.keyframes import may_be_key, true_keys

Whole = NDArray[np.signedinteger[Any]]
"""Whole numbers, in four bytes each where that is enough: a day of video has millions of them."""

_TIMELESS_FORMATS = frozenset({"avi", "h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "asf"})
"""These store no presentation times; what FFmpeg makes up is wrong where frames are not stored as they are shown."""

_HEARD_EVERY = 64
_BLOCK = 1 << 16

_REORDERED = 4
"""So many packets on each side of a hole are looked at for the frames that are shown beside it."""
_MOST_HIDDEN = 4
"""A sound file may store two frames at one time (fields, a frame that replaces another), not five."""

_VP8 = frozenset({"vp8", "libvpx"})
_VP8_SHOWN = 0x10
"""In the first byte of a VP8 packet (RFC 6386, section 9.1): the frame is to be shown."""


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream as stored, P of them.

    Attributes:
        pts_P, dts_P: presentation and decoding time in units of the stream's time base; `NO_TIME` where not stored.
        size_P: bytes.
        duration_P: in units of the time base, 0 where not stored.
        key_P: decoding may start here.
        clean_P: it may, and the decoder misses nothing: whatever error it finds afterwards is damage.
        hidden_P: no player shows what comes out (an edit list cuts it away, or the codec keeps it as a reference).
        gradual_P: what begins here becomes a whole picture only some frames later.
        damaged_P: the container, or a checksum, says that bytes are missing here or wrong.
    """

    pts_P: Whole
    dts_P: Whole
    size_P: Whole
    duration_P: Whole
    key_P: NDArray[np.bool_]
    clean_P: NDArray[np.bool_]
    hidden_P: NDArray[np.bool_]
    gradual_P: NDArray[np.bool_]
    damaged_P: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pts_P)


@dataclass(frozen=True)
class FrameTable:
    """The frames of one stream as shown, N of them, ascending in time.

    Attributes:
        times_s: (N,) first is 0.
        packet_N: the place of each frame's packet in `packets`.
        start_N: the place of the packet from which decoding of each frame starts.
        end_s: when the last frame leaves the screen.
        offset_s: presentation time of the first shown frame by the file's own clock.
        lost_s: stretches that are missing, by the table's own times.
        notes: what is worth saying about the table.
    """

    packets: PacketTable
    times_s: NDArray[np.float64]
    packet_N: Whole
    start_N: Whole
    end_s: float
    offset_s: float
    lost_s: tuple[LostSpan, ...]
    notes: tuple[str, ...]

    def damaged_N(self) -> NDArray[np.bool_]:
        """Whether any packet from a frame's start to its own is damaged: it may refer to what came of that."""
        if not self.packets.damaged_P.any():
            return np.broadcast_to(np.False_, self.packet_N.shape)
        before_P = np.append(0, np.cumsum(self.packets.damaged_P))
        return before_P[self.packet_N + 1] > before_P[self.start_N]


def scan_packets(container: InputContainer, stream: VideoStream, path: str, options: ReadOptions) -> PacketTable:
    """Read every packet of `stream` from where `container` stands, which is its beginning.

    Raises:
        LongtakeError: `media.container` if the container cannot be read to its end; `media.no_video` if there are no
            frames; `media.codec` if they are encrypted; `limit.frames` if there are more than may be listed.
    """
    columns = [_Column() for _ in range(4)]
    pts, dts, duration, size = (column.recent for column in columns)
    key, clean, hidden, gradual, torn, checked = (array("b") for _ in range(6))
    # Asked once: a search and a seek, each time.
    codec, codec_name, file_bytes = stream.codec_context, stream.codec_context.name, container.size
    has_palette = False
    try:
        for packet in packets_of(container, stream):
            packet_bytes = packet.size
            if not packet_bytes:
                continue
            if len(key) % _HEARD_EVERY == 0:
                options.heard("scan", packet.pos or 0, file_bytes)
                for column in columns:
                    column.fold()
            if not key and _is_encrypted(packet):
                raise LongtakeError(
                    ErrorCode.MEDIA_CODEC, path, "the video is encrypted", "export it without protection"
                )
            if len(key) >= options.limits.frames:
                raise _too_many_frames(path, options)
            has_palette = has_palette or (not key and _brings_palette(packet, codec))
            packet_pts, packet_dts = packet.pts, packet.dts
            is_key = packet.is_keyframe and may_be_key(packet, codec_name)
            pts.append(NO_TIME if packet_pts is None else packet_pts)
            dts.append(NO_TIME if packet_dts is None else packet_dts)
            size.append(packet_bytes)
            duration.append(packet.duration or 0)
            key.append(is_key)
            clean.append(is_key and _starts_cleanly(packet, codec))
            gradual.append(is_key and not clean[-1] and refreshes_gradually(bytes(packet), codec.extradata))
            torn.append(packet.is_corrupt)
            checked.append(codec_name == "ffv1" and checksums_hold(bytes(packet)))
            hidden.append(packet.is_discard or (codec_name in _VP8 and not bytes(packet)[0] & _VP8_SHOWN))
    except FFmpegError as error:
        reason = f"the container cannot be read past packet {len(key):,}: {error.strerror}"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "fetch or export the file again") from error
    if not key:
        raise LongtakeError(
            ErrorCode.MEDIA_NO_VIDEO, path, "its video stream holds no frames", "look at it with ffprobe"
        )
    key_P, clean_P, hidden_P, gradual_P, torn_P, checked_P = (
        np.frombuffer(column, dtype=np.bool_) for column in (key, clean, hidden, gradual, torn, checked)
    )
    damaged_P = _torn(torn_P, key_P, container.format.name) | (~checked_P & checked_P.any())
    key_P = true_keys(key_P, codec, has_palette=has_palette)
    pts_P, dts_P, duration_P, size_P = (column.whole() for column in columns)
    if "matroska" in container.format.name:
        pts_P, hidden_P = _without_those_before_zero(pts_P, hidden_P)
    return PacketTable(pts_P, dts_P, size_P, duration_P, key_P, clean_P, hidden_P, gradual_P, damaged_P)


def _is_encrypted(packet: Packet[Any]) -> bool:
    """PyAV tells what comes beside a packet from release 16 on; before, such frames are refused when they are decoded,
    as damaged ones.
    """
    return hasattr(packet, "has_sidedata") and bool(packet.has_sidedata("encryption_info"))


def _brings_palette(packet: Packet[Any], codec: VideoCodecContext) -> bool:
    """Where PyAV does not tell, whatever is drawn from a palette counts: that costs time and is never wrong."""
    if hasattr(packet, "has_sidedata"):
        return bool(packet.has_sidedata("palette"))
    return codec.pix_fmt == "pal8"


def _without_those_before_zero(pts_P: Whole, hidden_P: NDArray[np.bool_]) -> tuple[Whole, NDArray[np.bool_]]:
    """Times and hidden packets, once the one run without times behind the first packet is hidden.

    Copied from a key frame in the middle of a film, the frames that are shown before it have times below zero. FFmpeg
    gives these as none at all, and no player shows them. Packets without times anywhere else are something else.
    """
    missing = np.flatnonzero(pts_P == NO_TIME)
    if not len(missing) or missing[0] != 1 or missing[-1] != len(missing) or len(missing) + 1 == len(pts_P):
        return pts_P, hidden_P
    hidden_P = hidden_P.copy()
    hidden_P[missing] = True
    return np.where(pts_P == NO_TIME, np.delete(pts_P, missing).min() - 1, pts_P), hidden_P


def _torn(flagged_P: NDArray[np.bool_], key_P: NDArray[np.bool_], container_name: str) -> NDArray[np.bool_]:
    """Which packets lack bytes, from those that FFmpeg flags.

    In a transport stream its parser hands on each frame when the next one comes, and with that one's flag. Where
    streams were joined packets seem to be missing too: the last before a key frame is left to the decoder.
    """
    if container_name != "mpegts":
        return flagged_P
    behind_P, before_key_P = np.zeros_like(flagged_P), np.zeros_like(key_P)
    behind_P[1:], behind_P[-1] = flagged_P[:-1], flagged_P[-2:].any()
    before_key_P[:-1] = key_P[1:]
    return behind_P & ~before_key_P


class _Column:
    """Whole numbers in as few bytes as they need: append to `recent`, fold now and then."""

    def __init__(self) -> None:
        self.recent = array("q")
        self._blocks: list[Whole] = []

    def fold(self) -> None:
        """Make the recent ones small, if they are many."""
        if len(self.recent) >= _BLOCK:
            self._blocks.append(compact(np.array(self.recent)))
            del self.recent[:]

    def whole(self) -> Whole:
        """All of them."""
        return compact(np.concatenate([*self._blocks, compact(np.array(self.recent))]))


def compact(whole: Whole) -> Whole:
    """The same numbers in four bytes each where they fit, and once where they are all the same.

    Half the range is left, so that no difference of two of them overflows.
    """
    low, high = (int(whole.min()), int(whole.max())) if len(whole) else (0, 0)
    small = np.iinfo(np.int32).min // 2 <= low and high <= np.iinfo(np.int32).max // 2
    kind = np.int32 if small else np.int64
    return np.broadcast_to(kind(low), whole.shape) if low == high else whole.astype(kind, copy=False)


def _too_many_frames(path: str, options: ReadOptions) -> LongtakeError:
    reason = f"has more than {options.limits.frames:,} frames, the most that are listed"
    return LongtakeError(ErrorCode.LIMIT_FRAMES, path, reason, "cut it into parts, or raise --limit frames=N")


def _starts_cleanly(packet: Packet[VideoStream], codec: VideoCodecContext) -> bool:
    return codec.name != "h264" or starts_cleanly(bytes(packet), codec.extradata)


def needs_decoder_order(packets: PacketTable, stream: VideoStream, container_name: str) -> bool:
    """Whether only the decoder knows in which order the frames are shown: then all must be decoded once."""
    if (packets.pts_P == NO_TIME).any():
        return True
    return _is_timeless(container_name) and bool(stream.codec_context.has_b_frames)


def _is_timeless(container_name: str) -> bool:
    return not _TIMELESS_FORMATS.isdisjoint(container_name.split(","))


def frames_by_time(packets: PacketTable, stream: VideoStream, container_name: str, path: str) -> FrameTable:
    """The frames that a player shows, by the presentation times that the packets carry.

    Formats that store none, and frames in the order in which they are shown, go by decoding times.

    Of frames with one and the same time only the last stored is in the table: the others are never on screen. Frames
    that need packets from before the first key frame are not in the table.

    Raises:
        LongtakeError: `media.container` if there are none, or hardly any with a time of its own.
    """
    notes = []
    goes_by_dts = _is_timeless(container_name) and bool((packets.dts_P != NO_TIME).all())
    stored_P = packets.dts_P if goes_by_dts else packets.pts_P
    tick_s = tick_s_of(stream)
    clock = one_clock(stored_P, packets.dts_P, tick_s, path)
    pts_P = clock.pts_P
    if clock.parts > 1:
        notes.append(f"holds {clock.parts:,} clocks, as joined files do: its parts are taken one after the other")
    keys = np.flatnonzero(packets.key_P)
    start_P = start_of_decoding(pts_P, keys, packets.gradual_P)
    shown = ~packets.hidden_P & ~clock.strange_P & (start_P >= 0)
    headless_P = pts_P[~packets.hidden_P & (start_P < 0)]
    places = np.flatnonzero(shown).astype(np.int32)
    if not len(places):
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, "no frame of it is ever shown", "export the file again")
    places = places[np.argsort(pts_P[places], kind="stable")]
    pts_N = pts_P[places]
    visible = np.append(np.diff(pts_N) > 0, True)
    if len(visible) > _MOST_HIDDEN * visible.sum():
        reason = f"of its {len(visible):,} frames only {int(visible.sum()):,} have a time of their own"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "export the file again")
    if not visible.all():
        notes.append(f"{int((~visible).sum()):,} frames have the time of another and are never on screen")
    places, pts_N = places[visible], pts_N[visible]
    lost: list[LostSpan] = []
    if clock.strange_P.any():
        notes.append(f"the times of {int(clock.strange_P.sum()):,} packets are damaged: their frames are not counted")
        lost += _holes((pts_P - pts_N[0]) * tick_s, clock.strange_P)
    if len(headless_P):
        missing_s = float(pts_N[0] - headless_P.min()) * tick_s
        lost.append((-missing_s, 0.0))
        notes.append(
            f"starts without a key frame: its first {len(headless_P):,} frames cannot be decoded and are not counted "
            f"({missing_s:.3f} s before time 0)"
        )
    return FrameTable(
        packets=packets,
        times_s=(pts_N - pts_N[0]) * tick_s,
        packet_N=places,
        start_N=start_P[places],
        end_s=float(pts_N[-1] - pts_N[0] + _last_duration(packets, pts_N, places[-1], stream)) * tick_s,
        offset_s=float(pts_N[0]) * tick_s,
        lost_s=tuple(lost),
        notes=tuple(notes),
    )


def _holes(times_P: NDArray[np.float64], strange_P: NDArray[np.bool_]) -> Iterator[LostSpan]:
    """From the packets before each run of strange ones to those behind it, as far as frames are reordered."""
    edges = np.flatnonzero(np.diff(strange_P.astype(np.int8), prepend=0, append=0))
    for first, behind in edges.reshape(-1, 2).tolist():
        around = [*range(max(0, first - _REORDERED), first), *range(behind, min(len(strange_P), behind + _REORDERED))]
        before_s = [times_P[place] for place in around if place < first and not strange_P[place]]
        after_s = [times_P[place] for place in around if place >= behind and not strange_P[place]]
        yield max(before_s, default=0.0), min(after_s, default=None)


def start_of_decoding(order_P: Whole, keys: NDArray[np.int64], gradual_P: NDArray[np.bool_]) -> Whole:
    """For each packet the key frame to start from: its group's, or the one before if it is shown before its key frame.

    Such leading frames of an open group of pictures refer back into the group before. -1 where there is no key frame.
    """
    ends = np.append(keys, len(order_P))
    group_P = np.repeat(np.arange(-1, len(keys), dtype=np.int32), np.diff(ends, prepend=0))
    # The last of these starts serves group -1.
    starts = np.append(keys, -1).astype(np.int32)
    group_P -= (group_P >= 0) & (order_P < order_P[starts[group_P]])
    return np.append(_whole_from(keys, gradual_P[keys]), -1).astype(np.int32)[group_P]


def _whole_from(keys: NDArray[np.int64], gradual_K: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each key frame the one to start from so that everything shown from it on is whole; -1 where there is none.

    A gradual one needs the two before it, back to one that is not gradual: a decoder drops the picture at which it
    starts where that refers to others, so only the next refresh begins whole, and only the one after it finds it ended.
    """
    places = np.arange(len(keys))
    sudden = np.maximum.accumulate(np.where(gradual_K, -1, places))
    first = np.where(gradual_K, np.maximum(places - 2, sudden), places)
    return np.where(first >= 0, keys[first], -1)


def tick_s_of(stream: VideoStream) -> float:
    """The unit of the stream's stored times, in seconds."""
    return float(stream.time_base) if stream.time_base else 1.0


def _last_duration(packets: PacketTable, pts_N: Whole, last: int, stream: VideoStream) -> float:
    """How long the last frame stays, in ticks: as stored, else the median of the others, else one step of the rate.

    Where frames are not stored as they are shown, a stored duration is the step to the next in the file, not on screen.
    """
    if packets.duration_P[last] > 0 and (np.diff(packets.pts_P) > 0).all():
        return float(packets.duration_P[last])
    if len(pts_N) > 1:
        return float(np.median(np.diff(pts_N)))
    return 1 / float(stream.average_rate) / tick_s_of(stream) if stream.average_rate else 0.0
