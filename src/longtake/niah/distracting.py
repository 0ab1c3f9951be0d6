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


def places_of_symbols(frames: int, share: float, seed: int) -> NDArray[np.bool_]:
    """(frames,) which frames are replaced: each with probability `share`, so that about that share of every beginning
    is; a shorter haystack is the beginning of a longer one.
    """
    return np.random.default_rng([seed, _STREAM]).random(frames) < share


def with_symbols(
    eye: Eye, haystack: Haystack, pictures: Sequence[NDArray[np.uint8]], *, share: float, seed: int
) -> Haystack:
    """`haystack` with about `share` of its frames replaced by pictures drawn from `pictures`, each encoded once."""
    replaced_F = places_of_symbols(len(haystack), share, seed)
    drawn_F = np.random.default_rng([seed, _STREAM, 1]).integers(len(pictures), size=len(haystack))
    order_F = np.where(replaced_F, len(haystack.kept_THWD) + drawn_F, haystack.order_F)
    told = {
        "share_asked": share,
        "frames": int(replaced_F.sum()),
        "different": len(np.unique(drawn_F[replaced_F])),
    }
    kept_THWD = torch.cat([haystack.kept_THWD, eye.look_at_pictures(pictures)])
    origin = {**haystack.origin, "symbol_frames": told}
    return dataclasses.replace(haystack, kept_THWD=kept_THWD, order_F=order_F.astype(np.int64), origin=origin)
