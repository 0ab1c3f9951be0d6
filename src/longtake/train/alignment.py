"""train/alignment: a recipe, a model and pictures in; the model that was aligned with them, with its figures, out.

    samples -> tiles -> tower -> projector -> layout -> the model's own prompt -> the loss of the answers

Images only: what is learned from a few tiles and pictures has to carry over to thousands of frames by itself (LongVA,
arXiv 2406.16852). The folder keeps the recipe, checkpoints and logs, as `train text` does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from longtake.checkpoint import CONFIG, TOKENIZER, WEIGHTS, bad_checkpoint, stored_in, stored_tensors
from longtake.errors import LongtakeError, writing
from longtake.loading import folder_of, load
from longtake.train.align_recipe import AlignRecipe
from longtake.train.corpus import bad_data, find_files
from longtake.train.drawn import draw_samples
from longtake.train.lessons import Lesson, Meter, Pace, finish, measured_once, plan, run_lessons, tell_plan
from longtake.train.llava import PAIR_ENDINGS, Sample, read_samples
from longtake.train.looking import Batch, Looker, Looking, Queue, examined
from longtake.train.loop import Optimisers, Stage
from longtake.train.recipes import keep_recipe
from longtake.train.schedule import Schedule, adam
from longtake.train.showing import Teller

SKIPPED = "skipped.jsonl"


def train_align(recipe: AlignRecipe, folder: Path, *, device: str, plan_only: bool, teller: Teller) -> dict[str, Any]:
    """Align a model with pictures, into `folder`/model, going on from what `folder` holds.

    Args:
        device: as `checkpoint.placement` takes it.
        plan_only: time a few steps, say what the training would take, and train nothing. Pictures of the world are
            drawn all the same.

    Returns:
        What was planned, or the summary of what was trained (summary.json).

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`, `model.not_found`, `model.bad_checkpoint`, `interrupted`,
            `disk.write`.
    """
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        files = _files(recipe, folder)
        if not plan_only:
            told = [[str(path), path.stat().st_size] for path in files]
            keep_recipe(folder, {"command": "align", **asdict(recipe), "files": told})
    skips = Skips(folder / SKIPPED if recipe.on_bad == "skip" and not plan_only else None)
    looker = Looker(
        load(recipe.model, device=device, dtype="float32"),
        recipe.tiles,
        recipe.most_images,
        half=recipe.precision == "bfloat16",
    )
    # What cannot be written is refused now, not after the training.
    stored_dtypes(folder_of(recipe.model), looker.parts)
    course = _Course(recipe, looker, skips, *_samples(recipe, files, skips))
    lessons = course.lessons()
    pace = Pace(recipe.log_every, recipe.save_every, recipe.seed)
    learning = {part for stage in recipe.stages for part in stage.train}
    parameters = {
        name: sum(p.numel() for p in part.parameters()) for name, part in looker.parts.items() if name in learning
    }
    planned = {"samples": len(course.training), **plan(lessons, parameters, pace, folder)}
    tell_plan(planned, teller)
    if plan_only:
        return planned
    before = measured_once(folder, course.measured)
    run_lessons(lessons, folder, pace, teller)
    with writing(str(folder)):
        write_parts(folder_of(recipe.model), folder / "model", looker.parts)
        held_out = {"before": before, "after": course.measured()}
        return finish(folder, lessons, {"held_out": held_out, "skipped": skips.count, "notes": skips.notes()})


@dataclass
class Skips:
    """What was left out, and why; kept in a file, so that a training which goes on counts nothing twice."""

    path: Path | None

    def __post_init__(self) -> None:
        kept = self.path.read_text(encoding="utf-8") if self.path and self.path.exists() else ""
        whole = kept[: kept.rfind("\n") + 1]
        if self.path and whole != kept:
            # A process that was killed may have left half a line; that sample will be met again.
            self.path.write_text(whole, encoding="utf-8")
        self._seen = {json.loads(line)["sample"] for line in whole.splitlines()}

    @property
    def count(self) -> int:
        """Samples left out."""
        return len(self._seen)

    def notes(self) -> list[str]:
        """What the summary says of it."""
        return [f"{self.count:,} samples were left out; {self.path} says which and why"] if self.count else []

    def hear(self, error: LongtakeError) -> None:
        """Count one sample."""
        if error.subject in self._seen:
            return
        self._seen.add(error.subject)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"sample": error.subject, "reason": error.reason}) + "\n")


def write_parts(source: Path, out: Path, parts: dict[str, nn.Module]) -> None:
    """Write a checkpoint folder like `source` with the weights of `parts`, in the numbers that it is stored in.

    Any family serves whose weights are named PART.TENSOR after these parts and hold nothing else.

    Raises:
        LongtakeError: `model.bad_checkpoint` for another family.
    """
    dtypes = stored_dtypes(source, parts)
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to(dtypes[name]) for name, tensor in stored_tensors(parts).items()}
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    for name in (CONFIG, TOKENIZER):
        shutil.copyfile(source / name, out / name)


def stored_dtypes(source: Path, parts: dict[str, nn.Module]) -> dict[str, torch.dtype]:
    """What numbers each tensor of the checkpoint `source` is stored in.

    Raises:
        LongtakeError: `model.bad_checkpoint` where these are not the tensors of `parts`.
    """
    dtypes = {name: tensor.dtype for name, tensor in stored_in(source).items()}
    if dtypes.keys() != stored_tensors(parts).keys():
        reason = "its tensors are not named after vision, projector and language"
        raise bad_checkpoint(source / WEIGHTS, reason, "such a family cannot be written yet")
    return dtypes


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

    def _lesson(self, number: int, exam: Batch) -> Lesson:
        recipe, stage, meter = self.recipe, self.recipe.stages[number], Meter()
        queue = Queue(self.training, self.looker, (recipe.seed, number + 1), self._skipped)
        module = nn.ModuleDict({part: self.looker.parts[part] for part in stage.train})
        rates = recipe.rates_of(stage)
        looking = Looking(
            name=f"align-{number + 1}",
            steps=recipe.steps(stage, len(self.training)),
            rates=Schedule(0.0, 1.0, recipe.warm_up_steps, recipe.hold, recipe.schedule),
            module=module,
            looker=self.looker,
            queue=queue,
            samples=recipe.batch_samples,
            heard=meter.add,
            exam=exam,
        )

        def seek(step: int) -> None:
            queue.next_place = step * recipe.batches * recipe.batch_samples

        told = {"train": " + ".join(f"{part} at {rate:g}" for part, rate in rates.items())}
        return Lesson(looking, recipe.batches, self._optimisers(rates), seek, told, meter)

    def _optimisers(self, rates: dict[str, float]) -> Callable[[Stage], Optimisers]:
        def make(stage: Stage) -> Optimisers:
            for name, part in self.looker.parts.items():
                part.requires_grad_(name in rates)
            trained = {name: self.looker.parts[name] for name in rates}
            return adam(trained, rates, decay=self.recipe.decay)

        return make
