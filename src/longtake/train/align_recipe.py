"""train/align_recipe: what `longtake train align` can be told. Knows nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from longtake.train.lora import Lora
from longtake.vision.tiles import LONGVA_TILES

PARTS = ("vision", "projector", "language")


def longva_rates() -> dict[str, float]:
    """Rates of LongVA's second stage, and of its first for the projector (its released training scripts)."""
    return {"vision": 2e-6, "projector": 1e-3, "language": 1e-5}


def check_rates(rates: dict[str, float]) -> None:
    """Refuse rates of parts that there are not, and rates below nothing.

    Raises:
        ValueError: naming them.
    """
    for part, rate in rates.items():
        if part not in PARTS or rate < 0:
            raise ValueError(f"rates has {part} = {rate}; want at least 0 for some of {', '.join(PARTS)}")


def check_weights(lora: Lora | None, weights: str) -> None:
    """Refuse adapters beside matrices that ranks hold in parts.

    Raises:
        ValueError: saying so.
    """
    if lora is not None and weights in ("sharded", "aside"):
        raise ValueError(f'weights is {weights}, and adapters lie beside whole matrices; take weights = "whole"')


@dataclass(frozen=True)
class AlignStage:
    """One step of the alignment.

    Attributes:
        train: the parts that learn: vision, projector, language. All others stay as they are.
        epochs: rounds through the samples.
        steps: in place of epochs, also where there are some.
        rates: of parts, in place of the recipe's.
    """

    train: tuple[str, ...]
    epochs: float = 0.0
    steps: int = 0
    rates: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.train or not set(self.train) <= set(PARTS):
            raise ValueError(f"train is {', '.join(self.train) or 'empty'}; want some of {', '.join(PARTS)}")
        if (not self.epochs and not self.steps) or self.epochs < 0 or self.steps < 0:
            raise ValueError(f"epochs is {self.epochs} and steps {self.steps}; want one of them")
        check_rates(self.rates)


@dataclass(frozen=True)
class AlignRecipe:
    """Align a model with pictures.

    Attributes:
        data: files of conversations in LLaVA's form; `world` alone draws some first.
        pictures: the folder that their pictures' names are relative to; empty takes each file's own.
        model: that is aligned: a bundled name or a folder.
        most_images: that one sample may show.
        tiles: that one picture may be cut into.
        pictures_as: `unires`: tiles, each of them shown as a frame of a video is (LongVA); `asked`: as the model shows
            a user's pictures, which is AnyRes for LLaVA-1.6 and its like.
        most_tokens: of a sample; a longer one is refused when its turn comes.
        grouped: put samples with pictures, those without, and those of like length into batches of their own.
        on_bad: a sample that is not as it should be: an error, or left out and told.
        held_out: share of the samples that is kept from training, to be examined with.
        held_out_samples: so many are examined, at most.
        world_samples: that are drawn.
        step_samples: of one step.
        samples_at_once: of one pass through the model.
        rates: of each part that learns.
        lora: adapters in place of the language model's own matrices, in all stages; its rate is that of the language.
        decay: of the weights.
        schedule, warm_up_steps, hold: of each stage; see `schedule.Schedule`.
        precision: what autocast computes in.
        weights: how ranks hold those of the language model: `whole` on each; `sharded`, each a part (FSDP2); `aside`,
            each a part in the processor's memory; `auto` shards them where there are ranks, unless adapters learn.
            Tower and projector are whole on each.
        recompute: keep only each layer's input for the way back, and compute the rest again: less memory, more time.
        log_every, save_every: steps.
        seed: of the order.
    """

    data: tuple[str, ...] = ("world",)
    pictures: str = ""
    model: str = "nano"
    most_images: int = 4
    tiles: int = LONGVA_TILES
    pictures_as: Literal["unires", "asked"] = "unires"
    most_tokens: int = 32_768
    grouped: bool = False
    on_bad: Literal["error", "skip"] = "error"
    held_out: float = 0.02
    held_out_samples: int = 64
    world_samples: int = 400
    step_samples: int = 16
    samples_at_once: int = 8
    rates: dict[str, float] = field(default_factory=longva_rates)
    lora: Lora | None = None
    decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warm_up_steps: int = 5
    hold: float = 0.0
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    weights: Literal["auto", "whole", "sharded", "aside"] = "auto"
    recompute: bool = False
    log_every: int = 5
    save_every: int = 25
    seed: int = 0
    stages: tuple[AlignStage, ...] = (
        AlignStage(("projector",), epochs=1.0),
        AlignStage(("projector", "language"), epochs=1.0, rates={"projector": 1e-5}),
    )

    def __post_init__(self) -> None:
        if not self.data or not self.stages:
            raise ValueError("want data and at least one stage")
        if not 0 <= self.held_out < 1 or not 0 <= self.hold < 1:
            raise ValueError("held_out and hold are shares: at least 0, less than 1")
        counts = (
            self.most_images,
            self.tiles,
            self.most_tokens,
            self.step_samples,
            self.samples_at_once,
            self.log_every,
        )
        if min(*counts, self.save_every, self.world_samples) < 1:
            raise ValueError("counts of pictures, tiles, tokens, samples and steps are at least 1")
        if self.save_every % self.log_every:
            raise ValueError(f"save_every is {self.save_every}; want a multiple of log_every, {self.log_every}")
        if self.step_samples % self.samples_at_once and self.step_samples > self.samples_at_once:
            raise ValueError(f"step_samples is {self.step_samples}; want a multiple of samples_at_once")
        if min(self.held_out_samples, self.seed, self.warm_up_steps) < 0:
            raise ValueError("held_out_samples, seed and warm_up_steps are at least 0")
        if self.lora is not None and not any("language" in stage.train for stage in self.stages):
            raise ValueError("lora adapts the language model; put language into the train of a stage")
        check_rates(self.rates)
        check_weights(self.lora, self.weights)

    def batches(self, data_ranks: int = 1) -> int:
        """Passes that make one step, on all data ranks together."""
        return self.step_samples // self.batch_samples(data_ranks)

    def batch_samples(self, data_ranks: int = 1) -> int:
        """Samples of one pass, on each of so many data ranks."""
        own = max(1, self.step_samples // data_ranks)
        return max(samples for samples in range(1, own + 1) if own % samples == 0 and samples <= self.samples_at_once)

    def steps(self, stage: AlignStage, samples: int) -> int:
        """Steps of a stage, by its own count or by its rounds through so many samples."""
        return stage.steps or max(1, round(stage.epochs * samples / self.step_samples))

    @property
    def learning(self) -> set[str]:
        """The parts that learn in any stage."""
        return {part for stage in self.stages for part in stage.train}

    def rates_of(self, stage: AlignStage) -> dict[str, float]:
        """The rate of each part that learns in a stage."""
        both = {**longva_rates(), **self.rates, **stage.rates}
        return {part: both[part] for part in stage.train}
