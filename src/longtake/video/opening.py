"""video/opening: a path in, a video whose every frame has its true time out. Only the first frame is decoded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import LostSpan
from longtake.video.choosing import ADVICE_CODEC, check_decoder, check_pixels, choose_stream, codec_name
from longtake.video.container import FileState, check_whole, index_of, opened, packets_of
from longtake.video.decoding.ordering import frames_by_decoder
from longtake.video.decoding.reading import Cursor, FrameReader, video_stream
from longtake.video.decoding.sources import Here
from longtake.video.display.colour import UnknownColours
from longtake.video.display.picture import Picture, picture_of
from longtake.video.options import AS_IS, ReadOptions
from longtake.video.packets.clock import NO_TIME
from longtake.video.packets.scanning import (
    FrameTable,
    PacketTable,
    frames_by_time,
    needs_decoder_order,
    scan_packets,
)
from longtake.video.seen import told
from longtake.video.structure.cutting import Mp4Index
from longtake.video.structure.integrity import damage_among
from longtake.video.times import format_time
from longtake.video.video_file import HeaderFacts, StreamFacts, VideoFile

_FFMPEG_8 = 62
"""Its libavformat. lmms-eval wants PyAV 15, which has FFmpeg 7; docs/lmms_eval.md says what was found with it."""
_HEADER_SLACK = 0.05


def open_video(path: str | os.PathLike[str], *, stream: int | None = None, options: ReadOptions = AS_IS) -> VideoFile:
    """Look at a video file: which stream, which frames, at what times, how they are shown.

    The bytes decide what the file is, never its name. Every packet of the stream is read, none but the first frame's is
    decoded; only for streams that store no presentation times and reorder their frames (raw H.264, H.264 in AVI) all
    are decoded once, since nothing else knows their order. A still picture is a video of one frame.

    Args:
        path: a regular file.
        stream: index in the file of the video stream to take. Without it, of the video streams that are not cover art:
            those flagged as default if there are any, then the largest picture, then the first.
        options: what is done about damage, and what may be paid.

    Raises:
        LongtakeError: any of the `media.*` and `limit.*` codes but `limit.context`.
    """
    name = os.fsdecode(path)
    with opened(name, options) as (container, state):
        taken = choose_stream(container, stream, name)
        check_pixels(taken, name, options)
        with _blamed_on_the_cut(name):
            check_decoder(taken, container.format.name, name, options)
        header = _header(container, taken)
        claimed_s = _claimed_duration_s(container, taken)
        table = _table(container, taken, name, claimed_s=claimed_s, options=options)
        index, track = taken.index, taken.id
    _check_duration(name, table, options)
    cut = _cut_off(name, state, table, claimed_s)
    if cut is not None and options.on_corrupt == "error":
        raise cut.error
    if cut is None:
        _check_index(name, index, options, said=index_of(name, track), found=len(table.packets))
    damaged = [span for span in table.lost_s if span[0] >= 0]
    if damaged and options.on_corrupt == "error":
        raise _damaged(name, damaged)
    picture = _picture(name, index, table, state, options)
    return VideoFile(
        path=name,
        stream=index,
        table=table,
        picture=picture,
        header=header,
        state=state,
        numbers=np.arange(len(table.times_s), dtype=np.int64),
        lost_s=(*table.lost_s, *([cut.lost_s] if cut else [])),
        notes=(*_notes(header, table, picture, claimed_s), *table.notes, *([cut.error.reason] if cut else [])),
        options=options,
        source=Here(),
    )


@contextmanager
def _blamed_on_the_cut(path: str) -> Iterator[None]:
    """Where a file is cut off, that is why its decoder is not known: what describes the stream lies behind the cut."""
    try:
        yield
    except LongtakeError as error:
        if check_whole(path) is None:
            raise
        reason = "is cut off before its index (moov) ends, or still being written"
        advice = "wait until it is whole, or fetch it again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, advice) from error


def _check_index(path: str, index: int, options: ReadOptions, *, said: Mp4Index | None, found: int) -> None:
    """Check that the index of an MP4 file is sound; frames that an edit list leaves out are in the file too."""
    advice = "the index is damaged: fetch or export the file again"
    if said is not None and said.timescale == 0:
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, "its index gives times in no unit", advice)
    listed = (said.samples if said else None) or 0
    if listed <= found:
        return
    with opened(path, options, edited=False) as (container, _):
        found = sum(packet.size > 0 for packet in packets_of(container, video_stream(container, index)))
    if listed > found:
        reason = f"its index lists {listed:,} frames, of which {found:,} can be found"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, advice)


def _check_duration(path: str, table: FrameTable, options: ReadOptions) -> None:
    if table.end_s > options.limits.duration_s:
        reason = f"runs for {format_time(table.end_s)}; at most {format_time(options.limits.duration_s)} may be read"
        advice = "cut it into parts, or raise --limit duration=SECONDS"
        raise LongtakeError(ErrorCode.LIMIT_DURATION, path, reason, advice)


def _header(container: InputContainer, taken: VideoStream) -> HeaderFacts:
    facts = tuple(
        StreamFacts(
            index=stream.index,
            kind=stream.type or "unknown",
            codec=codec_name(stream),
            width_px=getattr(stream.codec_context, "width", 0),
            height_px=getattr(stream.codec_context, "height", 0),
            taken=stream.index == taken.index,
        )
        for stream in container.streams
    )
    return HeaderFacts(container.format.name, taken.frames or None, facts)


def _claimed_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _table(
    container: InputContainer, stream: VideoStream, path: str, *, claimed_s: float | None, options: ReadOptions
) -> FrameTable:
    cut = check_whole(path) is not None
    packets = scan_packets(container, stream, path, options)
    damage = damage_among(packets, stream, path, claimed_s=claimed_s, options=options)
    if damage is not None and damage.error is not None:
        if options.on_corrupt == "error" and not cut:
            raise damage.error
        packets = damage.packets
    if cut:
        whole = _before_the_cut(packets)
        # Where nothing is whole, the refusal still says that the file is cut off.
        packets = packets if whole.hidden_P.all() and options.on_corrupt == "error" else whole
    if needs_decoder_order(packets, stream, container.format.name):
        table = frames_by_decoder(packets, stream, path, options)
    else:
        table = frames_by_time(packets, stream, container.format.name, path)
    return table if damage is None else damage.told(table)


def _before_the_cut(packets: PacketTable) -> PacketTable:
    """Only the frames before which nothing is missing.

    The packet stored last may be a part of one, and look whole to a decoder. It and what was stored behind it are
    decoded later than all others, and no frame is shown before it is decoded.
    """
    hidden_P = packets.hidden_P.copy()
    hidden_P[-1] = True
    if NO_TIME not in (packets.dts_P[-1], packets.pts_P.min()):
        hidden_P |= packets.pts_P >= packets.dts_P[-1]
    return dataclasses.replace(packets, hidden_P=hidden_P)


@dataclass(frozen=True)
class _Cut:
    """A file that ends before its container says: what is missing, and the refusal that says so."""

    lost_s: LostSpan
    error: LongtakeError


def _cut_off(path: str, state: FileState, table: FrameTable, claimed_s: float | None) -> _Cut | None:
    end = check_whole(path)
    if end is None:
        return None
    whole = table.packet_N < len(table.packets) - 1
    last_s = float(table.times_s[whole].max(initial=0))
    reason = (
        f"is cut off: of at least {end:,} bytes {state.size_bytes:,} are there; its last whole frame is at "
        f"{format_time(last_s)}"
    )
    advice = "fetch it again, or take what is there with --on-corrupt skip"
    until_s = claimed_s if claimed_s is not None and claimed_s > table.end_s else None
    return _Cut((table.end_s, until_s), LongtakeError(ErrorCode.MEDIA_TRUNCATED, path, reason, advice))


def _damaged(path: str, spans: list[LostSpan]) -> LongtakeError:
    reason = f"is damaged: nothing is known of {told(spans)}"
    advice = "fetch or export the file again, or go on without them with --on-corrupt skip"
    return LongtakeError(ErrorCode.MEDIA_CORRUPT, path, reason, advice)


def _picture(path: str, index: int, table: FrameTable, state: FileState, options: ReadOptions) -> Picture:
    """How frames are shown, from the first that can be decoded."""
    candidates = range(len(table.times_s) if options.on_corrupt == "skip" else 1)
    with Cursor(path, index, table.packets, state, options=options) as cursor:
        first = next(FrameReader(cursor, table, path, options=options).read(candidates), None)
        if first is None:
            reason, advice = "none of its frames can be decoded", "fetch or export the file again"
            raise LongtakeError(ErrorCode.MEDIA_CORRUPT, path, reason, advice)
        try:
            return picture_of(first[1], cursor.stream, deinterlace=options.deinterlace)
        except UnknownColours as error:
            raise LongtakeError(ErrorCode.MEDIA_CODEC, path, str(error), ADVICE_CODEC) from error


def _notes(header: HeaderFacts, table: FrameTable, picture: Picture, claimed_s: float | None) -> list[str]:
    notes = []
    videos = [stream for stream in header.streams if stream.kind == "video"]
    if len(videos) > 1:
        taken = next(stream.index for stream in videos if stream.taken)
        notes.append(
            f"has {len(videos)} video streams ({', '.join(str(one.index) for one in videos)}); {taken} is taken"
        )
    frames = len(table.times_s)
    if header.frames is not None and header.frames != frames:
        notes.append(f"the header claims {header.frames:,} frames; {frames:,} are shown")
    if claimed_s is not None and abs(claimed_s - table.end_s) > max(1.0, _HEADER_SLACK * table.end_s):
        notes.append(f"the header claims {format_time(claimed_s)}; the last frame ends at {format_time(table.end_s)}")
    if picture.interlaced:
        given = (
            "made whole from their first field"
            if picture.deinterlace
            else "given as stored, both fields woven together"
        )
        notes.append(f"interlaced: frames are {given}")
    if frames == 1:
        notes.append("one frame: a still picture")
    if av.library_versions["libavformat"][0] < _FFMPEG_8:
        notes.append(
            "read by PyAV 15: of a trimmed file the last frame may be left out, damage in a packet not be noticed, and "
            "colours that change inside a file not be followed; PyAV 16 has none of these faults"
        )
    return notes
