"""video/ordering: a stream that stores no presentation times in, the order in which its frames are shown out.

Only the decoder knows it, so the whole stream is decoded once, in one thread, so that an error belongs to its packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile

from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from longtake.video.container import opened, packets_of
from longtake.video.options import ReadOptions
from longtake.video.reading import prepare_decoder, video_stream
from longtake.video.scanning import PacketTable


def decoder_order(
    path: str, stream_index: int, packets: PacketTable, options: ReadOptions
) -> tuple[list[int], list[int]]:
    """The packets of all frames that the decoder shows, in its order, and those of which nothing comes out for damage.

    A strict decoder swallows good frames beside a damaged one. So where it finds damage, a lenient one says the order:
    that has also the damaged frames, each at its place, and it is left to reading to tell them from good ones.
    """
    strict, errors = _decoded(path, stream_index, options, strict=True)
    shown = strict
    if errors and strict:
        lenient, _ = _decoded(path, stream_index, options, strict=False)
        # What comes before the first good frame lacks what it refers to: the stream starts in the middle.
        good = set(strict)
        shown = list(dropwhile(lambda place: place not in good, lenient))
    first = shown[0] if shown else 0
    damaged = [place for place in errors if place not in set(shown) and place > first]
    return [place for place in shown if not packets.hidden_P[place]], damaged


def _decoded(path: str, stream_index: int, options: ReadOptions, *, strict: bool) -> tuple[list[int], list[int]]:
    """The packets of the frames that come out, in that order, and those at which there is an error."""
    shown: list[int] = []
    errors: list[int] = []
    with opened(path, options) as (container, _):
        stream = video_stream(container, stream_index)
        codec = stream.codec_context
        prepare_decoder(codec, options, strict=strict, threads=1)
        for place, packet in enumerate(packet for packet in packets_of(container, stream) if packet.size):
            options.heard("decode", packet.pos or 0, container.size)
            packet.pts = place
            try:
                shown += _places(codec, packet, strict=strict)
            except FFmpegError:
                errors.append(place)
        try:
            shown += _places(codec, None, strict=strict)
        except FFmpegError:
            pass
    return list(dict.fromkeys(shown)), errors


def _places(codec: VideoCodecContext, packet: Packet[VideoStream] | None, *, strict: bool) -> Iterator[int]:
    for frame in codec.decode(packet):
        if frame.pts is not None and not (strict and frame.is_corrupt):
            yield frame.pts
