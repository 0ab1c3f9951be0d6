"""media/odd_bytes: sound videos in, the same remuxed, shifted, turned or relabelled out: strange, but not damaged."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
from PIL import Image

from . import numbered
from .bad_bytes import TS_BYTES, box, moved_chunks, packets
from .bad_sources import source

NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * (TS_BYTES - 4)
_EXACT = {"fflags": "+bitexact"}


def by_path(suffix: str, write: Callable[[Path], object]) -> bytes:
    """The bytes that `write` leaves in a file of that ending."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made.{suffix}"
        write(path)
        return path.read_bytes()


def exif(orientation: int) -> bytes:
    """A photograph with an EXIF orientation."""
    photo, out = Image.fromarray(numbered.draw(7)), io.BytesIO()
    tags = photo.getexif()
    tags[0x0112] = orientation
    photo.save(out, "JPEG", exif=tags, quality=95)
    return out.getvalue()


def moving(kind: str, durations_ms: tuple[int, ...]) -> bytes:
    """A GIF or animated PNG that shows 0, 1, 2, ... each for its own time, for ever."""
    pictures, out = [Image.fromarray(numbered.draw(number)) for number in range(len(durations_ms))], io.BytesIO()
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:], duration=list(durations_ms), loop=0)
    return out.getvalue()


def long_video(frames: int) -> bytes:
    """One small picture a second: the 60 of a source over and over, not coded again."""
    out = io.BytesIO()
    with av.open(io.BytesIO(source("small.mkv"))) as old:
        stream = old.streams.video[0]
        pictures = [(bytes(packet), packet.is_keyframe) for packet in old.demux(stream) if packet.size]
        with av.open(out, "w", format="matroska", options=_EXACT) as new:
            copy = new.add_stream_from_template(stream)
            for place in range(frames):
                packet = av.Packet(pictures[place % len(pictures)][0])
                packet.pts = packet.dts = place * 1000
                packet.time_base, packet.is_keyframe, packet.stream = copy.time_base or stream.time_base, True, copy
                new.mux(packet)
    return out.getvalue()


def shifted(name: str, muxer: str, shift_s: float) -> bytes:
    """The packets of a source at times that many seconds later; an MP4 does not show those before 0."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(source(name))) as old,
        av.open(out, "w", format=muxer, options={**_EXACT, "avoid_negative_ts": "disabled"}) as new,
    ):
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        first = stream.start_time or 0
        for packet in old.demux(stream):
            if packet.size:
                ticks = round(shift_s / stream.time_base) - first
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, copy
                new.mux(packet)
    return out.getvalue()


def trimmed(suffix: str) -> bytes:
    """A lossless trim to frame 12 and on: the packets before it stay, an edit list hides them."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.mp4"
        whole.write_bytes(source("plain.mp4"))
        return numbered.remux(whole, Path(folder) / f"trim.{suffix}", first_pts_s=0.48).read_bytes()


def turned(matrix: tuple[int, int, int, int]) -> bytes:
    """A video with a display matrix."""

    def write(path: Path) -> None:
        path.write_bytes(source("plain.mp4"))
        numbered.set_display_matrix(path, matrix)

    return by_path("mp4", write)


def headless(frames: int) -> bytes:
    """Raw H.264 from the packet of frame `frames` on: its group's key frame is there, those before are not."""
    data = source("no_b.h264")
    starts = [start for start, _ in packets(data)]
    keys = data[: starts[0] + 200].index(b"\x65") if frames == 0 else starts[frames]
    return data[keys:]


def times_thousand(data: bytes) -> bytes:
    """An MP4 whose mvhd, tkhd and mdhd claim a thousand times the time."""
    out = bytearray(data)
    for path, offset in (
        ((b"moov", b"mvhd"), 16),
        ((b"moov", b"trak", b"tkhd"), 20),
        ((b"moov", b"trak", b"mdia", b"mdhd"), 16),
    ):
        at = box(data, *path)[0] + 8 + offset
        out[at : at + 4] = (int.from_bytes(out[at : at + 4], "big") * 1000).to_bytes(4, "big")
    return bytes(out)


def mkv_duration(ticks: float) -> bytes:
    """A Matroska file whose Duration is `ticks` milliseconds."""
    data = source("plain.mkv")
    at = data.index(b"\x44\x89\x88") + 3
    return data[:at] + struct.pack(">d", ticks) + data[at + 8 :]


def avi_frames(count: int) -> bytes:
    """An AVI file whose headers claim `count` frames."""
    data = bytearray(source("mjpeg.avi"))
    for at in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        data[at : at + 4] = count.to_bytes(4, "little")
    return bytes(data)


def idx1_moved(shift: int) -> bytes:
    """An AVI file whose index points `shift` bytes behind its chunks."""
    out = bytearray(source("mpeg4.avi"))
    for at in range(out.index(b"idx1") + 16, len(out) - 7, 16):
        out[at : at + 4] = (int.from_bytes(out[at : at + 4], "little") + shift).to_bytes(4, "little")
    return bytes(out)


def replaced_last(data: bytes, old: bytes, new: bytes) -> bytes:
    """`new` in place of the last `old`."""
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


def moov_twice() -> bytes:
    """A faststart MP4 with the same moov again at its end."""
    data = source("front.mp4")
    first, last = box(data, b"moov")
    return data + data[first:last]


def open_mdat() -> bytes:
    """A faststart MP4 whose mdat has size 0, which means: up to the end of the file."""
    data = source("front.mp4")
    first, _ = box(data, b"mdat")
    return data[:first] + b"\0\0\0\0" + data[first + 4 :]


def wide_mdat() -> bytes:
    """An MP4 whose mdat has a size of 64 bits."""
    data = source("front.mp4")
    first, last = box(data, b"mdat")
    moved = moved_chunks(8)(data)
    return moved[:first] + b"\0\0\0\1mdat" + (last - first + 8).to_bytes(8, "big") + moved[first + 8 :]


def with_free_packets(data: bytes) -> bytes:
    """A transport stream with a null packet behind each."""
    return b"".join(data[at : at + TS_BYTES] + NULL_PACKET for at in range(0, len(data), TS_BYTES))


def two_streams(*, default_first: bool) -> bytes:
    """A Matroska file with a stream of 160 x 128 and one of 192 x 160, the first flagged as default if asked."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(source("plain.ts"))) as small,
        av.open(io.BytesIO(source("wide.ts"))) as large,
        av.open(out, "w", format="matroska", options={**_EXACT, "default_mode": "passthrough"}) as new,
    ):
        copies = [(old, new.add_stream_from_template(old.streams.video[0])) for old in (small, large)]
        if default_first:
            copies[0][1].disposition = av.stream.Disposition.default.value
        for old, copy in copies:
            first = old.streams.video[0].start_time
            for packet in old.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, copy
                    new.mux(packet)
    return out.getvalue()


def linked(path: Path) -> None:
    """A link to a sound file beside it."""
    target = path.with_name(path.name + ".target")
    target.write_bytes(source("plain.mp4"))
    path.symlink_to(target.name)


def largest_size(data: bytes, element: bytes) -> bytes:
    """The largest size that fits in place of the size of the first such element."""
    at = data.index(element) + len(element)
    length = 9 - data[at].bit_length()
    return data[:at] + ((1 << 7 * length + 1) - 2).to_bytes(length, "big") + data[at + length :]
