"""layouts._pooling: features of some frames in, fewer features out. Shared by layouts; no layout itself."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from longtake.errors import ErrorCode, LongtakeError


def pool_places(values_THWD: torch.Tensor, window: tuple[int, int], *, mode: Literal["average", "max"]) -> torch.Tensor:
    """Pool `window` (rows, columns) of each frame into one; rows and columns that fill no window are left out."""
    values_TDHW = values_THWD.permute(0, 3, 1, 2)
    pooled_TDHW = F.max_pool2d(values_TDHW, window) if mode == "max" else F.avg_pool2d(values_TDHW, window)
    return pooled_TDHW.permute(0, 2, 3, 1)


def fit_places(values_THWD: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Average each frame to `size` (rows, columns) of nearly equal windows; a smaller frame repeats features."""
    return F.adaptive_avg_pool2d(values_THWD.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)


def fit_volume(values_THWD: torch.Tensor, size_THW: tuple[int, int, int]) -> torch.Tensor:
    """Average all frames together to `size_THW` of nearly equal boxes; a smaller volume repeats features."""
    return F.adaptive_avg_pool3d(values_THWD.permute(3, 0, 1, 2), size_THW).permute(1, 2, 3, 0)


def refuse_empty(tokens: int, option: str, what: str) -> None:
    """Raise `usage.bad_option` where a pooling leaves no token: frames would vanish in silence."""
    if tokens == 0:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, f"{what} leaves nothing", "pool less")
