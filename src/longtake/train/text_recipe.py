"""train/text_recipe: what `longtake train text` can be told. Knows nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from longtake.train.language import Scaling, Shape


@dataclass(frozen=True)
class TextStage:
    """One step of the curriculum.

    Attributes:
        length: tokens of a row.
        share: of the recipe's tokens; the stages' shares need not add up to 1.
        steps: in place of a share, also where there is one.
        theta: base of the rotary positions; 0 keeps the model's.
        scaling: of the positions; see `language.Turning`.
        factor: of the scaling; 0 makes it this stage's context over the model's first.
        span: positions are spread over so many (PoSE); 0 counts them one by one.
        pieces: that a row is cut into for that.
        rate: in place of the recipe's; 0 keeps that.
    """

    length: int
    share: float = 0.0
    steps: int = 0
    theta: float = 0.0
    scaling: Scaling = "keep"
    factor: float = 0.0
    span: int = 0
    pieces: int = 2
    rate: float = 0.0

    def __post_init__(self) -> None:
        if self.length < 2:
            raise ValueError(f"length is {self.length}; want at least 2 tokens")
        if (not self.share and not self.steps) or self.share < 0 or self.steps < 0:
            raise ValueError(f"share is {self.share} and steps {self.steps}; want one of them")
        if self.span and self.span < self.length:
            raise ValueError(f"span is {self.span}, less than length {self.length}")
        if not 1 <= self.pieces <= self.length:
            raise ValueError(f"pieces is {self.pieces}; want 1 to length")
        if self.theta < 0 or self.factor < 0 or self.rate < 0 or 0 < self.factor < 1:
            raise ValueError("theta and rate are at least 0, factor is 0 or at least 1")

    @property
    def context(self) -> int:
        """How far its positions reach."""
        return max(self.length, self.span)


@dataclass(frozen=True)
class TextRecipe:
    """Train a language model on text.

    Attributes:
        data: files, folders, globs; `world` alone makes text about the drawn world.
        start: the folder to continue from; empty trains `model` from scratch.
        model: the size of a model from scratch.
        tokenizer: a tokenizer.json for a model from scratch; empty trains one on the data.
        vocabulary: tokens of a tokenizer that is trained.
        tokenizer_characters: so much of the data it is trained on.
        text_field: key or column that holds the text, in jsonl and parquet.
        held_out: share of the documents that is kept from training, to be examined with.
        held_out_rows: so many rows of the last stage's length are examined, at most.
        shuffle_buffer: documents that are held to be mixed.
        long_share: of each folder's text comes from long documents; 0 takes documents as they come. See `lengths`.
        long_characters: from how many on a document is long; 16,000 make about 4,096 tokens of English.
        apart: documents in one row do not see one another, and each counts its positions from 0.
        tokens: of the whole training, which the stages share.
        step_tokens: of one step.
        tokens_at_once: of one pass through the model; a longer row passes alone.
        optimiser: `adamw`, or `muon` for the matrices of the layers and AdamW for the rest.
        rate: of AdamW.
        matrix_rate: of Muon.
        decay: of the weights.
        schedule, warm_up_steps, hold: of each stage; see `schedule.Schedule`.
        precision: what autocast computes in.
        ring: ranks that read the same rows, each its positions; all others read other rows. Where several are started.
        attending: how the ranks of a ring attend together: keys go round (`ring`), or each takes some of the heads
            (`ulysses`, arXiv 2309.14509), for which there have to be as many.
        weights: how ranks hold them: `whole` on each; `sharded`, each a part (FSDP2); `aside`, each a part in the
            processor's memory; `auto` shards them where there are ranks, unless Muon wants them whole.
        recompute: keep only each layer's input for the way back, and compute the rest again: less memory, more time.
        dtype: of the numbers in the written folder; `keep` writes as they came, float32 from scratch.
        log_every, save_every: steps.
        seed: of first weights and order.
    """

    data: tuple[str, ...] = ("world",)
    start: str = ""
    model: Shape = Shape()
    tokenizer: str = ""
    vocabulary: int = 4096
    tokenizer_characters: int = 4_000_000
    text_field: str = "text"
    held_out: float = 0.01
    held_out_rows: int = 16
    shuffle_buffer: int = 1000
    long_share: float = 0.0
    long_characters: int = 16_000
    apart: bool = False
    tokens: int = 2_000_000
    step_tokens: int = 4096
    tokens_at_once: int = 4096
    optimiser: Literal["adamw", "muon"] = "adamw"
    rate: float = 1e-3
    matrix_rate: float = 1e-2
    decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warm_up_steps: int = 20
    hold: float = 0.2
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    ring: int = 1
    attending: Literal["ring", "ulysses"] = "ring"
    weights: Literal["auto", "whole", "sharded", "aside"] = "auto"
    recompute: bool = False
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    log_every: int = 10
    save_every: int = 50
    seed: int = 0
    stages: tuple[TextStage, ...] = (TextStage(length=512, share=1.0),)

    def __post_init__(self) -> None:
        if not self.data or not self.stages:
            raise ValueError("want data and at least one stage")
        if not 0 <= self.held_out < 1 or not 0 <= self.hold < 1:
            raise ValueError("held_out and hold are shares: at least 0, less than 1")
        counts = (self.tokens, self.step_tokens, self.tokens_at_once, self.log_every, self.save_every)
        if min(*counts, self.shuffle_buffer, self.vocabulary, self.tokenizer_characters) < 1:
            raise ValueError("counts of tokens, steps, documents and characters are at least 1")
        if not 0 <= self.long_share < 1 or self.long_characters < 1:
            raise ValueError("long_share is at least 0, less than 1; long_characters at least 1")
        if self.long_share and self.data == ("world",):
            raise ValueError("long_share is for files: what is drawn of the world has no long documents")
        if self.apart and any(stage.span for stage in self.stages):
            raise ValueError("apart counts each document's positions from 0, span spreads a row's; want one of them")
        if self.save_every % self.log_every:
            raise ValueError(f"save_every is {self.save_every}; want a multiple of log_every, {self.log_every}")
        if min(self.held_out_rows, self.seed, self.warm_up_steps) < 0 or min(self.rate, self.matrix_rate) < 0:
            raise ValueError("held_out_rows, seed, warm_up_steps and the rates are at least 0")
        self._check_ranks()
        if self.vocabulary < 257 and not self.tokenizer and not self.start:
            raise ValueError(f"vocabulary is {self.vocabulary}; want at least 257: every byte and the end of text")

    def _check_ranks(self) -> None:
        if self.ring < 1:
            raise ValueError(f"ring is {self.ring}; want at least 1")
        if self.optimiser == "muon" and self.weights in ("sharded", "aside"):
            raise ValueError(f'weights is {self.weights}, and Muon turns whole matrices; take optimiser = "adamw"')

    def rows_a_step(self, stage: TextStage) -> int:
        """Rows of one step, however they are read."""
        at_once = max(1, min(self.tokens_at_once, self.step_tokens) // stage.length)
        return at_once * max(1, self.step_tokens // (at_once * stage.length))

    def rows_at_once(self, stage: TextStage, *, data_ranks: int = 1, ring: int = 1) -> int:
        """Rows of one pass through the model, on each of `data_ranks` rings of `ring` ranks.

        Raises:
            ValueError: the rows of a step do not divide; `together.refuse_rows` says so to the user.
        """
        if self.rows_a_step(stage) % data_ranks:
            raise ValueError(f"{self.rows_a_step(stage)} rows of a step over {data_ranks} data ranks; want a multiple")
        most = max(1, ring * self.tokens_at_once // stage.length)
        own = self.rows_a_step(stage) // data_ranks
        return max(rows for rows in range(1, own + 1) if own % rows == 0 and rows <= most)

    def batches(self, stage: TextStage, *, data_ranks: int = 1, ring: int = 1) -> int:
        """Passes that make one step, on all data ranks together."""
        return self.rows_a_step(stage) // self.rows_at_once(stage, data_ranks=data_ranks, ring=ring)

    def steps(self, stage: TextStage) -> int:
        """Steps of a stage, by its own count or by its share of the tokens."""
        return stage.steps or max(1, round(stage.share * self.tokens / (self.rows_a_step(stage) * stage.length)))
