"""video/h264: the bytes of one H.264 key frame in, whether decoding can start there with nothing missing out."""

from __future__ import annotations

_SLICE, _IDR_SLICE = 1, 5
_START_CODE = b"\0\0\1"


def starts_cleanly(packet: bytes, extradata: bytes | None) -> bool:
    """Whether the packet's picture is an instantaneous decoder refresh (IDR; ITU-T H.264, 7.4.1.2.4).

    At the other kind of key frame, a recovery point, later frames may still name frames from before it that they do not
    need, so that a decoder that starts there finds harmless errors.

    Args:
        packet: one access unit, either with start codes or with lengths before its units.
        extradata: the stream's; an avcC record says how long those lengths are (ISO/IEC 14496-15, 5.3.3.1).
    """
    if extradata and extradata[0] == 1 and len(extradata) > 4:
        kinds = _kinds_by_length(packet, (extradata[4] & 3) + 1)
    else:
        kinds = [unit[0] & 31 for unit in packet.split(_START_CODE)[1:] if unit]
    return next((kind == _IDR_SLICE for kind in kinds if kind in (_SLICE, _IDR_SLICE)), False)


def _kinds_by_length(packet: bytes, length_bytes: int) -> list[int]:
    kinds, position = [], 0
    while position + length_bytes < len(packet):
        kinds.append(packet[position + length_bytes] & 31)
        position += length_bytes + int.from_bytes(packet[position : position + length_bytes], "big")
    return kinds
