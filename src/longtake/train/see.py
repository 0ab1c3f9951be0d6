"""train/see: the picture stage: drawn pictures teach the vision tower and projector to say what one frame shows.

The four visual tokens of a frame learn to point at the word vectors of its caption: first at those that the text
stage begins with, then (`meet`) at those that it ended with, and as long as they are. Beside that the tower spells the
printed value letter by letter, which teaches it to read rather than to guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from longtake.train.loop import Rates
from longtake.train.pictures import Pool
from longtake.vision.pixels import PixelRecipe
from longtake.vision.projector import Projector
from longtake.world.scenes import SCENERY
from longtake.world.vocabulary import SIDES

LETTERS = " 0123456789abcdefghijklmnopqrstuvwxyz"
LONGEST_VALUE = 7
VALUE_SLOT = 2
"""Place of the printed value in a caption."""
PICTURES_A_STEP = 128
LARGEST_SHIFT_PX = 3


class Sight(nn.Module):
    """Tower, projector, and a spelling head that is thrown away after training."""

    projector: Projector

    def __init__(self, tower: nn.Module, projector: Projector, *, tower_width: int) -> None:
        super().__init__()
        self.tower = tower
        self.projector = projector
        self.spelling = nn.Linear(tower_width, LONGEST_VALUE * len(LETTERS))

    def forward(self, pixels_TCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, 4, D) visual tokens, as the layout `grid` arranges them, and (T, LONGEST_VALUE, letters) logits."""
        features_THWC = self.tower(pixels_TCHW.contiguous(memory_format=torch.channels_last))
        value_TC = pooled(features_THWC)[:, VALUE_SLOT]
        return pooled(self.projector(features_THWC)), self.spelling(value_TC).view(len(value_TC), LONGEST_VALUE, -1)

    @torch.no_grad()
    def shorten(self, pixels_TCHW: torch.Tensor, length: float) -> None:
        """Scale the projector so that the visual tokens of some pictures have this mean length."""
        self.eval()
        scale = length / self(pixels_TCHW)[0].norm(dim=-1).mean()
        for parameter in self.projector.land.parameters():
            parameter.mul_(scale)


def pooled(grid_THWC: torch.Tensor) -> torch.Tensor:
    """(T, 4, C): a 4 x 4 grid averaged 2 x 2, row by row (UniRes; LongVA, arXiv 2406.16852, section 3.2)."""
    return F.avg_pool2d(grid_THWC.permute(0, 3, 1, 2), 2).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Seeing:
    """Learn to caption single pictures.

    Attributes:
        module: what is trained.
        words_VD: the word vectors that captions are told apart by; they are not trained.
        word_ids: the place of each word among them.
        pool, held_out: pictures to learn from, and to be examined on.
        sharpness: what likenesses (dot products) are multiplied with before the softmax.
        pull: weight of the squared distance between a visual token and its word, in units of the words' own length.
        pictures: of a batch.
    """

    module: Sight
    words_VD: torch.Tensor
    word_ids: dict[str, int]
    recipe: PixelRecipe
    pool: Pool
    held_out: Pool
    steps: int
    sharpness: float = 1.0
    pull: float = 0.0
    pictures: int = PICTURES_A_STEP
    name: str = "see"
    rates: Rates = Rates(matrices=2e-2, others=2e-3, warm_up_steps=50, hold=0.3)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Captions and spelling of random pictures, shifted, dimmed and made noisy."""
        chosen = rng.integers(len(self.pool.shots), size=self.pictures)
        pixels_TCHW = _disturbed(self.recipe.normalise(torch.from_numpy(self.pool.pixels_NCHW[chosen])), rng)
        with torch.autocast("cpu", torch.bfloat16):
            tokens_TND, letters_TLA = self.module(pixels_TCHW)
        words_TN = self._captions(self.pool, chosen)
        spelled_TL = torch.tensor([_spelled(self.pool.shots[number].caption[VALUE_SLOT]) for number in chosen])
        spelled = F.cross_entropy(letters_TLA.float().flatten(0, 1), spelled_TL.flatten())
        said = caption_loss(tokens_TND, words_TN, self.words_VD, sharpness=self.sharpness, pull=self.pull)
        return said + 0.5 * spelled

    @torch.inference_mode()
    def figures(self) -> dict[str, float]:
        """The share of held-out pictures whose colour, shape, value and place is the likeliest word."""
        right = []
        for first in range(0, len(self.held_out.shots), PICTURES_A_STEP):
            chosen = np.arange(first, min(first + PICTURES_A_STEP, len(self.held_out.shots)))
            pixels = self.recipe.normalise(torch.from_numpy(self.held_out.pixels_NCHW[chosen]))
            said = (self.module(pixels)[0] @ self.words_VD.T).argmax(-1)
            right.append(said == self._captions(self.held_out, chosen))
        shares = torch.cat(right).float().mean(0).tolist()
        return dict(zip(("colour", "shape", "value", "place"), shares, strict=True))

    def _captions(self, pool: Pool, chosen: np.ndarray) -> torch.Tensor:
        return torch.tensor([[self.word_ids[word] for word in pool.shots[number].caption] for number in chosen])


def caption_loss(
    tokens_TND: torch.Tensor, words_TN: torch.Tensor, words_VD: torch.Tensor, *, sharpness: float, pull: float
) -> torch.Tensor:
    """Cross-entropy of a caption, each visual token being likened to all word vectors, and distance to the right one.

    Args:
        sharpness, pull: see `Seeing`.
    """
    logits_TNV = sharpness * (tokens_TND @ words_VD.to(tokens_TND.dtype).T)
    said = F.cross_entropy(logits_TNV.float().flatten(0, 1), words_TN.flatten())
    if not pull:
        return said
    away = (tokens_TND.float() - words_VD[words_TN]).square().sum(-1).mean()
    return said + pull * away / words_VD.square().sum(-1).mean()


def _spelled(value: str) -> list[int]:
    """Letter numbers; mere scenery and shapes that move spell nothing."""
    shown = "" if value == SCENERY[VALUE_SLOT] or value in SIDES else value
    return [LETTERS.index(letter) for letter in shown.ljust(LONGEST_VALUE)]


def _disturbed(pixels_TCHW: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Other brightness and contrast for each picture, noise, and for half of the batches a shift by a few pixels."""
    each = (len(pixels_TCHW), 1, 1, 1)
    pixels_TCHW = pixels_TCHW * (1 + 0.12 * torch.randn(each)) + 0.12 * torch.randn(each)
    if rng.random() < 0.5:
        pixels_TCHW = pixels_TCHW + 0.25 * torch.rand(each) * torch.randn_like(pixels_TCHW)
    if rng.random() < 0.5:
        down, right = rng.integers(-LARGEST_SHIFT_PX, LARGEST_SHIFT_PX + 1, 2).tolist()
        pixels_TCHW = torch.roll(pixels_TCHW, (down, right), (2, 3))
    return pixels_TCHW
