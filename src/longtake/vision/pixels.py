"""vision.pixels: one displayed frame in, the small normalised picture that a tower reads out. Knows no model.

Two roads lead to the same picture: `exact` is Pillow, number for number what released models were trained on; `fast` is
torch on uint8, within one step of 255 of it at a fraction of the time (benchmarks/preprocess.py measures both).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

CLIP_MEAN_3 = (0.48145466, 0.4578275, 0.40821073)
"""Mean of R, G, B in 0..1 over CLIP's training pictures (openai/CLIP, clip.py `_transform`)."""
CLIP_STD_3 = (0.26862954, 0.26130258, 0.27577711)
"""Their standard deviations, from the same place."""

WIDEST_WHOLE_RESIZE = 32
"""Pictures of more than 32:1 are cropped while they are resized: else 1 x 1080 would first grow to 336 x 362,880."""

Image_HWC = NDArray[np.uint8]
Fit = Literal["crop", "pad", "stretch"]
Method = Literal["exact", "fast"]


@dataclass(frozen=True)
class PixelRecipe:
    """How a frame of any size becomes the square picture that a vision tower reads.

    Attributes:
        side_px: side of the square.
        fit: what happens to a frame that is not square. `crop` brings the shorter side to `side_px` and keeps the
            centre (CLIP); `pad` first adds bars of the mean colour (LLaVA's `pad`); `stretch` ignores the aspect ratio
            (SlowFast-LLaVA, arXiv 2407.15841, released settings).
        method: `exact` is Pillow's bicubic resize; `fast` is torch's on uint8, within one step of 255 of it
            (where a side shrinks to more than half, one value in 100,000 was measured two off).
        mean_3, std_3: what normalising subtracts from R, G, B in 0..1, and then divides by.
    """

    side_px: int
    fit: Fit = "crop"
    method: Method = "exact"
    mean_3: tuple[float, float, float] = CLIP_MEAN_3
    std_3: tuple[float, float, float] = CLIP_STD_3

    def __post_init__(self) -> None:
        if self.side_px < 1:
            raise ValueError(f"side_px is {self.side_px}; want at least 1")
        if self.fit not in ("crop", "pad", "stretch"):
            raise ValueError(f"fit is {self.fit!r}; want crop, pad or stretch")
        if self.method not in _RESIZE:
            raise ValueError(f"method is {self.method!r}; want {' or '.join(_RESIZE)}")
        if len(self.mean_3) != 3 or len(self.std_3) != 3 or min(self.std_3) <= 0:
            raise ValueError(f"mean is {self.mean_3}, std is {self.std_3}; want three numbers each, std above 0")

    def shrink(self, image_HWC: Image_HWC) -> NDArray[np.uint8]:
        """Make one frame as small as the tower takes it.

        Args:
            image_HWC: (H, W, 3) uint8 RGB, any size, any memory order.

        Returns:
            (3, side_px, side_px) uint8, contiguous.
        """
        if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or 0 in image_HWC.shape:
            raise ValueError(f"the picture is {image_HWC.dtype} {image_HWC.shape}; want uint8 (H, W, 3)")
        small_HWC = self._fitted(image_HWC)
        return np.ascontiguousarray(small_HWC.transpose(2, 0, 1))

    def normalise(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(pixels / 255 - mean) / std, as float32 on the pixels' device.

        Args:
            pixels_TCHW: (T, 3, H, W) uint8.
        """
        if pixels_TCHW.dtype != torch.uint8 or pixels_TCHW.ndim != 4 or pixels_TCHW.shape[1] != 3:
            raise ValueError(f"pixels are {pixels_TCHW.dtype} {tuple(pixels_TCHW.shape)}; want uint8 (T, 3, H, W)")
        scale_3 = [1 / (255 * std) for std in self.std_3]
        shift_3 = [-mean / std for mean, std in zip(self.mean_3, self.std_3, strict=True)]
        scale_C11, shift_C11 = torch.tensor([scale_3, shift_3], device=pixels_TCHW.device)[..., None, None]
        return pixels_TCHW.to(torch.float32).mul_(scale_C11).add_(shift_C11)

    def _fitted(self, image_HWC: Image_HWC) -> Image_HWC:
        side = self.side_px
        resize = _RESIZE[self.method]
        if self.fit == "stretch":
            return resize(image_HWC, side, side)
        if self.fit == "pad":
            return resize(pad_to_square(image_HWC, self.mean_3), side, side)
        if max(image_HWC.shape[:2]) > WIDEST_WHOLE_RESIZE * min(image_HWC.shape[:2]):
            return _centre_in_one_resize(image_HWC, side)
        height, width = _size_of_shortest_edge(image_HWC, side)
        top, left = (height - side) // 2, (width - side) // 2
        return resize(image_HWC, height, width)[top : top + side, left : left + side]


def pad_to_square(image_HWC: Image_HWC, mean_3: tuple[float, float, float]) -> Image_HWC:
    """Centre a picture in the smallest square that holds it; bars have the mean colour, truncated to whole steps."""
    height, width = image_HWC.shape[:2]
    side = max(height, width)
    square_HWC = np.empty((side, side, 3), dtype=np.uint8)
    square_HWC[:] = [int(mean * 255) for mean in mean_3]
    top, left = (side - height) // 2, (side - width) // 2
    square_HWC[top : top + height, left : left + width] = image_HWC
    return square_HWC


def _size_of_shortest_edge(image_HWC: Image_HWC, side: int) -> tuple[int, int]:
    # CLIP's processor truncates the longer side; rounding it would shift every column by a fraction.
    height, width = image_HWC.shape[:2]
    return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)


def _resize_exact(image_HWC: Image_HWC, height: int, width: int) -> Image_HWC:
    small = Image.fromarray(image_HWC).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small)


def _resize_fast(image_HWC: Image_HWC, height: int, width: int) -> Image_HWC:
    rows, columns, _ = image_HWC.shape
    if height > rows or width > columns:
        # Torch's 16-bit weights can be two steps off where a side grows, and pictures that small cost little anyway.
        return _resize_exact(image_HWC, height, width)
    # HWC memory is torch's channels_last, for which it has vectorised uint8 code; it recognises that only where the
    # stride of the single batch entry is spelled out.
    image_1CHW = torch.from_numpy(np.require(image_HWC, requirements=["C", "W"])).as_strided(
        (1, 3, rows, columns), (rows * columns * 3, 1, columns * 3, 3)
    )
    if _pillow_goes_down_first(rows - height, columns - width):
        image_1CHW = F.interpolate(image_1CHW, size=(height, columns), mode="bicubic", antialias=True)
    small_1CHW = F.interpolate(image_1CHW, size=(height, width), mode="bicubic", antialias=True)
    small_HWC: Image_HWC = small_1CHW[0].permute(1, 2, 0).numpy()
    return small_HWC


def _pillow_goes_down_first(fewer_rows: int, fewer_columns: int) -> bool:
    # A resize is one pass along rows and one along columns, rounded to whole steps in between, so their order shows.
    # Torch always begins along rows; Pillow 13 begins along columns where more height than width is to go.
    return fewer_rows > max(0, 2 * fewer_columns)


def _centre_in_one_resize(image_HWC: Image_HWC, side: int) -> Image_HWC:
    height, width = image_HWC.shape[:2]
    long_height, long_width = _size_of_shortest_edge(image_HWC, side)
    top, left = (long_height - side) // 2, (long_width - side) // 2
    rows, columns = height / long_height, width / long_width
    box = (left * columns, top * rows, (left + side) * columns, (top + side) * rows)
    return np.asarray(Image.fromarray(image_HWC).resize((side, side), Image.Resampling.BICUBIC, box=box))


_RESIZE: dict[Method, Callable[[Image_HWC, int, int], Image_HWC]] = {"exact": _resize_exact, "fast": _resize_fast}
