"""video/decoding/reading: a frame table and frame numbers in, those decoded frames out. Knows no colours.

Wanted frames are taken group of pictures by group of pictures: go to the key frame, decode up to the last wanted frame,
drain the decoder, go on. Frames on which no other depends are decoded only if they are wanted. Before a packet is
decoded its time is replaced by its place in the packet table, and the decoder hands that on to the frame: so each
frame says itself which one it is, whatever the order and the delay in which frames come out.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby
from types import TracebackType
from typing import Literal, Self, cast

import numpy as np
from av.codec.codec import UnknownCodecError
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.container import FileState, check_decoded_size, check_unchanged, opened, packets_of
from longtake.video.options import MOST_PIXELS, ReadOptions
from longtake.video.packets.clock import NO_TIME
from longtake.video.packets.scanning import FrameTable, PacketTable
from longtake.video.times import format_time

_STRICTLY = "explode+crccheck"
"""Checksums in a stream (PNG; HEVC's picture hashes) are not looked at unless that is asked for."""

_Level = Literal["DEFAULT", "NONREF"]

_SKIPS_RIGHTLY = frozenset({"h264", "mpeg2video"})
"""Decoders whose `skip_frame = NONREF`, set packet by packet, leaves other frames bit-equal (test_video_read.py).

HEVC is not among them: a picture marked so may still be a reference to a higher temporal layer.
"""

_SURER = {"vp9": "libvpx-vp9"}
"""Decoders that notice damage where FFmpeg's own show whatever comes out (docs/log.md, 2026-11-23).

Eight bits only: libvpx may be built without more.
"""

_NEAR_PACKETS = 48
"""So far ahead it is as cheap to read on as to seek."""


class _Ended(Exception):
    """The file ends before a packet that the table has."""


def prepare_decoder(codec: VideoCodecContext, options: ReadOptions, *, strict: bool = True) -> None:
    """Open a decoder: if `strict`, damage is an error, not something to paint over.

    A lenient one has one thread: with more, whether it marks a damaged frame as corrupt depends on which is faster.
    Either refuses pictures beyond the limit by itself, also where their size changes inside the stream.

    Raises:
        FFmpegError: if the decoder cannot be opened.
    """
    codec.thread_type = ThreadType.FRAME
    codec.thread_count = options.threads if strict else 1
    codec.options = {"max_pixels": str(min(options.limits.pixels, MOST_PIXELS))} | (
        {"err_detect": _STRICTLY} if strict else {}
    )
    codec.open(strict=False)


def strict_decoder(stream: VideoStream, options: ReadOptions) -> VideoCodecContext:
    """The opened decoder that notices the most damage to `stream`; its own, where this build of FFmpeg has no other.

    Raises:
        FFmpegError: if the decoder cannot be opened.
    """
    codec = stream.codec_context
    with suppress(UnknownCodecError):
        if codec.name in _SURER and codec.format and all(part.bits == 8 for part in codec.format.components):
            codec = cast(VideoCodecContext, VideoCodecContext.create(_SURER[codec.name], "r"))
            codec.extradata = stream.codec_context.extradata
    prepare_decoder(codec, options)
    return codec


def video_stream(container: InputContainer, index: int) -> VideoStream:
    """The video stream whose index in the file is `index`."""
    return next(stream for stream in container.streams.video if stream.index == index)


class Cursor:
    """A reading head over one stream of a file, which can be put before any packet of the table."""

    def __init__(
        self, path: str, stream_index: int, packets: PacketTable, state: FileState, *, options: ReadOptions
    ) -> None:
        self._path, self._stream_index, self._packets, self._state = path, stream_index, packets, state
        self._options = options
        self._keys = np.flatnonzero(packets.key_P)
        self._keys_by_pts = self._keys[np.argsort(packets.pts_P[self._keys], kind="stable")]
        self._key_pts = packets.pts_P[self._keys_by_pts]
        self._aim = 0
        self._next_place = 0
        self._lenient: VideoCodecContext | None = None
        self._open_file = ExitStack()
        self._reopen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._open_file.close()

    def walk(self, first: int, last: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Places in the table and packets, from `first` to `last`; starts wherever the head stands.

        Raises:
            _Ended: if the file has no more packets before `last`.
            LongtakeError: `media.container` if the packets are not those of the table.
        """
        found: Packet[VideoStream] | None = None
        if not 0 <= first - self._next_place <= _NEAR_PACKETS:
            found = self._go_to(first)
        while self._next_place <= last:
            packet = found or self._pull()
            place, found, self._next_place = self._next_place, None, self._next_place + 1
            if packet.size != self._packets.size_P[place]:
                raise LongtakeError(
                    ErrorCode.MEDIA_CONTAINER,
                    self._path,
                    f"gives other packets when it is read again (packet {place:,})",
                    "put it into a new container: ffmpeg -i FILE -c copy out.mkv",
                )
            if place >= first:
                yield place, packet

    def decoder(self, *, strict: bool) -> VideoCodecContext:
        """The stream's decoder; the one that is not strict is made when it is first asked for."""
        if strict:
            return self._strict
        if self._lenient is None:
            codec = cast(VideoCodecContext, VideoCodecContext.create(self.stream.codec_context.name, "r"))
            codec.extradata = self.stream.codec_context.extradata
            prepare_decoder(codec, self._options, strict=False)
            self._lenient = codec
        return self._lenient

    def check_unchanged(self) -> None:
        """Check, after reading, that the file did not change meanwhile.

        Raises:
            LongtakeError: `media.container`.
        """
        check_unchanged(self._path, self._state)

    def _reopen(self) -> None:
        self._open_file.close()
        self._container, _ = self._open_file.enter_context(opened(self._path, self._options))
        self.check_unchanged()
        self.stream = video_stream(self._container, self._stream_index)
        self._strict = strict_decoder(self.stream, self._options)
        self._ahead = packets_of(self._container, self.stream)
        self._next_place = 0

    def _pull(self) -> Packet[VideoStream]:
        # A packet without bytes says "show the last frame on", or stands at the end.
        packet = next((packet for packet in self._ahead if packet.size), None)
        if packet is None:
            self._next_place = len(self._packets)
            raise _Ended
        return packet

    def _go_to(self, place: int) -> Packet[VideoStream] | None:
        """Put the head at `place`; the packet there if it has been pulled already.

        Containers differ in the time that a seek aims at: each is tried, from the one that hit last. Where none hits,
        packets are counted from the beginning of the file.
        """
        packets = self._packets
        row = int(np.searchsorted(self._keys, place))
        before = int(self._keys[row - 1]) if row else place
        aims = [int(time) for time in (packets.pts_P[place], packets.dts_P[place])]
        aims.append(int(min(packets.dts_P[before], packets.pts_P[before])))
        for number in range(self._aim, len(aims) if self._may_seek_to(place) else 0):
            packet = self._seek(aims[number], place) if aims[number] != NO_TIME else None
            if packet is not None:
                self._aim, self._next_place = number, place
                return packet
        self._reopen()
        return None

    def _may_seek_to(self, place: int) -> bool:
        """Whether the packet at `place` would be known again by its time."""
        pts = self._packets.pts_P[place]
        return bool(self._packets.key_P[place] and pts != NO_TIME and (self._packets.pts_P == pts).sum() == 1)

    def _seek(self, aim: int, place: int) -> Packet[VideoStream] | None:
        try:
            self._container.seek(aim, stream=self.stream)
        except FFmpegError:
            return None
        self._ahead = packets_of(self._container, self.stream)
        for packet in self._ahead:
            found = self._key_place(packet)
            if found is not None and found >= place:
                return packet if found == place else None
        return None

    def _key_place(self, packet: Packet[VideoStream]) -> int | None:
        """The place of a key frame; to know just those is enough, since every way to decode begins at one."""
        if packet.pts is None or not len(self._keys):
            return None
        row = min(int(np.searchsorted(self._key_pts, packet.pts)), len(self._keys) - 1)
        place = int(self._keys_by_pts[row])
        same = self._packets.pts_P[place] == packet.pts and self._packets.size_P[place] == packet.size
        return place if same else None


class FrameReader:
    """Decodes asked frames of one file."""

    def __init__(self, cursor: Cursor, table: FrameTable, path: str, *, options: ReadOptions) -> None:
        self._cursor, self._table, self._path, self._options = cursor, table, path, options
        self._damaged_N = table.damaged_N()

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Each asked frame with its number; `numbers` are strictly ascending.

        With `on_corrupt="skip"`, those that do not come out whole are left out.

        Raises:
            LongtakeError: `media.corrupt` or `media.truncated` at the first that does not come out whole.
        """
        start_N, damaged_N = self._table.start_N, self._damaged_N
        for (start, damaged), group in groupby(numbers, key=lambda number: (int(start_N[number]), damaged_N[number])):
            if not damaged:
                yield from self._read_group(start, list(group))
            elif self._options.on_corrupt == "error":
                raise self._failure(next(group), ErrorCode.MEDIA_CORRUPT)

    def _read_group(self, start: int, owed: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """All of `owed` in one pass; after damage one by one: no good frame is refused for a bad one after it."""
        ways = self._ways(start)
        for first, strict in ways:
            yield from self._attempt(first, owed, strict=strict)
        while owed:
            single, trouble = owed[:1], ErrorCode.MEDIA_CORRUPT
            for first, strict in ways:
                trouble = yield from self._attempt(first, single, strict=strict)
            if single and self._options.on_corrupt == "error":
                raise self._failure(owed[0], trouble)
            del owed[0]

    def _ways(self, start: int) -> list[tuple[int, bool]]:
        """Where to begin and how strictly, in the order to try.

        From a clean start every error is damage. At another a decoder misses frames that nothing shown needs, which a
        strict one reports, and a stream without clean starts comes right only after a while: from the key frame before.
        """
        if self._table.packets.clean_P[start]:
            return [(start, True)]
        before = np.flatnonzero(self._table.packets.key_P[:start])[-1:].tolist()
        return [(start, True), (start, False), *((first, False) for first in before)]

    def _attempt(
        self, first: int, owed: list[int], *, strict: bool
    ) -> Generator[tuple[int, VideoFrame], None, ErrorCode]:
        """Decode from packet `first`, yield owed frames and strike them off; returns what to call any trouble."""
        number_at = {int(self._table.packet_N[number]): number for number in owed}
        early: dict[int, VideoFrame] = {}
        try:
            for frame in self._decode(first, number_at, strict=strict) if owed else ():
                if frame.is_corrupt:
                    break
                if frame.pts in number_at:
                    early[number_at[frame.pts]] = frame
                while owed and owed[0] in early:
                    number = owed.pop(0)
                    yield number, early.pop(number)
        except _Ended:
            return ErrorCode.MEDIA_TRUNCATED
        except FFmpegError:
            with suppress(FFmpegError):  # the decoder itself may be what does not start
                check_decoded_size(self._cursor.decoder(strict=strict), self._path, self._options)
        return ErrorCode.MEDIA_CORRUPT

    def _decode(self, first: int, wanted: Collection[int], *, strict: bool) -> Iterator[VideoFrame]:
        """The frames of packets `first` to the last wanted one, each with its packet's place as its `pts`."""
        last, heard = max(wanted), self._options.heard
        codec = self._cursor.decoder(strict=strict)
        level: _Level | None = None
        others: _Level = "NONREF" if codec.name in _SKIPS_RIGHTLY else "DEFAULT"
        for place, packet in self._cursor.walk(first, last):
            heard("decode", place, last)
            if level is None:
                # To go there may have opened the file again, and with it a new decoder.
                codec = self._cursor.decoder(strict=strict)
                codec.flush_buffers()
            wished: _Level = "DEFAULT" if place in wanted else others
            if wished != level:
                codec.skip_frame = level = wished
            packet.pts = place
            yield from codec.decode(packet)
        yield from codec.decode(None)

    def _failure(self, number: int, code: ErrorCode) -> LongtakeError:
        what = "cannot be decoded" if code is ErrorCode.MEDIA_CORRUPT else "is missing: the file ends before it"
        good = self._last_good(number)
        until = "nothing before it" if good is None else f"the frames up to {format_time(self._table.times_s[good])}"
        reason = f"frame {number:,} at {format_time(self._table.times_s[number])} {what}; {until} can be"
        good_until = None if good is None else format_time(float(self._table.times_s[good + 1]))
        stop = f"stop before the damage with --end {good_until}, " if good_until else ""
        advice = f"fetch or export the file again, {stop}or go on with --on-corrupt skip"
        return LongtakeError(code, self._path, reason, advice)

    def _last_good(self, number: int) -> int | None:
        """The last frame before `number`, in its group or just before the group, that can be decoded."""
        start = int(self._table.start_N[number])
        strict = bool(self._table.packets.clean_P[start])
        group = np.flatnonzero((self._table.start_N[:number] == start) & ~self._damaged_N[:number]).tolist()
        good = group[0] - 1 if group else number - 1
        for done, _ in self._attempt(start, group.copy(), strict=strict):
            good = done
        # An error comes up before the frames that were on their way out: those are asked for one by one.
        while (
            good + 1 < number
            and not self._damaged_N[good + 1]
            and list(self._attempt(start, [good + 1], strict=strict))
        ):
            good += 1
        return good if good >= 0 else None
