"""video/decoding/ordering: a stream that stores no presentation times in, the table of its frames as shown out.

Only the decoder knows their order, so the whole stream is decoded once, in one thread, so that an error belongs to its
packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import dropwhile, pairwise

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import LostSpan
from longtake.video.container import check_decoded_size, opened, packets_of
from longtake.video.decoding.reading import prepare_decoder, video_stream
from longtake.video.options import ReadOptions
from longtake.video.packets.clock import NO_TIME
from longtake.video.packets.scanning import FrameTable, PacketTable, start_of_decoding, tick_s_of


@dataclass(frozen=True)
class DecoderOrder:
    """What came out of a decoder.

    Attributes:
        shown: the packet of each frame, in the order in which they are shown.
        damaged: the packets at which there was an error, or of which nothing came out though something must; in the
            order of the file. Those before the first good frame are left out: they just lack what came before.
    """

    shown: list[int]
    damaged: list[int]


def frames_by_decoder(packets: PacketTable, stream: VideoStream, path: str, options: ReadOptions) -> FrameTable:
    """The frames in the order in which the decoder gives them out, for files that store no presentation times.

    Their times are the stored decoding times in ascending order or, where those are missing too, steps of the frame
    rate. A damaged packet keeps its moment in the order of the file. Whether its frame was to be shown just then nobody
    knows: so frames as near to it as any frame of the stream is moved are left out, as it is. Where there is only a
    rate, packets may be missing without a trace, and after the first damage no time is known.

    Raises:
        LongtakeError: `media.container` if there is neither a time nor a rate, or no frame at all.
    """
    order = decoder_order(path, stream.index, packets, options)
    places, damaged = np.array(order.shown, dtype=np.int64), np.array(order.damaged, dtype=np.int64)
    gone = np.setdiff1d(damaged, places)
    moments = np.sort(np.concatenate([places, gone]))
    slots = np.delete(np.arange(len(moments)), np.searchsorted(moments, gone))
    moved = int(np.abs(slots - np.searchsorted(moments, places)).max(initial=0))
    bad = np.zeros(len(moments), dtype=np.bool_)
    for slot in np.searchsorted(moments, damaged):
        bad[max(0, slot - moved) : slot + moved + 1] = True
    at_s, source, has_dts = _moments_s(packets, moments, stream, path)
    if not has_dts and bad.any():
        bad[int(bad.argmax()) :] = True
    whole = ~bad[slots]
    if not whole.any():
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, "no frame of it is ever shown", "export the file again")
    first_s = at_s[slots[whole][0]]
    lasting_s = float(at_s[-1] - at_s[-2]) if len(at_s) > 1 else 1 / float(stream.average_rate or 1)
    ends_s = np.append(at_s[1:], at_s[-1] + lasting_s) - first_s
    rank_P = np.full(len(packets), -1, dtype=np.int64)
    rank_P[places] = np.arange(len(places))
    start_P = start_of_decoding(rank_P, np.flatnonzero(packets.key_P), packets.gradual_P)
    notes = [f"stores no presentation times; they were derived from {source}"]
    if len(damaged):
        notes.append(f"{len(damaged):,} of its {len(packets):,} packets are damaged")
    return FrameTable(
        packets=packets,
        times_s=at_s[slots[whole]] - first_s,
        packet_N=places[whole],
        start_N=np.maximum(start_P[places[whole]], 0),
        end_s=float(ends_s[slots[whole][-1]]),
        offset_s=0.0,
        lost_s=tuple(_spans(bad, at_s - first_s, ends_s, known_end=has_dts)),
        notes=tuple(notes),
    )


def _moments_s(
    packets: PacketTable, moments: NDArray[np.int64], stream: VideoStream, path: str
) -> tuple[NDArray[np.float64], str, bool]:
    """When the frames of these packets are shown, ascending; what says so; and whether that is stored times."""
    dts, rate = packets.dts_P[moments], stream.average_rate or stream.guessed_rate
    if len(moments) and (packets.dts_P != NO_TIME).all() and (np.diff(dts) > 0).all():
        source = "decoding times, in the order in which the decoder shows the frames"
        return (dts * tick_s_of(stream)).astype(np.float64), source, True
    if rate:
        return np.arange(len(moments)) / float(rate), f"its rate of {float(rate):g} frames a second", False
    advice = "put it into a container that stores times: ffmpeg -r RATE -i FILE -c copy out.mp4"
    raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, "stores neither frame times nor a frame rate", advice)


def _spans(
    bad: NDArray[np.bool_], at_s: NDArray[np.float64], ends_s: NDArray[np.float64], *, known_end: bool
) -> Iterator[LostSpan]:
    """Where neighbouring moments are bad, one span."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]])))
    for first, behind in pairwise(edges.tolist()):
        if bad[first]:
            yield float(at_s[first]), float(ends_s[behind - 1]) if known_end else None


def decoder_order(path: str, stream_index: int, packets: PacketTable, options: ReadOptions) -> DecoderOrder:
    """Decode the whole stream.

    A strict decoder swallows good frames beside a damaged one. So where it finds damage, a lenient one says the order:
    that has also the damaged frames, each at its place.
    """
    strict, errors = _decoded(path, stream_index, options, strict=True)
    shown = strict
    if errors and strict:
        lenient, _ = _decoded(path, stream_index, options, strict=False)
        # What comes before the first good frame lacks what it refers to: the stream starts in the middle.
        good = set(strict)
        shown = list(dropwhile(lambda place: place not in good, lenient))
    shown = [place for place in shown if not packets.hidden_P[place]]
    if not (errors and shown):
        return DecoderOrder(shown, [])
    silent = set(range(shown[0] + 1, len(packets))) - set(shown) - set(np.flatnonzero(packets.hidden_P).tolist())
    return DecoderOrder(shown, sorted(silent.union(place for place in errors if place > shown[0])))


def _decoded(path: str, stream_index: int, options: ReadOptions, *, strict: bool) -> tuple[list[int], list[int]]:
    """The packets of the frames that come out, in that order, and those at which there is an error."""
    shown: list[int] = []
    errors: list[int] = []
    with opened(path, options) as (container, _):
        stream = video_stream(container, stream_index)
        codec = stream.codec_context
        prepare_decoder(codec, replace(options, threads=1), strict=strict)
        for place, packet in enumerate(packet for packet in packets_of(container, stream) if packet.size):
            options.heard("decode", packet.pos or 0, container.size)
            packet.pts = place
            if not _sort_out(codec, packet, shown, errors):
                check_decoded_size(codec, path, options)
        _sort_out(codec, None, shown, errors)
    return list(dict.fromkeys(shown)), errors


def _sort_out(
    codec: VideoCodecContext, packet: Packet[VideoStream] | None, shown: list[int], errors: list[int]
) -> bool:
    """Decode one packet, if it can be; its place, or those of the frames that come out, go where they belong."""
    try:
        for frame in codec.decode(packet):
            if frame.pts is not None:
                shown.append(frame.pts)
                if frame.is_corrupt:
                    errors.append(frame.pts)
    except FFmpegError:
        if packet is not None and packet.pts is not None:
            errors.append(packet.pts)
        return False
    return True
