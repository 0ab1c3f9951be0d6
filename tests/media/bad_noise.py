"""media/bad_noise: files with damage in their packets (row M23)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .bad_bytes import TS_BYTES, cut, edited, noise, packet_noise, packets, ts_each, ts_packets, ts_without
from .bad_case import CORRUPT, FINE, Case, cut_amid, damaged


def _packet_noise(name: str, source_name: str, places: Iterable[int], *, lost: Iterable[int], info: str = FINE) -> Case:
    places = tuple(places)
    made = f"noise in place of packets {', '.join(map(str, places[:4]))}{', ...' if len(places) > 4 else ''}"
    return damaged(name, made, edited(source_name, packet_noise(places)), lost=lost, info=info)


def _ogg(case: Case) -> Case:
    """The first frame of VP8 in Ogg, as FFmpeg writes it, is on screen for one millisecond."""
    assert case.truth
    times_s = (0.0, *(round(place / 25 - 0.039, 3) for place in range(1, len(case.truth.times_s))))
    return replace(case, truth=replace(case.truth, times_s=times_s))


NOISE = [
    _packet_noise("m23_h264.mp4", "no_b.mp4", [33], lost=range(33, 40)),
    _packet_noise("m23_key.mp4", "no_b.mp4", [20], lost=range(20, 40)),
    _packet_noise("m23_last.mp4", "no_b.mp4", [59], lost=[59]),
    _packet_noise("m23_all.mp4", "no_b.mp4", range(60), lost=range(60), info=CORRUPT),
    _packet_noise("m23_tenth.mp4", "plain.mp4", range(5, 60, 10), lost=range(1, 60)),
    _packet_noise("m23_h264.mkv", "no_b.mp4", [25], lost=range(25, 40)),
    _packet_noise("m23_h264.flv", "plain.flv", [33], lost=range(20, 40)),
    _packet_noise("m23_h264.avi", "h264.avi", [33], lost=range(33, 40)),
    _packet_noise("m23_b.avi", "b.avi", [33], lost=range(20, 40), info=CORRUPT),
    _packet_noise("m23_vp8.webm", "vp8.webm", [33], lost=range(33, 40)),
    _packet_noise("m23_vp9.webm", "vp9.webm", [33], lost=range(33, 40)),
    _ogg(_packet_noise("m23_vp8.ogg", "vp8.ogg", [33], lost=range(32, 60), info=CORRUPT)),
    _packet_noise("m23_av1.mkv", "av1.mkv", [33], lost=range(20, 60), info=CORRUPT),
    _packet_noise("m23_mpeg4.avi", "mpeg4.avi", [33], lost=range(33, 40)),
    _packet_noise("m23_mjpeg.avi", "mjpeg.avi", [33], lost=[33]),
    _packet_noise("m23_hevc.mp4", "hevc.mp4", [33], lost=range(20, 60)),
    _packet_noise("m23_ffv1.mkv", "ffv1.mkv", [33], lost=range(33, 36), info=CORRUPT),
    _packet_noise("m23_png.mov", "png.mov", [33], lost=[33]),
    damaged(
        "m23_partial.mp4",
        "noise behind the first 30 bytes of key frame 20",
        edited("no_b.mp4", packet_noise([20], keep=30)),
        lost=range(20, 40),
    ),
    damaged(
        "m23_ffv1_bit.mkv",
        "noise in the last 100 bytes of FFV1 frame 10, which has check sums",
        edited("ffv1.mkv", lambda data: _flip_tail(data, 10)),
        lost=[10, *range(11, 12)],
        info=CORRUPT,
    ),
]


def _flip_tail(data: bytes, place: int) -> bytes:
    _, end = packets(data)[place]
    return data[: end - 50] + bytes(byte ^ 0x55 for byte in data[end - 50 : end - 40]) + data[end - 40 :]


def _no_sync(place: int, packet: bytearray) -> None:
    if 60 <= place < 70:
        packet[0] = 0x12


def _video_places(data: bytes) -> list[tuple[int, bool]]:
    """The packets of the video's stream, and whether a frame begins in each."""
    return [
        (place, bool(packet[1] & 0x40))
        for place, packet in enumerate(ts_packets(data))
        if (packet[1] & 0x1F, packet[2]) == (1, 0)
    ]


def _amid(data: bytes, after: int) -> int:
    """The first packet behind `after` that goes on with a frame begun before it."""
    return next(place for place, begins in _video_places(data) if place > after and not begins)


def _whole(data: bytes, after: int) -> int:
    """The first packet behind `after` that holds a whole frame."""
    places = _video_places(data)
    pairs = zip(places, places[1:], strict=False)
    return next(place for (place, begins), (_, next_begins) in pairs if place > after and begins and next_begins)


def _transport_error(data: bytes) -> bytes:
    at = _amid(data, 60) * TS_BYTES + 1
    return data[:at] + bytes([data[at] | 0x80]) + data[at + 1 :]


def _mkv_zeros(data: bytes, place: int, *, count: int) -> bytes:
    """Zeros from the head of one block to that of another: every packet before and behind is whole."""
    where = packets(data)
    first, last = (data.rindex(b"\xa3", 0, where[number][0] - 3) for number in (place, place + count))
    return data[:first] + bytes(last - first) + data[last:]


TRANSPORT = [
    damaged(
        "m23_lost_frame.ts",
        "one packet lost that held a whole frame, to which later ones refer",
        edited("no_b.ts", lambda data: ts_without([_whole(data, 60)])(data)),
        lost=range(20, 60),
    ),
    damaged(
        "m23_lost_blocks.mkv",
        "zeros in place of five whole blocks",
        edited("no_b.mkv", lambda data: _mkv_zeros(data, 30, count=5)),
        lost=range(29, 60),
        info=CORRUPT,
    ),
    damaged(
        "m23_lost_packets.ts", "five packets lost", edited("no_b.ts", ts_without(range(80, 85))), lost=range(20, 60)
    ),
    damaged(
        "m23_lost_one.ts",
        "one packet lost",
        edited("no_b.ts", lambda data: ts_without([_amid(data, 60)])(data)),
        lost=range(20, 60),
    ),
    damaged(
        "m23_no_sync.ts", "ten packets with another sync byte", edited("no_b.ts", ts_each(_no_sync)), lost=range(19, 60)
    ),
    damaged(
        "m23_transport_error.ts",
        "one packet flagged as wrong by its receiver",
        edited("no_b.ts", _transport_error),
        lost=range(20, 60),
    ),
    damaged(
        "m02_odd.ts",
        "cut 100 bytes into a packet amid a frame",
        edited("no_b.ts", lambda data: data[: 188 * 100 + 100]),
        lost=range(20, 60),
    ),
    damaged(
        "m02_even.ts",
        "cut between packets amid a frame",
        edited("no_b.ts", lambda data: data[: _amid(data, 40) * TS_BYTES]),
        lost=range(8, 60),
    ),
    damaged(
        "m23_mpeg2.ts",
        "forty packets of MPEG-2 video lost",
        edited("mpeg2.ts", ts_without(range(180, 220))),
        lost=range(20, 60),
    ),
    damaged("m23_mpeg2.mpg", "noise from 40 to 50 %", edited("mpeg2.mpg", noise(0.4, 0.5)), lost=range(18, 60)),
    damaged("m02_60.h264", "first 60 % of raw H.264", edited("plain.h264", cut(0.6)), info=CORRUPT, lost=range(26, 60)),
    damaged(
        "m23_raw.h264",
        "noise from 45 to 55 % of raw H.264",
        edited("no_b.h264", noise(0.45, 0.55)),
        info=CORRUPT,
        lost=range(20, 60),
    ),
    damaged("m02_60.mpg", "first 60 % of an MPEG program stream", edited("mpeg2.mpg", cut(0.6)), lost=range(24, 60)),
    _ogg(cut_amid("m02_60.ogg", "first 60 % of an Ogg file", edited("vp8.ogg", cut(0.6)), lost=range(24, 60))),
]

DAMAGED: list[Case] = [*NOISE, *TRANSPORT]
