"""train/dpo_recipe: what `longtake train dpo` can be told. Knows nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from longtake.train.align_recipe import PARTS, check_rates, check_weights
from longtake.train.lora import Lora


def longva_dpo_rates() -> dict[str, float]:
    """The rate of LongVA-7B-DPO, for whichever parts learn (its model card)."""
    return dict.fromkeys(PARTS, 5e-7)


@dataclass(frozen=True)
class DpoRecipe:
    """Teach a model which of two answers is preferred. The defaults are LongVA-7B-DPO's where it says something.

    Attributes:
        data: files of preferences; `world` alone draws some first.
        media: the folder that their pictures' and videos' names are relative to; empty takes each file's own.
        model: that is trained: a bundled name or a folder.
        frames: that the model's own sampler takes of a video; 0: as many as it does by default.
        most_tokens: of a prompt with its answer; a longer one is refused. What the model was trained to read bounds it
            too.
        on_bad: a row that is not as it should be: an error, or left out and told.
        held_out: share of the prompts that is kept from training, to be examined with.
        held_out_pairs: so many are examined, at most.
        world_pairs: that are drawn.
        train: the parts that learn: vision, projector, language. All others stay as they are.
        beta: how dear it is to leave the reference.
        label_smoothing: share of the preferences that is held to be mistaken.
        chosen_weight: of the chosen answers' own loss, beside that of preferring them; 0: DPO as it was published.
            Where the model would hardly ever give the chosen answers by itself, it wants some.
        epochs: rounds through the pairs.
        steps: in place of epochs, if not 0.
        step_pairs: of one step.
        pairs_at_once: of one pass through the model.
        rates: of each part that learns.
        decay: of the weights.
        schedule, warm_up_steps, hold: see `schedule.Schedule`.
        precision: what autocast computes in.
        weights: how ranks hold those of the language model: `whole` on each; `sharded`, each a part (FSDP2); `aside`,
            each a part in the processor's memory; `auto` shards them where there are ranks, unless adapters learn.
            Tower and projector are whole on each.
        recompute: keep only each layer's input for the way back, and compute the rest again: less memory, more time.
        reference: the file that keeps what the untrained model gave each answer; empty: reference.jsonl in the run's
            folder. Runs of the same model and pairs, one after the other, may share one.
        lora: adapters in place of the language model's own matrices.
        log_every, save_every: steps.
        seed: of the order, and of the adapters.
    """

    data: tuple[str, ...] = ("world",)
    media: str = ""
    model: str = "nano"
    frames: int = 0
    most_tokens: int = 32_768
    on_bad: Literal["error", "skip"] = "error"
    held_out: float = 0.02
    held_out_pairs: int = 64
    world_pairs: int = 480
    train: tuple[str, ...] = ("language",)
    beta: float = 0.1
    label_smoothing: float = 0.0
    chosen_weight: float = 0.0
    epochs: float = 3.0
    steps: int = 0
    step_pairs: int = 8
    pairs_at_once: int = 1
    rates: dict[str, float] = field(default_factory=longva_dpo_rates)
    decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warm_up_steps: int = 5
    hold: float = 0.0
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    weights: Literal["auto", "whole", "sharded", "aside"] = "auto"
    recompute: bool = False
    reference: str = ""
    lora: Lora | None = None
    log_every: int = 5
    save_every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("want data")
        if not self.train or not set(self.train) <= set(PARTS):
            raise ValueError(f"train is {', '.join(self.train) or 'empty'}; want some of {', '.join(PARTS)}")
        if not (0 <= self.held_out < 1 and 0 <= self.hold < 1 and 0 <= self.label_smoothing < 0.5):
            raise ValueError("held_out and hold are shares: at least 0, less than 1; label_smoothing less than 0.5")
        if self.beta <= 0:
            raise ValueError(f"beta is {self.beta}; want more than 0")
        if (not self.epochs and not self.steps) or min(self.epochs, self.steps) < 0:
            raise ValueError(f"epochs is {self.epochs} and steps {self.steps}; want one of them")
        self._refuse_counts()
        if self.lora is not None and "language" not in self.train:
            raise ValueError("lora adapts the language model; put language into train")
        check_rates(self.rates)
        check_weights(self.lora, self.weights)

    def _refuse_counts(self) -> None:
        counts = (self.most_tokens, self.world_pairs, self.step_pairs, self.pairs_at_once, self.log_every)
        if min(*counts, self.save_every) < 1:
            raise ValueError("counts of pairs, tokens and steps are at least 1")
        if self.save_every % self.log_every:
            raise ValueError(f"save_every is {self.save_every}; want a multiple of log_every, {self.log_every}")
        if self.step_pairs % self.pairs_at_once and self.step_pairs > self.pairs_at_once:
            raise ValueError(f"step_pairs is {self.step_pairs}; want a multiple of pairs_at_once")
        if min(self.held_out_pairs, self.seed, self.warm_up_steps, self.frames, self.chosen_weight) < 0:
            raise ValueError("held_out_pairs, seed, warm_up_steps, frames and chosen_weight are at least 0")

    def batches(self, data_ranks: int = 1) -> int:
        """Passes that make one step, on all data ranks together."""
        return self.step_pairs // self.batch_pairs(data_ranks)

    def batch_pairs(self, data_ranks: int = 1) -> int:
        """Pairs of one pass, on each of so many data ranks."""
        own = max(1, self.step_pairs // data_ranks)
        return max(pairs for pairs in range(1, own + 1) if own % pairs == 0 and pairs <= self.pairs_at_once)

    def steps_of(self, pairs: int) -> int:
        """Steps, by their own count or by the rounds through so many pairs."""
        return self.steps or max(1, round(self.epochs * pairs / self.step_pairs))

    @property
    def rates_told(self) -> dict[str, float]:
        """The rate of each part that learns."""
        both = {**longva_dpo_rates(), **self.rates}
        return {part: both[part] for part in self.train}
