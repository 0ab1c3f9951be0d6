"""media/bad_large: small files that claim a great deal: pixel bombs and holes (rows M17, M29)."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

from . import numbered
from .bad_bytes import edited, put, sparse
from .bad_case import BYTES, CONTAINER, CORRUPT, NO_VIDEO, PIXELS, Case, Maker, Promise, damaged, refused
from .bad_other import sound
from .bad_sources import solid, source

GIB = 1 << 30


def png(width: int, height: int) -> bytes:
    """A whole black PNG of one bit a pixel, compressed as it is made."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    """A GIF with one pixel on a logical screen of that size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00\x3b"


def picture(kind: str, **options: object) -> bytes:
    """The picture that shows 7, as Pillow writes it."""
    out = io.BytesIO()
    Image.fromarray(numbered.draw(7)).save(out, kind, **options)
    return out.getvalue()


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    data = bytearray(picture("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _great_sps(data: bytes) -> bytes:
    """A sequence parameter set of 960 x 960 macroblocks in the avcC of a small video (ITU-T H.264, 7.3.2.1.1)."""

    def golomb(value: int) -> str:
        return f"{value + 1:b}".zfill(2 * (value + 1).bit_length() - 1)

    at = data.index(b"avcC") + 10
    size = int.from_bytes(data[at : at + 2], "big")
    bits = "01100100" + "00000000" + "00111110"  # profile 100, no constraints, level 6.2
    bits += golomb(0) + golomb(1) + golomb(0) + golomb(0) + "0" + "0"  # id, 4:2:0, 8 bits, no scaling
    bits += golomb(0) + golomb(2) + golomb(1) + "0"  # frame numbers of 4 bits, order as decoded, one reference
    bits += golomb(959) + golomb(959) + "1" + "1" + "0" + "0" + "1"  # size, frames only, no cropping, no more
    body = bytes(int(bits[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(bits), 8))
    unit = b"\x67" + body
    assert len(unit) <= size
    return data[: at + 2] + unit.ljust(size, b"\0") + data[at + 2 + size :]


BOMBS = [
    refused("m17_8192.mp4", "8192 x 8192 black H.264", put(lambda: solid("mp4", 8192, 8192)), code=PIXELS),
    refused("m17_8192.mkv", "8192 x 8192 black H.264", put(lambda: solid("mkv", 8192, 8192)), code=PIXELS),
    refused("m17_8192.h264", "8192 x 8192 black raw H.264", put(lambda: solid("h264", 8192, 8192)), code=PIXELS),
    refused("m17_8192.png", "8192 x 8192 black PNG of 8 KB", put(lambda: png(8192, 8192)), code=PIXELS),
    refused("m17_16384.png", "16384 x 16384 black PNG", put(lambda: png(16384, 16384)), code=PIXELS),
    refused("m17_16384_named.mp4", "the same, named .mp4", put(lambda: png(16384, 16384)), code=PIXELS),
    refused("m17_screen.gif", "one pixel on a screen of 65535 x 65535", put(lambda: gif(65535, 65535)), code=PIXELS),
    refused(
        "m17_screen_10000.gif", "one pixel on a screen of 10000 x 10000", put(lambda: gif(10_000, 10_000)), code=PIXELS
    ),
    refused(
        "m17_claim.jpg", "a small JPEG that claims 65500 x 65500", put(lambda: jpeg_claiming(65500, 65500)), code=PIXELS
    ),
    refused("m17_16000.jpg", "a JPEG that claims 16000 x 16000", put(lambda: jpeg_claiming(16000, 16000)), code=PIXELS),
    refused(
        "m17_sps.mp4",
        "160 x 128 by the header, 15360 x 15360 by the codec's own parameters",
        edited("front.mp4", _great_sps),
        code=PIXELS,
    ),
    Case(
        "m17_later.h264",
        "60 frames of 160 x 128, then one of 8192 x 8192",
        put(lambda: source("no_b.h264") + solid("h264", 8192, 8192)),
        Promise(PIXELS, PIXELS, PIXELS),
    ),
    refused(
        "m17_hidden.mkv",
        "64 x 64 by the header, 8192 x 8192 by the codec",
        put(lambda: _said_small(solid("mkv", 8192, 8192))),
        code=PIXELS,
    ),
    refused("m29_zeros.mp4", "a hole of 200 GiB", sparse(200 * GIB), code=BYTES),
    refused(
        "m29_moov_first.mp4",
        "a sound MP4 with a hole of 200 GiB behind it",
        lambda path: sparse(200 * GIB, source("front.mp4"))(path),
        code=BYTES,
    ),
]


def _said_small(data: bytes) -> bytes:
    """A Matroska file whose PixelWidth and PixelHeight of 8192 become 64."""
    for element in (b"\xb0\x82\x20\x00", b"\xba\x82\x20\x00"):
        assert element in data
        data = data.replace(element, element[:2] + b"\x00\x40", 1)
    return data


def hole(gib: float, name: str, head: bytes | int | None = None) -> Maker:
    """A hole behind the first `head` bytes of a source, or behind other bytes."""

    def make(path: Path) -> None:
        start = source(name)[:head] if not isinstance(head, bytes) else head
        sparse(int(gib * GIB), start)(path)

    return make


_HEADS: dict[str, tuple[str, int | None]] = {
    "mkv": ("live.mkv", 6000), "ts": ("plain.ts", None), "avi": ("mjpeg.avi", 20_000), "flv": ("plain.flv", 6000),
    "h264": ("plain.h264", None), "ogg": ("vp8.ogg", 9000), "webm": ("vp9.webm", 9000), "mpg": ("mpeg2.mpg", None),
}  # fmt: skip

_MADE_SMALL = "a sound start, then a hole of 15 MiB"

HOLES = [
    refused("m29_100.mp4", "a hole of 100 GiB", sparse(100 * GIB), code=CONTAINER),
    refused("m29_100_mdat.mp4", "ftyp, an mdat of 100 GiB, no moov", hole(100, "plain.mp4", 32), code=CONTAINER),
    refused("m29_100_ebml.mkv", "an EBML header, then a hole of 100 GiB", hole(100, "plain.mkv", 40), code=CONTAINER),
    *(
        refused(f"m29_100.{kind}", "a sound start, then a hole of 100 GiB", hole(100, *head), code=CONTAINER)
        for kind, head in _HEADS.items()
    ),
    refused(
        "m29_100.gif", "the head of a GIF, then a hole of 100 GiB", sparse(100 * GIB, gif(64, 64)[:13]), code=CONTAINER
    ),
    refused(
        "m29_100.png", "the head of a PNG, then a hole of 100 GiB", sparse(100 * GIB, png(64, 64)[:33]), code=CONTAINER
    ),
    refused(
        "m29_100.jpg",
        "the head of a JPEG, then a hole of 100 GiB",
        lambda path: sparse(100 * GIB, picture("JPEG")[:300])(path),
        code=CONTAINER,
    ),
    refused(
        "m29_100.mp3",
        "an MP3, then a hole of 100 GiB",
        lambda path: sparse(100 * GIB, sound("mp3", "libmp3lame"))(path),
        code=CONTAINER,
    ),
    *(
        damaged(f"m29_small_hole.{kind}", _MADE_SMALL, hole(15 / 1024, *_HEADS[kind]), lost=range(8, 60), info=CORRUPT)
        for kind in ("mkv", "avi", "flv", "webm")
    ),
    *(
        refused(f"m29_small_hole.{kind}", _MADE_SMALL, hole(15 / 1024, *_HEADS[kind]), code=CONTAINER)
        for kind in ("ts", "ogg")
    ),
    refused(
        "m29_small_hole.gif",
        "the head of a GIF, then a hole of 15 MiB",
        sparse(15 << 20, gif(64, 64)[:13]),
        code=CORRUPT,
    ),
    refused(
        "m29_small_hole.png",
        "the head of a PNG, then a hole of 15 MiB",
        sparse(15 << 20, png(64, 64)[:33]),
        code=CORRUPT,
    ),
    refused(
        "m29_small_hole.jpg",
        "the head of a JPEG, then a hole of 15 MiB",
        lambda path: sparse(15 << 20, picture("JPEG")[:300])(path),
        code=CORRUPT,
    ),
    refused(
        "m29_small_hole.mp3",
        "an MP3, then a hole of 15 MiB",
        lambda path: sparse(15 << 20, sound("mp3", "libmp3lame"))(path),
        code=NO_VIDEO,
    ),
]

LARGE: list[Case] = [*BOMBS, *HOLES]
