"""train/text: a recipe and text in; a language model that was trained on it, with its figures, out.

    documents -> packer -> rows of one length -> stage 1 -> stage 2 (longer, turned otherwise) -> ... -> model folder

The folder keeps the recipe, a checkpoint and a log of each stage, and what was measured. A training that was stopped,
in whatever way, goes on there and ends with the very weights it would have had (on a processor, with as many threads).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtake.checkpoint import DTYPES, TOKENIZER, placement
from longtake.costs.learning import attention_of
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.parallel.attending import RING, ULYSSES
from longtake.parallel.joining import joined
from longtake.prompt import HubTokenizer
from longtake.train.corpus import Corpus, Source, find_files
from longtake.train.language import Start, Turning, from_folder, from_scratch, train_tokenizer, turned
from longtake.train.lengths import MoreLong
from longtake.train.lessons import Lesson, Meter, Pace, finish, measured_once, plan, run_lessons, tell_plan
from longtake.train.loop import Optimisers, Stage
from longtake.train.packing import Packer, Rows
from longtake.train.reading_on import ReadingOn, by_position
from longtake.train.recipes import keep_recipe
from longtake.train.recomputing import recompute
from longtake.train.schedule import Schedule, adam, muon
from longtake.train.sharding import sharded, whole_language
from longtake.train.showing import Teller
from longtake.train.spread import Spread, heard, hold_of, spread_over
from longtake.train.text_recipe import TextRecipe, TextStage
from longtake.train.together import refuse_attention, refuse_rows
from longtake.train.worldly import World

OF_RANKS = ("ring", "attending", "weights")
"""Keys of a recipe that say how ranks work together; a training may go on over others."""
ATTENDING = {"ring": RING, "ulysses": ULYSSES}


def train_text(recipe: TextRecipe, folder: Path, *, device: str, plan_only: bool, teller: Teller) -> dict[str, Any]:
    """Train a language model into `folder`/model, going on from what `folder` holds.

    Alone, or as one of the ranks that torchrun started, all of which call it; the leading one writes and speaks.

    Args:
        device: as `checkpoint.placement` takes it.
        plan_only: time a few steps, say what the training would take, and write nothing.

    Returns:
        What was planned, or the summary of what was trained (summary.json).

    Raises:
        LongtakeError: `usage.bad_option` for data that is not there or a folder of another training, `data.bad`,
            `model.bad_checkpoint`, `interrupted` after Ctrl-C, `disk.write`, `ranks.lost` if another rank has ended.
    """
    with joined(placement(device, "float32").device) as ranks:
        hold = hold_of(recipe.weights, ranks, whole=recipe.optimiser == "muon")
        spread = spread_over(ranks, ring=recipe.ring, hold=hold)
        spread = replace(spread, attending=ATTENDING[recipe.attending])
        refuse_rows(recipe, ranks=ranks.size, ring=recipe.ring, together=recipe.attending)
        training = _Training(recipe, folder, _source(recipe), spread, teller if ranks.leads else Teller(quiet=True))
        with heard(spread, str(folder)):
            return training.run(plan_only=plan_only)


@dataclass(frozen=True)
class _Training:
    """One run of a recipe, as each rank has it."""

    recipe: TextRecipe
    folder: Path
    source: Source
    spread: Spread
    teller: Teller

    def run(self, *, plan_only: bool) -> dict[str, Any]:
        """See `train_text`."""
        recipe, folder, teller = self.recipe, self.folder, self.teller
        start = self._start()
        refuse_attention(attention_of(start.language.config), ring=self.spread.ring.size, together=recipe.attending)
        if not plan_only:
            self.spread.led(lambda: self._keep(start))
        parameters = _parameters(start.language)
        course = _course(recipe, start, self.source, self.spread)
        lessons, spread = course.lessons(), course.spread
        pace = Pace(recipe.log_every, recipe.save_every, recipe.seed)
        planned = {"start": start.kind, **plan(lessons, parameters, pace, folder)}
        tell_plan(planned, teller)
        if plan_only:
            return planned
        last: Any = lessons[-1].stage
        # With positions turned as they came.
        before = measured_once(folder, lambda: _measured(start.language, last), spread)
        run_lessons(lessons, folder, pace, teller)
        held_out = {"before": before, "after": _measured(last.module, last)}
        whole = whole_language(last.module, spread)
        return spread.led(lambda: self._finish(start, whole, lessons, held_out))

    def _start(self) -> Start:
        recipe, device = self.recipe, self.spread.ranks.device
        if recipe.start:
            if not Path(recipe.start).is_dir():
                advice = "give the folder of a language model or of a nano"
                raise LongtakeError(ErrorCode.MODEL_NOT_FOUND, recipe.start, "is no folder", advice)
            return from_folder(Path(recipe.start), device)
        tokenizer = self.spread.led(self._tokenizer)
        return from_scratch(recipe.model, tokenizer, _turning(recipe.stages[0]), seed=recipe.seed, device=device)

    def _tokenizer(self) -> HubTokenizer:
        recipe = self.recipe
        kept = Path(recipe.tokenizer) if recipe.tokenizer else self.folder / TOKENIZER
        if recipe.tokenizer or kept.is_file():
            return HubTokenizer.from_file(kept)
        documents = self.source.training([recipe.seed])
        return train_tokenizer(documents, vocabulary=recipe.vocabulary, characters=recipe.tokenizer_characters)

    def _keep(self, start: Start) -> None:
        told = {key: value for key, value in asdict(self.recipe).items() if key not in OF_RANKS}
        with writing(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            keep_recipe(self.folder, {"command": "text", **told, **self.source.told()})
            _keep_tokenizer(start, self.folder / TOKENIZER)

    def _finish(self, start: Start, whole: Any, lessons: list[Lesson], held_out: dict[str, Any]) -> dict[str, Any]:
        recipe, folder = self.recipe, self.folder
        with writing(str(folder)):
            dtype = None if recipe.dtype == "keep" else DTYPES[recipe.dtype]
            start.write(folder / "model", whole, dtype, max(stage.context for stage in recipe.stages))
            return finish(folder, lessons, {"held_out": held_out})


def _source(recipe: TextRecipe) -> Source:
    if recipe.data == ("world",):
        return World()
    corpus = Corpus(find_files(recipe.data), recipe.text_field, recipe.held_out, recipe.shuffle_buffer)
    return MoreLong(corpus, recipe.long_characters, recipe.long_share) if recipe.long_share else corpus


def _keep_tokenizer(start: Start, path: Path) -> None:
    """Whole or not at all: whoever goes on takes it from here."""
    partial = path.with_name(f"{path.name}.partial")
    start.tokenizer.save(partial)
    partial.replace(path)


def _turning(stage: TextStage) -> Turning:
    return Turning(stage.theta, stage.scaling, stage.factor, stage.context)


def _course(recipe: TextRecipe, start: Start, source: Source, spread: Spread) -> _Course:
    """The stages' models share one set of parameters, held as `spread` says."""
    languages = [start.language]
    for stage in recipe.stages:
        languages.append(turned(languages[-1], _turning(stage), first_context=start.context))
    if recipe.recompute:
        for language in languages:
            recompute(language)
    spread = sharded(languages, spread, half=recipe.precision == "bfloat16")
    return _Course(recipe, start, source, spread, tuple(languages[1:]))


@dataclass(frozen=True)
class _Course:
    """The stages of a recipe, made into lessons; each turns positions in its own way.

    Attributes:
        languages: of each stage.
    """

    recipe: TextRecipe
    start: Start
    source: Source
    spread: Spread
    languages: tuple[nn.Module, ...]

    def lessons(self) -> list[Lesson]:
        """In order."""
        lessons = []
        exam_NL = self._exam()
        for number, stage in enumerate(self.recipe.stages, 1):
            meter = Meter()
            rows = Rows(self._stream([self.recipe.seed, number], stage.length), meter.add)
            lessons.append(self._lesson(stage, self._reading(number, rows=rows, exam_NL=exam_NL), meter))
        return lessons

    @property
    def _ranks(self) -> dict[str, int]:
        return {"data_ranks": self.spread.data_ranks, "ring": self.spread.ring.size}

    @property
    def _packer(self) -> Packer:
        return Packer(self.start.tokenizer, self.start.end_id)

    def _exam(self) -> torch.Tensor:
        """(N, L) held-out rows, as long as those of the last stage."""
        length = self.recipe.stages[-1].length
        rows = list(islice(self._packer.rows(self.source.held_out(), length), self.recipe.held_out_rows))
        return torch.tensor(rows) if rows else torch.zeros(0, length, dtype=torch.int64)

    def _stream(self, seed: Sequence[int], length: int) -> Callable[[], Iterator[list[int]]]:
        return lambda: self._packer.rows(self.source.training(seed), length)

    def _reading(self, number: int, *, rows: Rows, exam_NL: torch.Tensor) -> ReadingOn:
        recipe, stage = self.recipe, self.recipe.stages[number - 1]
        rate = stage.rate or recipe.rate
        matrix_rate = recipe.matrix_rate * (rate / recipe.rate if recipe.rate else 1.0)
        return ReadingOn(
            name=f"text-{number}",
            steps=recipe.steps(stage),
            rates=Schedule(matrix_rate, rate, recipe.warm_up_steps, recipe.hold, recipe.schedule),
            module=self.languages[number - 1],
            rows=rows,
            rows_at_once=recipe.rows_at_once(stage, **self._ranks),
            rows_a_step=recipe.rows_a_step(stage),
            seed=recipe.seed,
            spread=self.spread,
            span=stage.span,
            pieces=stage.pieces,
            half=recipe.precision == "bfloat16",
            exam_NL=exam_NL,
            end_id=self.start.end_id if recipe.apart else None,
        )

    def _lesson(self, stage: TextStage, reading: ReadingOn, meter: Meter) -> Lesson:
        batches = self.recipe.batches(stage, **self._ranks)
        first_batch = self.spread.own(batches).start
        rope = reading.module.config.rope_parameters
        told = {"length": stage.length, "span": stage.span, "theta": rope["rope_theta"], "scaling": rope["rope_type"]}

        def seek(step: int) -> None:
            reading.rows.seek((step * batches + first_batch) * reading.rows_at_once)

        return Lesson(reading, batches, self._optimisers(reading.rates), seek, told, meter, self.spread)

    def _optimisers(self, rates: Schedule) -> Callable[[Stage], Optimisers]:
        if self.recipe.optimiser == "muon":
            return muon(decay=self.recipe.decay)
        return lambda stage: adam({"all": stage.module}, {"all": rates.others}, decay=self.recipe.decay)


def _parameters(language: Any) -> dict[str, int]:
    """How many parameters are trained, by part; tied ones are counted once."""
    embeddings = language.get_input_embeddings().weight
    head = language.lm_head.weight
    everything = sum(p.numel() for p in language.parameters())
    untied = 0 if head is embeddings else head.numel()
    parts = {"embeddings": embeddings.numel(), "layers": everything - embeddings.numel() - untied, "head": untied}
    return {name: count for name, count in parts.items() if count}


def _measured(language: nn.Module, stage: ReadingOn) -> dict[str, Any] | None:
    """Loss of the held-out rows, also by position; None where nothing was held out."""
    if not len(stage.exam_NL):
        return None
    losses_NL = stage.examined(language)
    return {"loss": round(float(losses_NL.nanmean()), 4), "by_position": by_position(losses_NL)}
