"""media/odd_times: files with odd times, headers that lie and more than one stream; each must be read right."""

from __future__ import annotations

from .bad_bytes import STBL, edited, filled_box, from_packet, front_bytes, in_box, packet_noise, put, renamed_box
from .bad_case import Case, even
from .bad_large import hole
from .bad_sources import source
from .odd_bytes import (
    avi_frames,
    headless,
    idx1_moved,
    largest_size,
    linked,
    long_video,
    mkv_duration,
    moov_twice,
    moving,
    open_mdat,
    replaced_last,
    shifted,
    times_thousand,
    trimmed,
    two_streams,
    wide_mdat,
    with_free_packets,
)
from .odd_good import at_ms, good

_GAP_MS = (0, 40, 80, 200, 36_200, 36_240, 36_300, 36_301)
_HALF = {**even(20, first=40)}
TIMES = [
    good(
        "m08_delays.gif",
        "GIF with delays, looping for ever",
        put(lambda: moving("GIF", (100, 250, 40, 700, 60))),
        **at_ms((0, 100, 350, 390, 1090)),
    ),
    good(
        "m08_tail.gif",
        "the same with bytes behind its end",
        put(lambda: moving("GIF", (100, 250, 40, 700, 60)) + b"tail" * 50),
        **at_ms((0, 100, 350, 390, 1090)),
    ),
    good(
        "m08_delays.png",
        "animated PNG with delays",
        put(lambda: moving("PNG", (100, 250, 40, 700, 60))),
        **at_ms((0, 100, 350, 390, 1090)),
    ),
    *(
        good(
            f"m09_gap.{kind}",
            "uneven times and a gap of 36 s",
            put(lambda kind=kind: source(f"plain.{kind}", 60, _GAP_MS)),
            **at_ms(_GAP_MS),
        )
        for kind in ("mp4", "mkv", "mov")
    ),
    good(
        "m09_gap.webm", "uneven times and a gap of 36 s", put(lambda: source("vp9.webm", 60, _GAP_MS)), **at_ms(_GAP_MS)
    ),
    good("m15_two.mp4", "two frames", put(lambda: source("plain.mp4", 2)), **even(2)),
    good("m15_short.ts", "half a second", put(lambda: source("plain.ts", 12)), **even(12)),
    good(
        "m16_12h.mkv",
        "43,200 pictures, one a second",
        put(lambda: long_video(43_200)),
        times_s=tuple(map(float, range(43_200))),
        numbers=tuple(place % 60 for place in range(43_200)),
        width_px=32,
        height_px=32,
    ),
    good(
        "m21_negative.mp4", "first frame at -2 s", put(lambda: shifted("no_b.mp4", "mp4", -2.0)), **even(10, first=50)
    ),
    good("m21_late.mkv", "first frame at 1000 s of its clock", put(lambda: shifted("no_b.mp4", "matroska", 1000.0))),
    good("m21_late.ts", "first frame at 1000 s of its clock", put(lambda: shifted("no_b.ts", "mpegts", 1000.0))),
    good(
        "m21_wrap.ts",
        "the 33-bit clock wraps round at frame 30",
        put(lambda: shifted("no_b.ts", "mpegts", 2**33 / 90_000 - 1.4 - 1.2)),
    ),
    good(
        "m22_cut.ts",
        "from 40 % on: starts amid a group",
        edited("plain.ts", from_packet(0.4)),
        **_HALF,
        notes=("without a key frame",),
    ),
    good(
        "m22_cut.h264",
        "raw H.264 from frame 10 on: starts amid a group",
        put(lambda: headless(10)),
        **even(40, first=20),
        notes=("no presentation times",),
    ),
    good(
        "m24_trim.mp4",
        "an edit list that begins at frame 12",
        put(lambda: trimmed("mp4")),
        **even(48, first=12),
        notes=("claims 60 frames; 48",),
    ),
    good(
        "m24_trim.mov",
        "an edit list that begins at frame 12",
        put(lambda: trimmed("mov")),
        **even(48, first=12),
        notes=("claims 60 frames; 48",),
    ),
]

HEADERS = [
    good("m18_mvhd.mp4", "mvhd and mdhd claim a thousand times the time", edited("plain.mp4", times_thousand)),
    good(
        "m18_duration.mkv",
        "Duration claims 2,400 s",
        put(lambda: mkv_duration(2_400_000.0)),
        notes=("header claims 0:40:00",),
    ),
    good("m18_duration_nan.mkv", "Duration is not a number", put(lambda: mkv_duration(float("nan")))),
    good(
        "m18_frames.avi",
        "avih and strh claim 2^31 - 1 frames",
        put(lambda: avi_frames(0x7FFFFFFF)),
        notes=("header claims 2,147,483,647",),
    ),
    good(
        "m19_stts.mp4",
        "stts claims 2^31 - 1 samples",
        edited("no_b.mp4", in_box((*STBL, b"stts"), 8, b"\x7f\xff\xff\xff")),
        notes=("header claims 2,147,483,647",),
    ),
    good(
        "m20_stco_count.mp4",
        "stco claims 2^32 - 1 chunks",
        edited("front.mp4", in_box((*STBL, b"stco"), 4, b"\xff" * 4)),
    ),
    good(
        "m20_no_stss.mp4",
        "stss renamed: every sample counts as key frame",
        edited("plain.mp4", renamed_box((*STBL, b"stss"), b"junk")),
    ),
    good(
        "m20_stss_lies.mp4",
        "stss names the wrong samples",
        edited("plain.mp4", filled_box((*STBL, b"stss"), 8, lambda place, old: old + 3 * place)),
    ),
    good("m20_no_idx1.avi", "idx1 renamed", edited("mpeg4.avi", lambda data: data.replace(b"idx1", b"JUNK"))),
    good("m20_idx1_outside.avi", "idx1 points outside of the file", put(lambda: idx1_moved(1 << 30))),
    good(
        "m20_no_cues.mkv",
        "Cues renamed",
        edited("plain.mkv", lambda data: replaced_last(data, b"\x1c\x53\xbb\x6b", b"\x1c\x53\xbb\x6c")),
    ),
    good(
        "m20_cluster_size.mkv",
        "the cluster claims all bytes that it can",
        edited("plain.mkv", lambda data: largest_size(data, b"\x1f\x43\xb6\x75")),
    ),
    good("m29_tail.h264", "15 MiB of zeros behind it", hole(15 / 1024, "plain.h264"), notes=("no presentation times",)),
    good("m29_tail.mpg", "15 MiB of zeros behind it", hole(15 / 1024, "mpeg2.mpg")),
    good("m20_live.mkv", "a live recording: sizes unknown, no cues", edited("live.mkv")),
    good("m20_moov_twice.mp4", "a second moov behind the first", put(lambda: moov_twice())),
    good(
        "m20_moov_in_free.mp4",
        "moov inside a free box, as old QuickTime hid it",
        edited("plain.mp4", renamed_box((b"moov",), b"free")),
    ),
    good("m20_mdat_zero.mp4", "mdat of size 0: up to the end of the file", put(lambda: open_mdat())),
    good("m20_wide_mdat.mp4", "mdat with a size of 64 bits", put(wide_mdat)),
    good(
        "m20_free_before.mp4",
        "40 KB of free box before everything",
        edited("front.mp4", front_bytes((40_000).to_bytes(4, "big") + b"free" + bytes(39_992))),
    ),
    good("m20_tail.mp4", "zero bytes behind the last box", edited("plain.mp4", lambda data: data + bytes(700))),
    good(
        "m20_tail_zip.mp4",
        "a ZIP archive behind the last box",
        edited("plain.mp4", lambda data: data + b"PK\x03\x04" + b"x" * 300),
    ),
    good("m20_fragments.mp4", "fragmented", edited("frag.mp4")),
    good("m20_192.m2ts", "packets of 192 bytes", edited("plain.m2ts")),
    good(
        "m20_junk_before.ts", "100 bytes before the first packet", edited("plain.ts", lambda data: b"\x55" * 100 + data)
    ),
    good("m20_null_packets.ts", "null packets in between", edited("plain.ts", with_free_packets)),
    good("m23_flagged.ts", "one packet of a table repeated", edited("plain.ts", lambda data: data[: 188 * 3] + data)),
]

STREAMS = [
    good(
        "m25_larger_second.mkv",
        "a small stream, then a larger one: the larger is taken",
        put(lambda: two_streams(default_first=False)),
        width_px=192,
        height_px=160,
        notes=("2 video streams",),
    ),
    good(
        "m25_default_first.mkv",
        "a small default stream and a larger one: the default is taken",
        put(lambda: two_streams(default_first=True)),
        notes=("2 video streams",),
    ),
    good("m27_link.mp4", "a link to a sound file", linked),
]

JOINED = [
    good(
        "m21_joined.ts",
        "two recordings one behind the other: the clock begins again",
        put(lambda: source("plain.ts") + source("plain.ts")),
        times_s=tuple(place / 25 for place in range(120)),
        numbers=tuple(place % 60 for place in range(120)),
    ),
    good(
        "m22_first_noise.mp4",
        "noise in place of the first key frame",
        edited("no_b.mp4", packet_noise([0])),
        **even(40, first=20),
        notes=("without a key frame",),
    ),
]

ODD_TIMES: list[Case] = [*TIMES, *HEADERS, *STREAMS, *JOINED]
