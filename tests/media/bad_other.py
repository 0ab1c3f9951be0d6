"""media/bad_other: files that are no video, or one that is not to be read (M3, M4, M6, M8, M25, M27, M31)."""

from __future__ import annotations

import io
import os
import random
import socket
import zlib
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from . import numbered
from .bad_bytes import edited, put, swapped
from .bad_case import CODEC, CONTAINER, EMPTY, NO_VIDEO, NOT_A_FILE, NOT_FOUND, UNKNOWN, Case, refused
from .bad_sources import source


def sound(suffix: str, codec: str, *, cover: bool = False, seconds: int = 1) -> bytes:
    """Silence in a container of that kind, with a picture as cover art if asked."""
    out = io.BytesIO()
    out.name = f"sound.{suffix}"
    with av.open(
        out, "w", format={"m4a": "mp4", "mkv": "matroska"}.get(suffix, suffix), options={"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream(codec, rate=48_000)
        picture = container.add_stream("mjpeg", rate=1) if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 160, 128, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic.value
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered.draw(1)).reformat(format="yuvj420p")))
            container.mux(picture.encode())
        samples = stream.codec_context.frame_size or 1024
        for place in range(48_000 * seconds // samples):
            frame = av.AudioFrame(
                format=stream.codec_context.format.name, layout=stream.codec_context.layout.name, samples=samples
            )
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 48_000, place * samples, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def moving_webp() -> bytes:
    """An animated WebP, which FFmpeg cannot decode."""
    pictures, out = [Image.fromarray(numbered.draw(number)) for number in range(3)], io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], duration=100)
    return out.getvalue()


def subtitles_only() -> bytes:
    """A Matroska file of which only the subtitles' track can be one: its picture track is said to be subtitles."""
    data = source("plain.mkv")
    return data.replace(b"\x83\x81\x01", b"\x83\x81\x11", 1).replace(b"V_MPEG4/ISO/AVC", b"S_TEXT/UTF8\0\0\0\0")


def _socket(path: Path) -> None:
    """A socket's name is short: it is bound from inside its folder."""
    back = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(back)


_TEXT = {
    "html.mp4": b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>No such video</body></html>\n",
    "html_bom.mp4": b"\xef\xbb\xbf\n<html lang='en'><body>Please log in</body></html>\n" * 20,
    "json.mp4": b'{"error": {"code": 403, "message": "Forbidden"}}\n',
    "xml.mp4": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n',
    "text.mp4": b"This file will be put here later.\n",
    "lfs_pointer.mp4": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
    "script.mp4": b"#!/bin/sh\nexit 1\n",
    "utf16.mp4": "\ufeffNot a video at all.\r\n".encode("utf-16"),
    "srt.mp4": b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n",
    "vtt.mp4": b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n",
    "ass.mp4": b"[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Text\n",
    "avs.mp4": b'FFVideoSource("other.mp4")\n',
    "vpy.mp4": b"import vapoursynth as vs\nvs.core.ffms2.Source('other.mp4').set_output()\n",
    "pdf.mp4": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" * 40,
    "zip.mp4": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(300),
    "gzip.mp4": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + zlib.compress(bytes(5000))[2:],
    "elf.mp4": b"\x7fELF\x02\x01\x01" + bytes(400),
    "exe.mp4": b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(400),
    "sqlite.mp4": b"SQLite format 3\0\x10\0\x01\x01" + bytes(1000),
    "7z.mp4": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(200),
    "zeros.mp4": bytes(300_000),
    "one_byte.mp4": b"\0",
}

NO_VIDEO_AT_ALL = [
    refused("m03_empty.mp4", "no bytes", put(b""), code=EMPTY),
    refused("m03_empty", "no bytes, no suffix", put(b""), code=EMPTY),
    *(
        refused(f"m04_{name}", f"{name.split('.')[0]}, named .mp4", put(data), code=UNKNOWN)
        for name, data in _TEXT.items()
    ),
    refused("m04_random.mp4", "300,000 random bytes", put(lambda: random.Random(4).randbytes(300_000)), code=UNKNOWN),
    refused("m04_random.ts", "300,000 random bytes", put(lambda: random.Random(5).randbytes(300_000)), code=UNKNOWN),
    refused(
        "m04_ftyp_random.mp4",
        "an ftyp box, then noise",
        put(lambda: source("plain.mp4")[:32] + random.Random(6).randbytes(300_000)),
        code=CONTAINER,
    ),
    refused(
        "m04_ebml_random.mkv",
        "an EBML header, then noise",
        put(lambda: source("plain.mkv")[:40] + random.Random(7).randbytes(300_000)),
        code=CONTAINER,
    ),
    refused(
        "m04_riff_random.avi",
        "a RIFF AVI header, then noise",
        put(lambda: b"RIFF\0\0\1\0AVI " + random.Random(8).randbytes(300_000)),
        code=CONTAINER,
    ),
    refused("m06_sound.wav", "silence", put(lambda: sound("wav", "pcm_s16le")), code=NO_VIDEO),
    refused("m06_sound.mp4", "AAC alone", put(lambda: sound("mp4", "aac")), code=NO_VIDEO),
    refused("m06_sound.mkv", "AAC alone", put(lambda: sound("mkv", "aac")), code=NO_VIDEO),
    refused("m06_sound.ogg", "Opus alone", put(lambda: sound("ogg", "libopus")), code=NO_VIDEO),
    refused("m06_sound.flac", "FLAC", put(lambda: sound("flac", "flac")), code=NO_VIDEO),
    refused(
        "m25_cover.mp3",
        "MP3 with cover art and no video",
        put(lambda: sound("mp3", "libmp3lame", cover=True)),
        code=NO_VIDEO,
    ),
    refused(
        "m25_cover.m4a", "AAC with cover art and no video", put(lambda: sound("m4a", "aac", cover=True)), code=NO_VIDEO
    ),
    refused("m06_subtitles.mkv", "one track, said to be subtitles", put(subtitles_only), code=NO_VIDEO),
    refused(
        "m06_data.mp4",
        "the handler of the only track renamed to data",
        edited("front.mp4", swapped(b"vide", b"meta"), swapped(b"avc1", b"mett")),
        code=NO_VIDEO,
    ),
]

CODECS = [
    refused("m08_moving.webp", "animated WebP by Pillow", put(moving_webp), code=CODEC),
    refused("m31_cenc.mp4", "encrypted (cenc, AES-CTR)", edited("cenc.mp4"), code=CODEC),
    refused(
        "m31_fourcc.mp4",
        "sample entry zzz9",
        edited("front.mp4", swapped(b"avc1", b"zzz9", count=-1), swapped(b"avcC", b"zzzC")),
        code=CODEC,
    ),
    refused(
        "m31_codec.mkv",
        "CodecID V_MPEG9/ISO/AVC",
        edited("plain.mkv", swapped(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC")),
        code=CODEC,
    ),
    refused("m31_fourcc.avi", "FourCC ZZZ9", edited("mjpeg.avi", swapped(b"MJPG", b"ZZZ9")), code=CODEC),
    refused(
        "m31_encv.mp4",
        "sample entry encv without its keys",
        edited("front.mp4", swapped(b"avc1", b"encv", count=-1)),
        code=CODEC,
    ),
]

NOT_FILES = [
    refused("m27_folder.mp4", "a folder", lambda path: path.mkdir(), code=NOT_A_FILE),
    refused("m27_pipe.mp4", "a named pipe", lambda path: os.mkfifo(path), code=NOT_A_FILE),
    refused("m27_socket.mp4", "a socket", _socket, code=NOT_A_FILE),
    refused("m27_zero.mp4", "a link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), code=NOT_A_FILE),
    refused("m27_null.mp4", "a link to /dev/null", lambda path: path.symlink_to("/dev/null"), code=NOT_A_FILE),
    refused("m27_tty.mp4", "a link to /dev/tty", lambda path: path.symlink_to("/dev/tty"), code=NOT_A_FILE),
    refused("m27_loop.mp4", "a link to itself", lambda path: path.symlink_to(path.name), code=NOT_A_FILE),
    refused("m27_to_pipe.mp4", "a link to a named pipe", lambda path: path.symlink_to("m27_pipe.mp4"), code=NOT_A_FILE),
    refused("m27_dangling.mp4", "a link to nothing", lambda path: path.symlink_to("none.mp4"), code=NOT_FOUND),
]

OTHER: list[Case] = [*NO_VIDEO_AT_ALL, *CODECS, *NOT_FILES]
