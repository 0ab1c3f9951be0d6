"""media/bad_index: files whose index, or what their codec is told, lies (row M20)."""

from __future__ import annotations

from collections.abc import Callable

from .bad_bytes import STBL, edited, filled_box, in_box, packets, renamed_box
from .bad_case import CODEC, CONTAINER, CORRUPT, NO_VIDEO, Case, damaged, refused
from .bad_cut import cut_off

INDEX = [
    refused(
        "m20_stsz_huge.mp4",
        "every size in stsz 2^31 - 1",
        edited("front.mp4", filled_box((*STBL, b"stsz"), 12, lambda place, old: 0x7FFFFFFF)),
        code=NO_VIDEO,
    ),
    refused(
        "m20_stsz_more.mp4",
        "every size in stsz 7 higher",
        edited("front.mp4", filled_box((*STBL, b"stsz"), 12, lambda place, old: old + 7)),
        code=CONTAINER,
    ),
    damaged(
        "m20_stsz_less.mp4",
        "every size in stsz halved",
        edited("front.mp4", filled_box((*STBL, b"stsz"), 12, lambda place, old: old // 2)),
        info=CORRUPT,
        lost=range(60),
    ),
    refused(
        "m20_stsz_count.mp4",
        "stsz claims 2^32 - 1 samples",
        edited("front.mp4", in_box((*STBL, b"stsz"), 8, b"\xff" * 4)),
        code=CONTAINER,
    ),
    refused(
        "m20_stsz_zero.mp4",
        "every size in stsz 0",
        edited("front.mp4", filled_box((*STBL, b"stsz"), 12, lambda place, old: 0)),
        code=NO_VIDEO,
    ),
    refused(
        "m20_stco_outside.mp4",
        "every chunk behind the end of the file",
        edited("front.mp4", filled_box((*STBL, b"stco"), 8, lambda place, old: old + (1 << 30))),
        code=NO_VIDEO,
    ),
    damaged(
        "m20_stco_shifted.mp4",
        "every chunk 3 bytes too late",
        edited("front.mp4", filled_box((*STBL, b"stco"), 8, lambda place, old: old + 3)),
        info=CORRUPT,
        lost=range(60),
    ),
    refused(
        "m20_stsc_zero.mp4",
        "stsc: no samples in any chunk",
        edited("front.mp4", filled_box((*STBL, b"stsc"), 8, lambda place, old: 0)),
        code=CONTAINER,
    ),
    refused(
        "m20_stsd_gone.mp4", "stsd renamed", edited("front.mp4", renamed_box((*STBL, b"stsd"), b"junk")), code=CODEC
    ),
    refused(
        "m20_stsz_gone.mp4", "stsz renamed", edited("front.mp4", renamed_box((*STBL, b"stsz"), b"junk")), code=NO_VIDEO
    ),
    refused(
        "m20_stts_gone.mp4", "stts renamed", edited("front.mp4", renamed_box((*STBL, b"stts"), b"junk")), code=NO_VIDEO
    ),
    refused(
        "m20_stsc_gone.mp4", "stsc renamed", edited("front.mp4", renamed_box((*STBL, b"stsc"), b"junk")), code=NO_VIDEO
    ),
    refused(
        "m20_timescale_zero.mp4",
        "a time scale of 0",
        edited("front.mp4", in_box((b"moov", b"trak", b"mdia", b"mdhd"), 12, b"\0" * 4)),
        code=CONTAINER,
    ),
    cut_off(
        "m20_moov_size.mp4",
        "moov claims 4 GiB",
        edited(
            "front.mp4",
            lambda data: data.replace(data[data.index(b"moov") - 4 : data.index(b"moov")], b"\xf0\0\0\0", 1),
        ),
        kept=55,
    ),
    refused(
        "m20_trun_count.mp4",
        "trun claims 2^31 - 1 samples",
        edited("frag.mp4", in_box((b"moof", b"traf", b"trun"), 4, b"\x7f\xff\xff\xff")),
        code=CONTAINER,
    ),
    damaged(
        "m20_block_size.mkv",
        "block 30 claims 2^20 bytes",
        edited("plain.mkv", lambda data: _block_size(data, 30)),
        lost=range(27, 60),
        info=CORRUPT,
    ),
]


def _block_size(data: bytes, place: int) -> bytes:
    start, _ = packets(data)[place]
    at = data.rindex(b"\xa3", 0, start - 3)
    length = start - 4 - at - 1
    return data[: at + 1] + ((1 << 7 * length) | (1 << 7 * length) - 2).to_bytes(length, "big") + data[start - 4 :]


PRIVATE = [
    refused(
        "m20_avcc_zero.mp4",
        "avcC overwritten with zeros",
        edited("front.mp4", lambda data: _avcc(data, bytes)),
        code=CORRUPT,
    ),
    refused(
        "m20_avcc_no_sps.mp4",
        "avcC says that it has no parameter sets",
        edited("front.mp4", lambda data: _avcc(data, lambda size: b"\x01\x64\x00\x0a\xff\xe0\x00" + bytes(size - 7))),
        code=CORRUPT,
    ),
    refused(
        "m20_avcc_noise.mp4",
        "avcC overwritten with 0xA5",
        edited("front.mp4", lambda data: _avcc(data, lambda size: b"\xa5" * size)),
        code=CORRUPT,
    ),
    refused(
        "m20_private.mkv",
        "CodecPrivate overwritten with zeros",
        edited("plain.mkv", lambda data: _private(data)),
        code=CORRUPT,
    ),
    refused(
        "m20_hvcc_zero.mp4",
        "hvcC renamed",
        edited("hevc.mp4", lambda data: data.replace(b"hvcC", b"junk")),
        code=CONTAINER,
    ),
    refused(
        "m20_ffv1_private.mkv",
        "FFV1's configuration with a wrong check sum",
        edited("ffv1.mkv", lambda data: _flip_private(data)),
        code=CODEC,
    ),
]


def _avcc(data: bytes, body: Callable[[int], bytes]) -> bytes:
    at = data.index(b"avcC")
    size = int.from_bytes(data[at - 4 : at], "big") - 8
    new = body(size)
    return data[: at + 4] + new + data[at + 4 + len(new) :]


def _private(data: bytes) -> bytes:
    at = data.index(b"\x63\xa2")
    size = data[at + 2] & 0x7F
    return data[: at + 3] + bytes(size) + data[at + 3 + size :]


def _flip_private(data: bytes) -> bytes:
    at = data.index(b"\x63\xa2")
    return data[: at + 8] + bytes([data[at + 8] ^ 0xFF]) + data[at + 9 :]


LYING: list[Case] = [*INDEX, *PRIVATE]
