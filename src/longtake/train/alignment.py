"""train/alignment: a recipe, a model and pictures in; the model that was aligned with them, with its figures, out.

    samples -> tiles -> tower -> projector -> layout -> the model's own prompt -> the loss of the answers

Images only: what is learned from a few tiles and pictures has to carry over to thousands of frames by itself (LongVA,
arXiv 2406.16852). The folder keeps the recipe, checkpoints and logs, as `train text` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from longtake.errors import LongtakeError, writing
from longtake.loading import folder_of, load
from longtake.train.align_recipe import AlignRecipe
from longtake.train.beside import held, spread_of, told_of, whole_parts
from longtake.train.corpus import bad_data, find_files
from longtake.train.drawn import draw_samples
from longtake.train.learners import Learners
from longtake.train.lessons import Lesson, Meter, Pace, finish, measured_once, plan, run_lessons, tell_plan
from longtake.train.llava import PAIR_ENDINGS, Sample, read_samples
from longtake.train.looking import Batch, Looker, Looking, Queue, examined
from longtake.train.order import Grouped
from longtake.train.recipes import keep_recipe
from longtake.train.schedule import Schedule
from longtake.train.seeing import AsAsked
from longtake.train.showing import Teller
from longtake.train.skips import SKIPPED, Skips
from longtake.train.spread import Spread
from longtake.train.writing import refuse_unwritable, write_parts


def train_align(recipe: AlignRecipe, folder: Path, *, device: str, plan_only: bool, teller: Teller) -> dict[str, Any]:
    """Align a model with pictures, into `folder`/model, going on from what `folder` holds.

    Alone, or as one of the ranks that torchrun started, all of which call it; the leading one writes and speaks.

    Args:
        device: as `checkpoint.placement` takes it.
        plan_only: time a few steps, say what the training would take, and train nothing. Pictures of the world are
            drawn all the same.

    Returns:
        What was planned, or the summary of what was trained (summary.json).

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`, `model.not_found`, `model.bad_checkpoint`, `interrupted`,
            `disk.write`, `ranks.lost` if another rank has ended.
    """
    with spread_of(recipe, "step_samples", folder, device) as (spread, own_device):
        training = _Training(recipe, folder, spread, teller if spread.leads else Teller(quiet=True))
        return training.run(own_device, plan_only=plan_only)


@dataclass(frozen=True)
class _Training:
    """One run of a recipe, as each rank has it."""

    recipe: AlignRecipe
    folder: Path
    spread: Spread
    teller: Teller

    def run(self, device: str, *, plan_only: bool) -> dict[str, Any]:
        """See `train_align`."""
        recipe, folder = self.recipe, self.folder
        files = self.spread.led(lambda: self._files(keep=not plan_only))
        skips = Skips(folder / SKIPPED if recipe.on_bad == "skip" and not plan_only else None, self.spread)
        course = self._course(device, files, skips)
        lessons = course.lessons()
        pace = Pace(recipe.log_every, recipe.save_every, recipe.seed)
        counted = course.learners.counted(recipe.learning)
        planned = {"samples": len(course.training), **plan(lessons, counted, pace, folder)}
        tell_plan(planned, self.teller)
        if plan_only:
            return planned
        spread = course.looker.spread
        before = measured_once(folder, course.measured, spread)
        run_lessons(lessons, folder, pace, self.teller)
        course.learners.merge()
        held_out = {"before": before, "after": course.measured()}
        skips.share()
        whole = whole_parts(course.looker.parts, recipe.learning, spread)
        return spread.led(lambda: self._finish(whole, lessons, skips, held_out))

    def _files(self, *, keep: bool) -> tuple[Path, ...]:
        with writing(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            files = _files(self.recipe, self.folder)
            if keep:
                told = [[str(path), path.stat().st_size] for path in files]
                keep_recipe(self.folder, {"command": "align", **told_of(self.recipe), "files": told})
        return files

    def _course(self, device: str, files: tuple[Path, ...], skips: Skips) -> _Course:
        recipe = self.recipe
        looker = (AsAsked if recipe.pictures_as == "asked" else Looker)(
            load(recipe.model, device=device, dtype="float32"),
            recipe.tiles,
            recipe.most_images,
            half=recipe.precision == "bfloat16",
        )
        # What cannot be written is refused now, not after the training.
        refuse_unwritable(folder_of(recipe.model), looker.parts, recipe.learning)
        learners = Learners.of(looker.parts, recipe.lora, seed=recipe.seed)
        looker = replace(looker, spread=held(looker.parts, recipe.learning, recipe, self.spread))
        return _Course(recipe, looker, learners, skips, *_samples(recipe, files, skips))

    def _finish(
        self, whole: dict[str, nn.Module], lessons: list[Lesson], skips: Skips, held_out: dict[str, Any]
    ) -> dict[str, Any]:
        folder = self.folder
        with writing(str(folder)):
            write_parts(folder_of(self.recipe.model), folder / "model", whole, self.recipe.learning)
            return finish(folder, lessons, {"held_out": held_out, "skipped": skips.count, "notes": skips.notes()})


def _files(recipe: AlignRecipe, folder: Path) -> tuple[Path, ...]:
    if recipe.data == ("world",):
        # A folder for each choice: pictures that were drawn for another plan are not trained on.
        world = folder / f"world-{recipe.world_samples}x{recipe.most_images}-{recipe.seed}"
        return (draw_samples(world, recipe.world_samples, most_images=recipe.most_images, seed=recipe.seed),)
    return find_files(recipe.data, PAIR_ENDINGS)


def _samples(recipe: AlignRecipe, files: tuple[Path, ...], skips: Skips) -> tuple[list[Sample], list[Sample]]:
    """Those to train on, and those held out."""
    training: list[Sample] = []
    held_out: list[Sample] = []
    for path in files:
        folder = Path(recipe.pictures) if recipe.pictures else path.parent
        for sample in read_samples(path, folder, most_images=recipe.most_images):
            if isinstance(sample, Sample):
                (held_out if sample.held_out(recipe.held_out) else training).append(sample)
            elif recipe.on_bad == "error":
                raise sample
            else:
                skips.hear(sample)
    if not training:
        raise bad_data(str(files[0]), "no sample to train on", "give more samples, or hold out less")
    return training, held_out[: recipe.held_out_samples]


@dataclass(frozen=True)
class _Course:
    """The stages of a recipe, made into lessons over one model."""

    recipe: AlignRecipe
    looker: Looker
    learners: Learners
    skips: Skips
    training: list[Sample]
    held_out: list[Sample]

    def lessons(self) -> list[Lesson]:
        """In order; each trains some parts and leaves the others as they are."""
        exam = self._exam()
        return [self._lesson(number, exam) for number in range(len(self.recipe.stages))]

    def measured(self) -> dict[str, float] | None:
        """The loss of held-out answers; None where nothing was held out."""
        exam = self._exam()
        return {"loss": round(examined(self.looker, exam), 4)} if exam else None

    @property
    def _skipped(self) -> Callable[[LongtakeError], None] | None:
        return self.skips.hear if self.recipe.on_bad == "skip" else None

    def _exam(self) -> Batch:
        queue = Queue(self.held_out, self.looker, (self.recipe.seed,), self._skipped)
        return queue.take(len(self.held_out)) if self.held_out else []

    def _queue(self, seed: tuple[int, ...]) -> Queue:
        recipe = self.recipe
        likeness = [one.likeness for one in self.training]
        order = Grouped(likeness, recipe.batch_samples(), seed) if recipe.grouped else None
        most = recipe.most_tokens
        return Queue(self.training, self.looker, seed, self._skipped, most_tokens=most, order=order)

    def _lesson(self, number: int, exam: Batch) -> Lesson:
        recipe, stage, meter = self.recipe, self.recipe.stages[number], Meter()
        spread = self.looker.spread
        at_once, batches = recipe.batch_samples(spread.data_ranks), recipe.batches(spread.data_ranks)
        first_batch = spread.own(batches).start
        queue = self._queue((recipe.seed, number + 1))
        module = self.learners.module(stage.train)
        rates = recipe.rates_of(stage)
        looking = Looking(
            name=f"align-{number + 1}",
            steps=recipe.steps(stage, len(self.training)),
            rates=Schedule(0.0, 1.0, recipe.warm_up_steps, recipe.hold, recipe.schedule),
            module=module,
            looker=self.looker,
            queue=queue,
            samples=at_once,
            heard=meter.add,
            exam=exam,
        )

        def seek(step: int) -> None:
            queue.next_place = (step * batches + first_batch) * at_once

        told = {"train": " + ".join(f"{part} at {rate:g}" for part, rate in rates.items())}
        optimisers = self.learners.optimisers(rates, decay=recipe.decay)
        return Lesson(looking, batches, optimisers, seek, told, meter, spread, self._noted)

    def _noted(self) -> dict[str, float]:
        """Nothing more for the log; but before a checkpoint is kept, what was left out is."""
        self.skips.share()
        return {}
