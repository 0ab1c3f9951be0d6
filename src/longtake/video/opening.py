"""video/opening: a path in, a video whose every frame has its true time out. Only the first frame is decoded."""

from __future__ import annotations

import os

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.colour import HDR_TRANSFERS
from longtake.video.container import FileState, check_whole, opened
from longtake.video.picture import Picture, picture_of
from longtake.video.reading import Cursor, FrameReader, decoder_order, prepare_decoder, video_stream
from longtake.video.scanning import FrameTable, frames_by_decoder, frames_by_time, needs_decoder_order, scan_packets
from longtake.video.times import format_time
from longtake.video.video_file import HeaderFacts, StreamFacts, VideoFile

_ADVICE_CODEC = "convert it: ffmpeg -i FILE -c:v libx264 -pix_fmt yuv420p out.mp4"
_ADVICE_HDR = (
    "convert it: ffmpeg -i FILE -vf zscale=t=linear:npl=100,tonemap=hable,zscale=p=bt709:t=bt709:m=bt709:r=tv,"
    "format=yuv420p -c:v libx264 out.mp4"
)
_HEADER_SLACK = 0.05


def open_video(path: str | os.PathLike[str], *, stream: int | None = None) -> VideoFile:
    """Look at a video file: which stream, which frames, at what times, how they are shown.

    The bytes decide what the file is, never its name. Every packet of the stream is read, none but the first frame's is
    decoded; only for streams that store no presentation times and reorder their frames (raw H.264, H.264 in AVI) all
    are decoded once, since nothing else knows their order. A still picture is a video of one frame.

    Args:
        path: a regular file.
        stream: index in the file of the video stream to take. Without it, of the video streams that are not cover art:
            those flagged as default if there are any, then the largest picture, then the first.

    Raises:
        LongtakeError: any of the `media.*` codes.
    """
    name = os.fsdecode(path)
    with opened(name) as (container, state):
        taken = _choose(container, stream, name)
        _check_decoder(taken, container.format.name, name)
        header = _header(container, taken)
        claimed_s = _claimed_duration_s(container, taken)
        table = _table(container, taken, name)
        index = taken.index
    _check_whole(name, state, table)
    picture = _picture(name, index, table, state)
    notes = (*_notes(header, table, picture, claimed_s), *table.notes)
    numbers = np.arange(len(table.times_s), dtype=np.int64)
    return VideoFile(name, index, table, picture, header, state, numbers, notes)


def _choose(container: InputContainer, index: int | None, path: str) -> VideoStream:
    if not len(container.streams):
        reason, advice = "names no streams: its index is damaged or missing", "fetch or export it again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, advice)
    streams = container.streams.video
    found = ", ".join(f"{stream.index} {stream.type}" for stream in container.streams) or "none"
    if index is not None:
        chosen = next((stream for stream in streams if stream.index == index), None)
        if chosen is None:
            advice = f"its streams are: {found}"
            raise LongtakeError(ErrorCode.MEDIA_NO_VIDEO, path, f"stream {index} is not a video stream of it", advice)
        return chosen
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not moving:
        reason = "has no video" + (" but cover art" if streams else "") + f"; its streams are: {found}"
        advice = "name a file with a video stream" + (", or take the cover with --stream" if streams else "")
        raise LongtakeError(ErrorCode.MEDIA_NO_VIDEO, path, reason, advice)
    return max(
        moving, key=lambda stream: (bool(stream.disposition & Disposition.default), _area(stream), -stream.index)
    )


def _area(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0


def _check_decoder(stream: VideoStream, container_name: str, path: str) -> None:
    codec = _codec_name(stream)
    if not stream.codec_context:
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, "no decoder for its video codec is at hand", _ADVICE_CODEC)
    try:
        prepare_decoder(stream.codec_context)
    except FFmpegError as error:
        reason = f"the decoder of its codec {codec} does not start: {error.strerror}"
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, reason, _ADVICE_CODEC) from error
    if container_name == "webp_pipe" and not stream.codec_context.width:
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, "animated WebP cannot be decoded", "convert it to GIF or MP4")


def _codec_name(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _header(container: InputContainer, taken: VideoStream) -> HeaderFacts:
    facts = tuple(
        StreamFacts(
            index=stream.index,
            kind=stream.type or "unknown",
            codec=_codec_name(stream),
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


def _table(container: InputContainer, stream: VideoStream, path: str) -> FrameTable:
    packets = scan_packets(container, stream, path)
    if not needs_decoder_order(packets, stream, container.format.name):
        return frames_by_time(packets, stream, path)
    with opened(path) as (again, _):
        same = video_stream(again, stream.index)
        prepare_decoder(same.codec_context)
        return frames_by_decoder(packets, same, decoder_order(again, same, packets), path)


def _check_whole(path: str, state: FileState, table: FrameTable) -> None:
    end = check_whole(path)
    if end is None:
        return
    # The packet stored last may be a part of one.
    whole = table.packet_N < len(table.packets) - 1
    last = format_time(float(table.times_s[whole].max(initial=0)))
    reason = f"is cut off: of at least {end:,} bytes {state.size_bytes:,} are there; its last whole frame is at {last}"
    advice = "fetch it again, or keep what is there: ffmpeg -i FILE -c copy whole.mkv"
    raise LongtakeError(ErrorCode.MEDIA_TRUNCATED, path, reason, advice)


def _picture(path: str, index: int, table: FrameTable, state: FileState) -> Picture:
    with Cursor(path, index, table.packets, state) as cursor:
        _, frame = next(FrameReader(cursor, table, path).read([0]))
        picture = picture_of(frame, cursor.stream)
    if picture.colour.transfer in HDR_TRANSFERS:
        reason = f"is high dynamic range video ({picture.colour.transfer.upper()}), which longtake does not tone-map"
        raise LongtakeError(ErrorCode.MEDIA_CODEC, path, reason, _ADVICE_HDR)
    return picture


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
        notes.append("interlaced: frames are given as stored, both fields woven together")
    if frames == 1:
        notes.append("one frame: a still picture")
    return notes
