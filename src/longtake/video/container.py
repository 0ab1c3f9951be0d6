"""video/container: a path in, an open container out, or a refusal that helps. Knows nothing of frames.

The bytes decide what a file is, never its name: FFmpeg is given an open descriptor of a regular file, no name, a list
of the formats that it may take for, and no protocol at all, so that no playlist can make it open another file or
address.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.options import MOST_PIXELS, ReadOptions
from longtake.video.structure.cutting import Mp4Index, announced_end, mp4_boxes, mp4_index, names_other_file
from longtake.video.structure.sniffing import HEAD_BYTES, claimed_size_px, container_kind, is_playlist, looks_like

FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,vc1,obu,av1,ivf,flv,live_flv,asf,ogg,nut,mxf,rm,wtv,dv,"
    "dhav,gxf,yuv4mpegpipe,mjpeg,gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,"
    "mp3,wav,flac,aac,ac3,eac3,amr,aiff,caf"
)
_READ_BYTES = 1 << 18
_MOST_HOLES = 1 << 12
_LARGEST_HOLE_BYTES = 1 << 24
"""FFmpeg looks through this many zero bytes in about a third of a second; a torrent's piece is no larger."""

_FIRST_SAFE_PYAV = 18
_KEPT_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}


@dataclass(frozen=True)
class FileState:
    """What tells whether a file is still the one that was opened."""

    size_bytes: int
    modified_ns: int


class _Nameless:
    """A file as PyAV reads one, without the name from which FFmpeg would guess the format."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._file = file.read, file.tell, file

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where the file stands afterwards; a place that no file has, as damaged indices name, FFmpeg refuses."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            return -errno.EINVAL


@contextmanager
def opened(path: str, options: ReadOptions, *, edited: bool = True) -> Iterator[tuple[InputContainer, FileState]]:
    """The container at `path` and the state of its file; both are closed at the end of the `with`.

    Args:
        edited: give only the packets that an edit list leaves; else all that are stored.

    Raises:
        LongtakeError: `media.not_found`, `media.not_a_file`, `media.empty`, `media.format_not_allowed`,
            `media.unknown_format`, `media.container`, `limit.bytes`, `limit.pixels`.
    """
    with regular_file(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size > options.limits.bytes:
            reason = f"has {status.st_size:,} bytes; at most {options.limits.bytes:,} may be read"
            raise LongtakeError(ErrorCode.LIMIT_BYTES, path, reason, "cut it into parts, or raise --limit bytes=N")
        _check_written(path, file, status.st_size)
        _check_head(path, file, options)
        try:
            container = av.open(
                _Nameless(file),
                "r",
                options=_stream_options(options),
                container_options=_KEPT_OPTIONS if edited else _KEPT_OPTIONS | {"ignore_editlist": "1"},
                metadata_errors="replace",
                buffer_size=_READ_BYTES,
            )
        except FFmpegError as error:
            raise _refusal(path, file, status.st_size) from error
        with container:
            yield container, FileState(status.st_size, status.st_mtime_ns)


def _stream_options(options: ReadOptions) -> dict[str, str]:
    """For the decoders with which FFmpeg tries some frames while it opens a file: none may be larger than allowed.

    They go to every stream, and PyAV before 18 then crashes on streams that turn up late: there the limit is checked
    only when the file is open.
    """
    tells = int(av.__version__.partition(".")[0]) >= _FIRST_SAFE_PYAV
    return {"max_pixels": str(min(options.limits.pixels, MOST_PIXELS))} if tells else {}


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of `stream` from where `container` stands; those without bytes say "show the last on" or end it.

    At the end PyAV (16 to 18) also ends each stream that turned up late, with or without knowing it: by chance then an
    IndexError comes, when all packets have been handed on.
    """
    with suppress(IndexError):
        yield from container.demux(stream)


def check_unchanged(path: str, state: FileState) -> None:
    """Check that the file at `path` is still as it was when it was opened.

    Raises:
        LongtakeError: `media.container` if it grew, shrank, was written to or is gone.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _not_opened(path, error) from error
    if FileState(status.st_size, status.st_mtime_ns) != state:
        advice = "wait until nothing writes to it, then open it again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, "the file changed since it was opened", advice)


def check_whole(path: str) -> int | None:
    """The byte at which the container at `path` says that it ends, if that is past the end of the file; else None."""
    with regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = announced_end(file, size)
    return end if end is not None and end > size else None


def index_of(path: str, track: int) -> Mp4Index | None:
    """What the index of an MP4 file says of a track; None in any other file."""
    with regular_file(path) as file:
        return mp4_index(file, os.fstat(file.fileno()).st_size, track)


@contextmanager
def regular_file(path: str) -> Iterator[BinaryIO]:
    """The file at `path`, open, once it is known to be a regular one.

    Raises:
        LongtakeError: `media.not_found`, `media.not_a_file`, `media.empty`.
    """
    try:
        # A first look without opening: to open a device can already do something to it.
        _check_regular(path, os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _not_opened(path, error) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        _check_regular(path, status.st_mode)
        if not status.st_size:
            raise LongtakeError(ErrorCode.MEDIA_EMPTY, path, "the file holds no bytes", "fetch or export it again")
        yield file


def _check_regular(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise LongtakeError(ErrorCode.MEDIA_NOT_A_FILE, path, f"is {kind}, not a file", "name a video file on disk")


def _check_written(path: str, file: BinaryIO, size: int) -> None:
    """Refuse a file with a large hole: nothing was ever written there, and to look for packets in it takes for ever."""
    seek_data, seek_hole = getattr(os, "SEEK_DATA", None), getattr(os, "SEEK_HOLE", None)
    if seek_data is None or seek_hole is None:
        return
    position = 0
    for _ in range(_MOST_HOLES):
        try:
            hole = os.lseek(file.fileno(), position, seek_hole)
            position = os.lseek(file.fileno(), hole, seek_data) if hole < size else size
        except OSError as error:
            if error.errno != errno.ENXIO:
                break  # a file system that does not tell
            position = size  # the hole reaches to the end
        if position - hole > _LARGEST_HOLE_BYTES:
            reason = f"nothing was ever written to {position - hole:,} of its bytes, from byte {hole:,} on"
            raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "wait until it is whole, or fetch it again")
        if position >= size:
            break
    file.seek(0)


def _check_head(path: str, file: BinaryIO, options: ReadOptions) -> None:
    """Refuse by the first bytes what FFmpeg would search for a start, or take for damage."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if len(head) == HEAD_BYTES and not head.strip(b"\0"):
        reason = f"begins with {HEAD_BYTES:,} zero bytes: looks like {looks_like(head)}"
        raise LongtakeError(ErrorCode.MEDIA_UNKNOWN_FORMAT, path, reason, "fetch or export it again")
    if names_other_file(file, os.fstat(file.fileno()).st_size):
        reason = "its pictures lie in another file or at an address"
        raise LongtakeError(ErrorCode.MEDIA_FORMAT_NOT_ALLOWED, path, reason, "name the file that holds them")
    file.seek(0)
    width_px, height_px = claimed_size_px(head) or (0, 0)
    if width_px * height_px > options.limits.pixels:
        raise too_many_pixels(path, width_px, height_px, options)


def check_decoded_size(codec: VideoCodecContext, path: str, options: ReadOptions) -> None:
    """Tell, after a decoder refused something, whether that was a picture larger than it may decode.

    Raises:
        LongtakeError: `limit.pixels` if it was.
    """
    if codec.width * codec.height > options.limits.pixels:
        raise too_many_pixels(path, codec.width, codec.height, options)


def too_many_pixels(path: str, width_px: int, height_px: int, options: ReadOptions) -> LongtakeError:
    """The refusal of pictures of that size."""
    reason = f"its pictures have {width_px:,} x {height_px:,} pixels; at most {options.limits.pixels:,} may be decoded"
    return LongtakeError(ErrorCode.LIMIT_PIXELS, path, reason, "make them smaller, or raise --limit pixels=N")


def _not_opened(path: str, error: OSError | ValueError) -> LongtakeError:
    number = getattr(error, "errno", None)
    if number == errno.ELOOP:
        return LongtakeError(
            ErrorCode.MEDIA_NOT_A_FILE, path, "is a symbolic link that leads to itself", "mend the link"
        )
    if number in (errno.EACCES, errno.EPERM):
        return LongtakeError(ErrorCode.MEDIA_NOT_FOUND, path, "may not be read", "ask for permission to read it")
    if "://" in path:
        return LongtakeError(ErrorCode.MEDIA_NOT_FOUND, path, "is an address, not a file", "download it first")
    return LongtakeError(ErrorCode.MEDIA_NOT_FOUND, path, "there is no such file", "check the path")


def _refusal(path: str, file: BinaryIO, size: int) -> LongtakeError:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if is_playlist(head):
        return LongtakeError(
            ErrorCode.MEDIA_FORMAT_NOT_ALLOWED,
            path,
            "is a playlist that points at other files or addresses",
            "name the video file itself",
        )
    kind = container_kind(head)
    if kind is None:
        advice = "give a video file; ffprobe FILE says what it is"
        return LongtakeError(ErrorCode.MEDIA_UNKNOWN_FORMAT, path, f"looks like {looks_like(head)}", advice)
    reason = f"looks like {kind}, but its index is missing or damaged"
    end = announced_end(file, size)
    if end is not None and end > size:
        reason = f"looks like {kind}, cut off before its index ends: at least {end:,} bytes, or still being written"
    if kind.startswith("MP4") and all(box != b"moov" for box, _ in mp4_boxes(file, size)):
        reason = f"looks like {kind} without its index (moov): the file is cut off or still being written"
    return LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "wait until it is whole, or fetch it again")
