"""video/sniffing: the first bytes of a file that is no video in, what they look like out. Knows nothing of decoding."""

from __future__ import annotations

import re

HEAD_BYTES = 4096

_PLAYLIST = re.compile(
    rb"#EXTM3U|ffconcat\b|\[playlist\]|v=0\r?\n|<\?xml[^>]*>\s*<(MPD|SmoothStreamingMedia|smil|playlist)\b"
    rb"|<(MPD|SmoothStreamingMedia|smil|asx)\b|\[reference\]|RTSPtext",
    re.IGNORECASE,
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
    """Whether `head` starts a list of other files or addresses, which longtake never follows."""
    return _PLAYLIST.match(head.lstrip(b"\xef\xbb\xbf \t\r\n")) is not None


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
    if start.startswith((b"{", b"[")) and _is_text(head):
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
