"""media/bad_cut: files cut off, half written or with holes (rows M1, M2, M23)."""

from __future__ import annotations

from .bad_bytes import cut, edited, noise, put, renamed_box, without_last, zeros
from .bad_case import (
    CONTAINER,
    CORRUPT,
    FINE,
    TRUNCATED,
    UNKNOWN,
    Case,
    Maker,
    Promise,
    Truth,
    cut_amid,
    damaged,
    even,
    refused,
)
from .bad_sources import FRAMES, source


def cut_off(name: str, made: str, make: Maker, *, kept: int) -> Case:
    """A file that announces more than is there; with skip, its first `kept` frames at least are given."""
    truth = Truth(**even(FRAMES), lost=tuple(range(kept, FRAMES)))
    return Case(name, made, make, Promise(TRUNCATED, TRUNCATED, FINE), truth)


def _only_tail(name: str, share: float) -> bytes:
    data = source(name)
    return data[int(len(data) * share) :]


WITHOUT_INDEX = [
    refused(
        "m01_60.mp4", "first 60 % of an MP4 with its moov at the end", edited("plain.mp4", cut(0.6)), code=CONTAINER
    ),
    refused("m01_60.mov", "first 60 % of a QuickTime file", edited("plain.mov", cut(0.6)), code=CONTAINER),
    refused("m01_in_moov.mp4", "cut inside the moov at the end", edited("plain.mp4", cut(0.93)), code=CONTAINER),
    refused("m01_ftyp_only.mp4", "the first 32 bytes", edited("plain.mp4", lambda data: data[:32]), code=CONTAINER),
    refused(
        "m01_recording.mp4",
        "mdat of size 0 (up to the end), no moov yet",
        put(lambda: source("plain.mp4")[:32] + b"\0\0\0\0mdat" + bytes(5000)),
        code=CONTAINER,
    ),
    refused("m01_torrent.mp4", "second half zeros", edited("plain.mp4", zeros(0.5, 1)), code=CONTAINER),
    refused(
        "m01_moov_junk.mp4",
        "moov under another name",
        edited("plain.mp4", renamed_box((b"moov",), b"junk")),
        code=CONTAINER,
    ),
    refused(
        "m01_moov_noise.mp4", "moov overwritten with noise", edited("front.mp4", noise(0.004, 0.06)), code=CONTAINER
    ),
    refused(
        "m01_tail_only.mp4", "fragments without their header", put(lambda: _only_tail("frag.mp4", 0.3)), code=UNKNOWN
    ),
    refused("m01_header.mkv", "the first 300 bytes", edited("plain.mkv", lambda data: data[:300]), code=CONTAINER),
    refused("m01_ebml_only.mkv", "the EBML header alone", edited("plain.mkv", lambda data: data[:40]), code=CONTAINER),
    refused("m01_header.avi", "the first 100 bytes", edited("mpeg4.avi", lambda data: data[:100]), code=CONTAINER),
    refused("m01_header.flv", "the first 13 bytes", edited("plain.flv", lambda data: data[:13]), code=CONTAINER),
    refused("m01_head_zero.mp4", "first third zeros", edited("plain.mp4", zeros(0, 0.34)), code=UNKNOWN),
    refused("m01_head_zero.mkv", "first 40 % zeros", edited("plain.mkv", zeros(0, 0.4)), code=UNKNOWN),
    refused(
        "m01_trak_gone.mp4",
        "trak renamed to free",
        edited("front.mp4", renamed_box((b"moov", b"trak"), b"free")),
        code=CONTAINER,
    ),
]

CUT = [
    cut_off("m02_60.mp4", "first 60 % of a faststart MP4", edited("front.mp4", cut(0.6)), kept=27),
    cut_off("m02_95.mp4", "first 95 %", edited("front.mp4", cut(0.95)), kept=53),
    cut_off("m02_one_byte.mp4", "without its last byte", edited("front.mp4", without_last(1)), kept=55),
    cut_off("m02_60.mkv", "first 60 %", edited("plain.mkv", cut(0.6)), kept=27),
    cut_off("m02_60.webm", "first 60 %", edited("vp9.webm", cut(0.6)), kept=32),
    cut_off("m02_vp8_60.webm", "first 60 %", edited("vp8.webm", cut(0.6)), kept=35),
    cut_off("m02_60.avi", "first 60 %, MPEG-4", edited("mpeg4.avi", cut(0.6)), kept=50),
    cut_off("m02_mjpeg.avi", "first 60 %, Motion JPEG", edited("mjpeg.avi", cut(0.6)), kept=47),
    cut_off("m02_frag_in_mdat.mp4", "fragmented, cut inside a fragment's mdat", edited("frag.mp4", cut(0.6)), kept=28),
    cut_off("m02_60.mov", "faststart, first 60 %", edited("front.mp4", cut(0.6)), kept=27),
    cut_amid("m02_60.flv", "first 60 %", edited("plain.flv", cut(0.6)), lost=range(30, 60)),
    Case(
        "m02_no_frames.mp4",
        "faststart, cut behind moov",
        edited("front.mp4", lambda data: data[: data.index(b"mdat") + 8]),
        Promise(TRUNCATED, TRUNCATED, CONTAINER),
    ),
]

ZEROED = [
    damaged("m23_torrent.mp4", "faststart, second half zeros", edited("front.mp4", zeros(0.5, 1)), lost=range(20, 60)),
    damaged(
        "m23_hole.mp4", "a hole of zeros from 40 to 60 %", edited("front.mp4", zeros(0.4, 0.6)), lost=range(16, 41)
    ),
    damaged(
        "m23_hole.mkv",
        "a hole of zeros from 40 to 60 %",
        edited("plain.mkv", zeros(0.4, 0.6)),
        lost=range(16, 60),
        info=CORRUPT,
    ),
    damaged("m23_hole.ts", "a hole of zeros from 40 to 60 %", edited("plain.ts", zeros(0.4, 0.6)), lost=range(16, 60)),
]
CUT_OR_HALF: list[Case] = [*WITHOUT_INDEX, *CUT, *ZEROED]
