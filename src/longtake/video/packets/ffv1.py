"""video/packets/ffv1: the bytes of one FFV1 frame in, whether the checksums of its slices hold out. Decodes nothing.

FFmpeg's decoder looks at them too, but only says so in its log, and shows the frame before in place of the slice.
"""

from __future__ import annotations

import zlib

_TRAILER_BYTES = 8
"""Of each slice: its size in three bytes, a status, a checksum (RFC 9043, section 4.9)."""

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def checksums_hold(packet: bytes) -> bool:
    """Whether the packet is slices with a right checksum each, from its end to its beginning.

    Slices without any look the same as damaged ones: only a stream of which some frames hold has checksums.
    """
    end = len(packet)
    while end > _TRAILER_BYTES:
        start = end - _TRAILER_BYTES - int.from_bytes(packet[end - 8 : end - 5], "big")
        if start < 0 or _remainder(packet[start:end]):
            return False
        end = start
    return end == 0 and bool(packet)


def _remainder(slice_bytes: bytes) -> int:
    """The CRC of RFC 9043, section 4.9.3: 0x04C11DB7, begun with 0, highest bit first; zlib's is the mirror image."""
    return zlib.crc32(slice_bytes.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
