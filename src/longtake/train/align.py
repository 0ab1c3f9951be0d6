"""train/align: the last stage of seeing: the projector learns through the language model, which stays as it is.

A sample is one to MOST_PICTURES pictures and questions about them; nothing here ever sees a film. Since neither the
word vectors nor the language model change, the same eyes serve every language model that was branched from this one.
The tower no longer learns here either, so each picture goes through it once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from transformers import Qwen2ForCausalLM

from longtake.train.conversations import TOKENS_A_FRAME, Talk, Writer, answer_loss, draw_talks
from longtake.train.loop import Rates
from longtake.train.pictures import Pool
from longtake.train.see import caption_loss, pooled
from longtake.vision.pixels import PixelRecipe
from longtake.world.films import Source
from longtake.world.scenes import Scene, Shot
from longtake.world.vocabulary import SIDES

MOST_PICTURES = 4
"""Pictures in a sample of the alignment."""
PICTURES_AT_ONCE = 256
CAPTION_WEIGHT = 0.5
SHARPNESS, PULL = 8.0, 2.0
"""Of the caption's loss, here and in the stage before (see `Seeing`): without the pull, visual tokens grow and grow."""


@dataclass(frozen=True)
class Album:
    """Pictures that went through the tower, to be found by what they show: a `Source` of scenes.

    Attributes:
        features_NHWC: the tower's features.
        shots: (N) what each picture shows.
        showing: the pictures that show a shot.
        alike: the pictures of a colour or of a shape, with a value.
        moments: the pictures of a colour and shape that moves, by the side where it stands.
    """

    features_NHWC: torch.Tensor
    shots: list[Shot]
    showing: dict[Shot, list[int]] = field(repr=False)
    alike: dict[str, list[int]] = field(repr=False)
    moments: dict[tuple[str, str], dict[str, list[int]]] = field(repr=False)

    def scene(self, rng: np.random.Generator, like: Scene | None = None) -> Scene:
        """A random scene that there is a picture of."""
        names = list(self.alike)
        key = names[rng.integers(len(names))] if like is None else (like.colour, like.shape)[rng.integers(2)]
        return self._shown(rng, self.alike[key])

    def move(self, rng: np.random.Generator) -> tuple[Scene, ...]:
        """A random shape that moves, every moment of which there is a picture of; empty where there is none."""
        whole = [by_side for by_side in self.moments.values() if len(by_side) == len(SIDES)]
        if not whole:
            return ()
        by_side = whole[rng.integers(len(whole))]
        return tuple(self._shown(rng, by_side[side]) for side in (SIDES if rng.random() < 0.5 else SIDES[::-1]))

    def pick(self, rng: np.random.Generator, shots: list[Shot]) -> torch.Tensor:
        """(F, H, W, C) features of a picture of each shot."""
        numbers = [self.showing[shot][rng.integers(len(self.showing[shot]))] for shot in shots]
        return self.features_NHWC[torch.tensor(numbers)].float()

    def _shown(self, rng: np.random.Generator, numbers: list[int]) -> Scene:
        shot = self.shots[numbers[rng.integers(len(numbers))]]
        return Scene(*shot.caption)


@torch.inference_mode()
def make_album(tower: nn.Module, pool: Pool, recipe: PixelRecipe) -> Album:
    """Send all pictures through the tower once."""
    features = [
        tower(recipe.normalise(torch.from_numpy(pool.pixels_NCHW[first : first + PICTURES_AT_ONCE]))).half()
        for first in range(0, len(pool.shots), PICTURES_AT_ONCE)
    ]
    showing: dict[Shot, list[int]] = defaultdict(list)
    alike: dict[str, list[int]] = defaultdict(list)
    moments: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, shot in enumerate(pool.shots):
        showing[shot].append(number)
        if isinstance(shot, Scene) and shot.moving:
            moments[shot.colour, shot.shape][shot.value].append(number)
        elif isinstance(shot, Scene):
            alike[shot.colour].append(number)
            alike[shot.shape].append(number)
    return Album(torch.cat(features).clone(), pool.shots, dict(showing), dict(alike), dict(moments))


def picture_talks(rng: np.random.Generator, source: Source, *, tokens: int) -> list[Talk]:
    """Samples of one to MOST_PICTURES pictures with three questions each: about `tokens` tokens in all."""
    return draw_talks(rng, source, (1, MOST_PICTURES), turns=3, tokens=tokens)


@dataclass(frozen=True)
class Aligning:
    """The projector learns to answer about pictures.

    Attributes:
        module: the projector.
        language: that answers; it does not learn.
    """

    module: nn.Module
    language: Qwen2ForCausalLM
    writer: Writer
    album: Album
    steps: int
    tokens: int = 3072
    name: str = "align"
    rates: Rates = Rates(matrices=1e-3, others=3e-4)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Questions about pictures, and the pictures' captions."""
        batch = self.writer.write(picture_talks(rng, self.album, tokens=self.tokens))
        language = self.language
        with torch.autocast("cpu", torch.bfloat16):
            tokens_FND = pooled(self.module(self.album.pick(rng, batch.shots)))
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
