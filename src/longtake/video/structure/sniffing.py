"""video/structure/sniffing: the first bytes of a file in, what they look like out. Knows nothing of decoding."""

from __future__ import annotations

import re

HEAD_BYTES = 4096

_PLAYLIST = re.compile(
    rb"#EXTM3U|ffconcat\b|\[playlist\]|\[reference\]|\[InternetShortcut\]|v=0\r?\n|RTSPtext"
    rb"|(https?|rtsps?|rtmp\w{0,2}|mmst?|ftp|tcp|udp|rtp|srt)://\S"
    # Atomic: of many comments each can end in one way only, else the time to fail grows without bound.
    rb"|(?>(?:<\?[^>]*+>|<!--(?>.*?-->)|<!DOCTYPE[^>]*+>|\s)*+)"
    rb"<(\w{1,9}:)?(MPD|SmoothStreamingMedia|smil|asx|playlist|CompositionPlaylist)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAGIC = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ", "xz-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"\x7fELF", "a Linux program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3", "an SQLite database"),
)
_CONTAINERS = (
    (re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip|styp|moof|sidx)", re.DOTALL), "MP4 or QuickTime"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "Matroska or WebM"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "AVI"),
    (re.compile(rb"FLV\x01"), "Flash video"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), "Windows Media"),
    (re.compile(rb"OggS"), "Ogg"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"\x89PNG\r\n"), "PNG"),
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WebP"),
)


def is_playlist(head: bytes) -> bool:
    """Whether `head` starts a list of other files or addresses, or is one; longtake never follows them."""
    return _PLAYLIST.match(head.lstrip(b"\xef\xbb\xbf \t\r\n")) is not None


def claimed_size_px(head: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a PNG, GIF or JPEG claims; None elsewhere, or where `head` is too short.

    FFmpeg gives no size where it finds one too large for itself, so that a bomb would look like mere damage.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return _jpeg_size_px(head) if head.startswith(b"\xff\xd8\xff") else None


def _jpeg_size_px(head: bytes) -> tuple[int, int] | None:
    """From the frame header, found by the lengths of the segments before it (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if 0xC0 <= head[at + 1] <= 0xCF and head[at + 1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def container_kind(head: bytes) -> str | None:
    """The name of the video or picture format that `head` starts, or None."""
    return next((name for pattern, name in _CONTAINERS if pattern.match(head)), None)


def looks_like(head: bytes) -> str:
    """What bytes that are no video look like, in a few words for an error message."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.match(rb"<!doctype html|<html|<head|<body", start, re.IGNORECASE):
        return "HTML, perhaps an error page that was saved as a video"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if start.startswith(b"<"):
        return "XML text"
    if re.match(rb"[{\[]\s*[\"{\[}\]\d-]", start) and _is_text(head):
        return "JSON text"
    if _is_text(head):
        return f"text that begins {start[:24].decode('utf-8', 'replace')!r}"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    return f"no known format (first bytes {head[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    text = head.decode("utf-8", "replace")
    strange = sum(char == "\ufffd" or not (char.isprintable() or char in "\r\n\t\f\ufeff") for char in text[:-1])
    return strange * 50 <= len(text)
