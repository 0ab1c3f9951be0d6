"""cli/describing: what is known of a video in, rows of plain text out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake.errors import printable
from longtake.video.times import format_time

if TYPE_CHECKING:
    from longtake.video.info import VideoInfo


def described(found: VideoInfo) -> list[tuple[str, str]]:
    """What a file really is, as (subject, facts)."""
    return [
        ("file", f"{printable(found.path)} ({found.size_bytes:,} bytes, {found.container})"),
        *_streams(found),
        ("picture", _picture(found)),
        ("colour", _colour(found)),
        ("frames", _frames(found)),
        ("time", _time(found)),
        ("key frames", f"{found.key_frames:,}, at most {found.largest_key_gap_s:.3f} s apart"),
        ("gaps", _gaps(found)),
        *(("note", note) for note in found.notes),
    ]


def _streams(found: VideoInfo) -> list[tuple[str, str]]:
    rows = []
    for stream in found.streams:
        size = f" {stream.width_px} x {stream.height_px}" if stream.width_px else ""
        taken = ", this one is looked at" if stream.taken else ""
        rows.append((f"stream {stream.index}", f"{stream.kind} {stream.codec}{size}{taken}"))
    return rows


def _picture(found: VideoInfo) -> str:
    facts = [
        f"{found.width_px} x {found.height_px} as displayed",
        f"{found.coded_width_px} x {found.coded_height_px} as stored",
        f"sample aspect ratio {found.sample_aspect_ratio}",
    ]
    facts += [f"turned by {found.rotation_deg} degrees clockwise"] if found.rotation_deg else []
    facts += ["mirrored"] if found.mirrored else []
    facts += ["interlaced"] if found.interlaced else []
    return ", ".join(facts)


def _colour(found: VideoInfo) -> str:
    return (
        f"{found.pixel_format}, matrix {found.colour_matrix}, primaries {found.colour_primaries}, "
        f"transfer {found.colour_transfer}, {found.colour_range} range"
        + (f"; {found.colour_conversion}" if found.colour_conversion else "")
    )


def _frames(found: VideoInfo) -> str:
    claim = "the header does not say" if found.header_frames is None else f"the header says {found.header_frames:,}"
    return f"{found.frames:,} counted; {claim}"


def _time(found: VideoInfo) -> str:
    rate = "variable" if found.variable_rate else "constant"
    offset = f", begins at {found.start_offset_s:.3f} s of its own clock" if found.start_offset_s else ""
    return f"{format_time(found.duration_s)}, {found.mean_fps:.3f} frames a second on average, {rate} rate{offset}"


def _gaps(found: VideoInfo) -> str:
    if not found.gap_count:
        return "none"
    told = ", ".join(f"{length_s:.3f} s from {format_time(start_s)}" for start_s, length_s in found.gaps)
    more = f" and {found.gap_count - len(found.gaps):,} more" if found.gap_count > len(found.gaps) else ""
    return told + more
