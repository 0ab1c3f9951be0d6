"""video/packets/h264: the bytes of one H.264 key frame in, whether decoding can start there out."""

from __future__ import annotations

_SLICE, _IDR_SLICE, _MESSAGES = 1, 5, 6
_RECOVERY_POINT = 6
_START_CODE = b"\0\0\1"
_HEAD_BYTES = 256
"""Messages stand before the picture, and are short."""


def starts_cleanly(packet: bytes, extradata: bytes | None) -> bool:
    """Whether the packet's picture is an instantaneous decoder refresh (IDR; ITU-T H.264, 7.4.1.2.4).

    At the other kind of key frame, a recovery point, later frames may still name frames from before it that they do not
    need, so that a decoder that starts there finds harmless errors.

    Args:
        packet: one access unit, either with start codes or with lengths before its units.
        extradata: the stream's; an avcC record says how long those lengths are (ISO/IEC 14496-15, 5.3.3.1).
    """
    kinds = (unit[0] & 31 for unit in _units(packet, extradata))
    return next((kind == _IDR_SLICE for kind in kinds if kind in (_SLICE, _IDR_SLICE)), False)


def refreshes_gradually(packet: bytes, extradata: bytes | None) -> bool:
    """Whether the packet says that pictures are whole only some frames after it (ITU-T H.264, D.2.8).

    Its recovery point message then has a recovery_frame_cnt above 0: periodic intra refresh.

    Args:
        packet, extradata: as above.
    """
    messages = (unit[1:_HEAD_BYTES] for unit in _units(packet, extradata) if unit[0] & 31 == _MESSAGES)
    return any(_waits(unit.replace(b"\0\0\3", b"\0\0")) for unit in messages)


def _waits(messages: bytes) -> bool:
    """Whether one of some messages (7.3.2.3.1) is a recovery point that is still to come."""
    position = 0
    while position < len(messages):
        kind, position = _number(messages, position)
        size, position = _number(messages, position)
        if kind == _RECOVERY_POINT:
            # The count comes first; in this code (9.1) 0 is a single 1 bit.
            return not messages[position : position + 1] >= b"\x80"
        position += size
    return False


def _number(messages: bytes, position: int) -> tuple[int, int]:
    behind = position
    while messages[behind : behind + 1] == b"\xff":
        behind += 1
    return sum(messages[position : behind + 1]), behind + 1


def _units(packet: bytes, extradata: bytes | None) -> list[bytes]:
    if extradata and extradata[0] == 1 and len(extradata) > 4:
        return _units_by_length(packet, (extradata[4] & 3) + 1)
    return [unit for unit in packet.split(_START_CODE)[1:] if unit]


def _units_by_length(packet: bytes, length_bytes: int) -> list[bytes]:
    units, position = [], 0
    while position + length_bytes < len(packet):
        behind = position + length_bytes + int.from_bytes(packet[position : position + length_bytes], "big")
        units.append(packet[position + length_bytes : max(behind, position + length_bytes + 1)])
        position = behind
    return units
