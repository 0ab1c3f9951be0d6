"""train/align: the last stage: projector and language model together learn to answer about pictures.

The tower no longer learns here, so each picture goes through it once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from transformers import Qwen2ForCausalLM

from longtake.train.conversations import TOKENS_A_FRAME, Writer, answer_loss, draw_talks
from longtake.train.loop import Rates
from longtake.train.pictures import Pool
from longtake.train.see import caption_loss, pooled
from longtake.vision.pixels import PixelRecipe
from longtake.world.scenes import SCENERY, Scene, Shot

LENGTHS = ((1, 12), (8, 32), (24, 64))
LENGTH_SHARES = (0.6, 0.25, 0.15)
PICTURES_AT_ONCE = 256
CAPTION_WEIGHT = 0.5
SHARPNESS, PULL = 8.0, 2.0
"""Of the caption's loss, here and in the stage before (see `Seeing`): without the pull, visual tokens grow and grow."""


@dataclass(frozen=True)
class Album:
    """Pictures that went through the tower, to be found by what they show.

    Attributes:
        features_NHWC: the tower's features.
        shots: (N) what each picture shows.
        showing: the pictures that show a shot.
        alike: the pictures of a colour or of a shape.
    """

    features_NHWC: torch.Tensor
    shots: list[Shot]
    showing: dict[Shot, list[int]] = field(repr=False)
    alike: dict[str, list[int]] = field(repr=False)

    def source(self, rng: np.random.Generator, like: Scene | None) -> Scene:
        """A random scene that there is a picture of."""
        names = list(self.alike)
        key = names[rng.integers(len(names))] if like is None else (like.colour, like.shape)[rng.integers(2)]
        numbers = self.alike[key]
        colour, shape, value, place = self.shots[numbers[rng.integers(len(numbers))]].caption
        return Scene(colour, shape, value, place)

    def pick(self, rng: np.random.Generator, shots: list[Shot]) -> torch.Tensor:
        """(F, H, W, C) features of a picture of each shot."""
        numbers = [self.showing[shot][rng.integers(len(self.showing[shot]))] for shot in shots]
        return self.features_NHWC[torch.tensor(numbers)].float()


@torch.inference_mode()
def make_album(tower: nn.Module, pool: Pool, recipe: PixelRecipe) -> Album:
    """Send all pictures through the tower once."""
    features = [
        tower(recipe.normalise(torch.from_numpy(pool.pixels_NCHW[first : first + PICTURES_AT_ONCE]))).half()
        for first in range(0, len(pool.shots), PICTURES_AT_ONCE)
    ]
    showing: dict[Shot, list[int]] = defaultdict(list)
    alike: dict[str, list[int]] = defaultdict(list)
    for number, shot in enumerate(pool.shots):
        showing[shot].append(number)
        for word in () if shot.caption[0] == SCENERY[0] else shot.caption[:2]:
            alike[word].append(number)
    return Album(torch.cat(features).clone(), pool.shots, dict(showing), dict(alike))


class Pair(nn.Module):
    """Projector and language model, trained together."""

    projector: nn.Module
    language: Qwen2ForCausalLM

    def __init__(self, projector: nn.Module, language: Qwen2ForCausalLM) -> None:
        super().__init__()
        self.projector = projector
        self.language = language


@dataclass(frozen=True)
class Aligning:
    """Projector and language model learn to answer about pictures."""

    module: Pair
    writer: Writer
    album: Album
    steps: int
    tokens: int = 4096
    name: str = "align"
    rates: Rates = Rates(matrices=5e-4, others=2e-4)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Films of pictures with four questions about each, and the captions of their frames."""
        lengths = LENGTHS[rng.choice(len(LENGTHS), p=LENGTH_SHARES)]
        batch = self.writer.write(draw_talks(rng, self.album.source, lengths, turns=4, tokens=self.tokens))
        language = self.module.language
        with torch.autocast("cpu", torch.bfloat16):
            tokens_FND = pooled(self.module.projector(self.album.pick(rng, batch.shots)))
            words_BLD = language.model.embed_tokens(batch.ids_BL)
            rows_FN = batch.frame_places[:, :1].expand(-1, TOKENS_A_FRAME)
            columns_FN = batch.frame_places[:, 1:] + torch.arange(TOKENS_A_FRAME)
            seen_BLD = words_BLD.index_put((rows_FN, columns_FN), tokens_FND.to(words_BLD.dtype))
            hidden_BLD = language.model(inputs_embeds=seen_BLD, use_cache=False).last_hidden_state
            answers = answer_loss(hidden_BLD, language.lm_head, batch)
            words_FN = torch.tensor([[self.writer.word_ids[word] for word in shot.caption] for shot in batch.shots])
            words_VD = language.model.embed_tokens.weight.detach()
            said = caption_loss(tokens_FND, words_FN, words_VD, sharpness=SHARPNESS, pull=PULL)
        return answers + CAPTION_WEIGHT * said

    def figures(self) -> dict[str, float]:
        """Nothing beside the loss: the exam asks the finished model, through real video files."""
        return {}
