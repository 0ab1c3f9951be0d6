"""niah.distracting: a haystack and other pictures in, a haystack that shows these among its frames out. Knows no task.

What is looked for is then no longer the only picture of its kind: a question's key must be matched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.niah.looking import Eye, Haystack

_STREAM = 3
"""Keeps these random numbers apart from others drawn from the same seed."""


def places_of_symbols(frames: int, share: float, seed: int, *, lasting: int = 1) -> NDArray[np.bool_]:
    """(frames,) which frames are replaced, `lasting` side by side: each such stretch with probability `share`, so that
    about that share of every beginning is; a shorter haystack is the beginning of a longer one.
    """
    replaced = np.random.default_rng([seed, _STREAM]).random(-(-frames // lasting)) < share
    return np.repeat(replaced, lasting)[:frames]


def with_symbols(
    eye: Eye, haystack: Haystack, symbols: Sequence[Sequence[NDArray[np.uint8]]], *, share: float, seed: int
) -> Haystack:
    """`haystack` with about `share` of its frames replaced by symbols drawn from `symbols`, each encoded once.

    Args:
        symbols: the pictures of each, as many for one as for another; they stay together and in order.
    """
    frames, lasting = len(haystack), len(symbols[0])
    replaced_F = places_of_symbols(frames, share, seed, lasting=lasting)
    drawn = np.random.default_rng([seed, _STREAM, 1]).integers(len(symbols), size=-(-frames // lasting))
    drawn_F = (drawn[:, None] * lasting + np.arange(lasting)).ravel()[:frames]
    order_F = np.where(replaced_F, len(haystack.kept_THWD) + drawn_F, haystack.order_F)
    told = {
        "share_asked": share,
        "frames": int(replaced_F.sum()),
        "different": len(np.unique(drawn_F[replaced_F])),
    }
    pictures = [picture for symbol in symbols for picture in symbol]
    kept_THWD = torch.cat([haystack.kept_THWD, eye.look_at_pictures(pictures)])
    origin = {**haystack.origin, "symbol_frames": told}
    return dataclasses.replace(haystack, kept_THWD=kept_THWD, order_F=order_F.astype(np.int64), origin=origin)
