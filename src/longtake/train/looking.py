"""train/looking: samples with their pictures in, the loss of the answers out: a stage of alignment.

Written over the parts of any model whose eye is an `Encoder` and whose engine is a `LocalEngine`; knows no family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from longtake.engines.local import LocalEngine
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.layouts import Piece
from longtake.prompt import VISUAL_PLACE, ChatTemplate, segment_ids
from longtake.train.corpus import bad_data
from longtake.train.dialogues import Dialogue, write_dialogue
from longtake.train.entropy import losses_of
from longtake.train.llava import Sample, open_picture
from longtake.train.order import Grouped, Order
from longtake.train.recomputing import ready
from longtake.train.schedule import Schedule
from longtake.train.spread import ONE, Spread
from longtake.vision import FeatureGrid, GridShape
from longtake.vision.encoding import Encoder
from longtake.vision.tiles import best_grid, cut, grids

Shown = Any
"""What a looker cut of one picture: tiles, (T, 3, side, side) uint8, or what `seeing.AsAsked` has of it."""


@dataclass(frozen=True)
class Looker:
    """A model's parts, opened up so that they can learn.

    Attributes:
        model: whose layout, template and tokenizer are used as they are.
        tiles: that one picture may be cut into.
        most_images: that one sample may show.
        half: compute in bfloat16 where torch's autocast does.
        spread: over ranks, each of which has this looker; those that hold the language model in parts make and learn
            from as many batches as the others.
    """

    model: Model
    tiles: int
    most_images: int
    half: bool
    spread: Spread = ONE

    def __post_init__(self) -> None:
        if not isinstance(self.model.encoder, Encoder) or not isinstance(self.model.engine, LocalEngine):
            advice = "align a model whose tower, projector and language model run in this process"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, self.model.name, "its parts cannot be trained", advice)

    @property
    def template(self) -> ChatTemplate:
        """Around pictures and questions; several pictures follow one another as the frames of a video do."""
        return replace(self.model.template, joint="")

    @property
    def parts(self) -> dict[str, Any]:
        """The networks, by the names that recipes and checkpoints use."""
        encoder: Any = self.model.encoder
        engine: Any = self.model.engine
        return {"vision": encoder.tower, "projector": encoder.projector, "language": engine.language}

    def cut(self, sample: Sample, path: Path) -> Shown:
        """The tiles of a picture, (T, 3, side, side) uint8. One that gets a single tile is shrunk as a frame is.

        Raises:
            LongtakeError: `data.bad` if the picture cannot be seen.
        """
        encoder: Any = self.model.encoder
        image_HWC = open_picture(sample, path)
        side_px = encoder.recipe.side_px
        height, width = image_HWC.shape[:2]
        grid = best_grid(width, height, side_px=side_px, choices=grids(self.tiles))
        if grid == (1, 1):
            return torch.from_numpy(encoder.recipe.shrink(image_HWC)[None])
        return torch.from_numpy(cut(image_HWC, grid, side_px=side_px))

    def tokens(self, sample: Sample, pictures: Sequence[Shown]) -> int:
        """About how many tokens a sample makes: exact of pictures, and of words but for where they are joined."""
        words, tokenizer = 0, self.model.tokenizer
        for number, turn in enumerate(sample.turns):
            opening = self.template.later if number else self.template.opening
            around = segment_ids(tokenizer, (*opening, *self.template.between, turn.question, *self.template.closing))
            words += len(around) + len(tokenizer.encode(turn.answer)) + 1
        return words + sum(map(self.visual_tokens, pictures))

    def visual_tokens(self, picture: Shown) -> int:
        """Of one picture that was cut."""
        encoder: Any = self.model.encoder
        shape = GridShape(len(picture), encoder.grid_height, encoder.grid_width, encoder.newline_D is not None)
        return self.model.layout.count(shape)

    def pieces(self, pictures: Sequence[Shown], *, learning: bool) -> list[list[Piece]]:
        """The pieces of a prompt for each picture: its tiles, laid out as the frames of a video are.

        Args:
            pictures: the tiles of each, (T, 3, side, side) uint8.
            learning: whether the tower learns; else no gradient is kept for it.
        """
        if not pictures:
            return []
        encoder: Any = self.model.encoder
        pixels = torch.cat(list(pictures)).to(next(encoder.tower.parameters()).device)
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            features_THWC = encoder.tower(encoder.recipe.normalise(pixels))
        values_THWD = encoder.projector(features_THWC)
        seen = values_THWD.split([len(tiles) for tiles in pictures])
        return [self.model.layout.arrange(FeatureGrid(tiles, np.zeros(len(tiles)))) for tiles in seen]

    def dialogues(self, batch: Sequence[tuple[Sample, list[Shown]]], *, learning: bool) -> list[Dialogue]:
        """The conversations of some samples with their pictures' tiles."""
        for sample, pictures in batch:
            if len(pictures) != len(sample.pictures) or len(pictures) > self.most_images:
                raise ValueError(f"{sample.place} shows {len(pictures)} pictures; want at most {self.most_images}")
        pieces = self.pieces([tiles for _, pictures in batch for tiles in pictures], learning=learning)
        width = self.parts["language"].config.hidden_size
        written, used = [], 0
        for sample, pictures in batch:
            own, used = pieces[used : used + len(pictures)], used + len(pictures)
            template, tokenizer = self.template, self.model.tokenizer
            written.append(write_dialogue(template, tokenizer, sample.turns, own, width=width))
        return written

    def read(self, batch: Sequence[tuple[Sample, list[Shown]]], *, learning: bool) -> tuple[torch.Tensor, int]:
        """(A,) float32, the negative log probability of each token of the answers; and how many tokens were read.

        Args:
            batch: samples with the tiles of their pictures.
            learning: whether the tower learns.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            dialogues = self.dialogues(batch, learning=learning)
            return self.losses(dialogues), sum(len(dialogue.token_ids_L) for dialogue in dialogues)

    @property
    def device(self) -> torch.device:
        """Where the language model computes; what is put aside lies elsewhere."""
        if self.spread.hold != "whole":
            return self.spread.ranks.device
        own: torch.device = next(self.parts["language"].parameters()).device
        return own

    def losses(self, dialogues: Sequence[Dialogue]) -> torch.Tensor:
        """(A,) float32, the negative log probability of each token of the answers, dialogue by dialogue."""
        if torch.is_grad_enabled():
            ready(self.parts.values())
        return self.spread.within(lambda: self._losses(dialogues))

    def _losses(self, dialogues: Sequence[Dialogue]) -> torch.Tensor:
        language, device = self.parts["language"], self.device
        ids_BL = nn.utils.rnn.pad_sequence([one.token_ids_L for one in dialogues], batch_first=True).to(device)
        answers_BL = nn.utils.rnn.pad_sequence([one.answers_L for one in dialogues], batch_first=True).to(device)
        visual_ND = torch.cat([one.visual_ND.to(device) for one in dialogues])
        words_BLD = language.get_input_embeddings()(ids_BL.clamp(min=0))
        rows_N, columns_N = (ids_BL == VISUAL_PLACE).nonzero(as_tuple=True)
        seen_BLD = words_BLD.index_put((rows_N, columns_N), visual_ND.to(words_BLD.dtype))
        if self.spread.hold != "whole" and torch.is_grad_enabled() and not seen_BLD.requires_grad:
            # Another rank may have a gradient here, and its way back through the layers gathers them from all.
            seen_BLD.requires_grad_()
        hidden_BLD = language.model(inputs_embeds=seen_BLD, use_cache=False).last_hidden_state
        asked_BL = answers_BL[:, 1:]
        return losses_of(hidden_BLD[:, :-1][asked_BL], ids_BL[:, 1:][asked_BL], language.lm_head)


Batch = list[tuple[Sample, list[Shown]]]


@dataclass
class Queue:
    """Samples with their tiles in an order that follows from the seed: every round through them is another permutation.

    A sample whose picture turns out broken, or which is longer than `most_tokens`, is an error, or its successor stands
    in for it and `skipped` hears of it. `order` puts like with like; None: each round is a permutation.
    """

    samples: Sequence[Sample]
    looker: Looker
    seed: tuple[int, ...]
    skipped: Callable[[LongtakeError], None] | None = None
    next_place: int = 0
    most_tokens: int | None = None
    order: Order | Grouped | None = None

    def __post_init__(self) -> None:
        self.order = self.order or Order(len(self.samples), self.seed)

    def take(self, samples: int) -> Batch:
        """The next samples.

        Raises:
            LongtakeError: `data.bad`.
        """
        taken = [self._seen(self.next_place + place) for place in range(samples)]
        self.next_place += samples
        return taken

    def _seen(self, place: int) -> tuple[Sample, list[Shown]]:
        assert self.order is not None
        first = self.order.at(place)
        for number in range(len(self.samples)):
            sample = self.samples[(first + number) % len(self.samples)]
            try:
                shown = [self.looker.cut(sample, path) for path in sample.pictures]
                self._refuse_too_long(sample, shown)
                return sample, shown
            except LongtakeError as error:
                if self.skipped is None:
                    raise
                self.skipped(error)
                last = error
        raise last

    def _refuse_too_long(self, sample: Sample, shown: list[Shown]) -> None:
        tokens = self.looker.tokens(sample, shown)
        if self.most_tokens is not None and tokens > self.most_tokens:
            reason = f"makes {tokens:,} tokens; at most {self.most_tokens:,} are trained on"
            raise bad_data(sample.place, reason, "take fewer tiles, or leave such samples out with --on-bad skip")


@dataclass(frozen=True)
class Looking:
    """Some parts of a model learn to answer about pictures.

    Attributes:
        module: the parts that learn.
        queue: where samples come from.
        samples: of one batch.
        heard: hears how many tokens each batch has.
        exam: held-out samples with their tiles.
    """

    name: str
    steps: int
    rates: Schedule
    module: nn.ModuleDict
    looker: Looker
    queue: Queue
    samples: int
    heard: Callable[[int], None]
    exam: Batch

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """(A,) the losses of the answers' tokens of the next samples."""
        losses_A, tokens = self.looker.read(self.queue.take(self.samples), learning="vision" in self.module)
        self.heard(tokens)
        if losses_A.requires_grad:
            return losses_A
        # Nobody in this batch looked at a picture, and only the eye learns: nothing is learned, and nothing fails. No
        # parameter gets a gradient, not even nought, by which AdamW would count a step for it.
        return losses_A + torch.zeros((), device=losses_A.device, requires_grad=True)

    def figures(self) -> dict[str, float]:
        """The mean loss of the held-out answers' tokens."""
        return {"held_out_loss": examined(self.looker, self.exam)} if self.exam else {}


# Not in inference mode: what FSDP gathers there could not be learned with any more.
@torch.no_grad()
def examined(looker: Looker, exam: Batch) -> float:
    """The mean loss of the answers' tokens of some samples, one after the other, in evaluation mode."""
    for part in looker.parts.values():
        part.eval()
    losses = [looker.read([one], learning=False)[0].cpu() for one in exam]
    return float(torch.cat(losses).mean())
