"""video/packets/keyframes: packets marked as key frames in, those at which decoding may really begin out.

FFmpeg marks every packet of an AVI file without an index, and of H.261 and H.263 in most containers, as a key frame. A
decoder that begins at a false one paints changes over grey, or over another frame, and reports nothing.
"""

from __future__ import annotations

import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

_PARSED = frozenset("h264 hevc vvc av1 vp8 vp9 mpeg1video mpeg2video mpeg4 vc1 png jpegxl ffv1 cfhd".split())
"""FFmpeg looks into the packets of these for what they are, or each of their frames stands alone."""

_FIRST_ALONE = frozenset({"gif", "apng", "h261"})
"""Here every packet may be marked as a key frame, and still paints over the frame before it."""

_PLACEHOLDER_BYTES = 19
"""FFmpeg takes no larger packet for a placeholder (libavcodec/bsf/mpeg4_unpack_bframes.c)."""


def may_be_key(packet: Packet[VideoStream], codec_name: str) -> bool:
    """Whether a packet that is marked as a key frame can be one.

    Where MPEG-4 is stored with two pictures in some packets ("packed", as by Xvid), others hold a few bytes that say
    "nothing new", and behind a key frame these are marked as one too.
    """
    return codec_name != "mpeg4" or packet.size > _PLACEHOLDER_BYTES


def true_keys(marked_P: NDArray[np.bool_], codec: VideoCodecContext, *, has_palette: bool) -> NDArray[np.bool_]:
    """Of the marked packets those that can be believed; the first of all is where decoding begins in any case.

    Nobody needs two key frames in a row: where only the container marks them and two are neighbours, or one is the
    last of the file, they are not believed. To begin earlier costs time and is never wrong.

    Args:
        has_palette: the palette comes with the first packet, and only there.
    """
    name = codec.codec.canonical_name
    first_P = np.zeros_like(marked_P)
    first_P[:1] = True
    if name in _FIRST_ALONE or has_palette or not marked_P.any():
        return first_P
    if name in _PARSED or codec.codec.intra_only:
        return marked_P
    beside_P = first_P.copy()
    beside_P[:-1] |= marked_P[1:]
    beside_P[1:] |= marked_P[:-1]
    beside_P[-1] = True
    believed_P: NDArray[np.bool_] = first_P | (marked_P & ~beside_P)
    return believed_P
