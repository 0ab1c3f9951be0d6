"""train/dpo: a recipe, a model and preferences in; the model that learned to prefer, with its figures, out.

    rows -> what the model gives both answers, once -> the same while it learns -> the loss of preferring

The folder keeps the recipe, what the untrained model said, checkpoints and logs, as `train align` does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.families import Model
from longtake.identity import told_sha256
from longtake.loading import folder_of, load
from longtake.train.beside import held, spread_of, told_of, whole_parts
from longtake.train.corpus import bad_data, find_files
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.drawn_pairs import draw_pairs
from longtake.train.learners import Learners
from longtake.train.lessons import Lesson, Meter, Pace, finish, measured_once, plan, run_lessons, tell_plan
from longtake.train.looking import Looker
from longtake.train.preferences import PAIR_ENDINGS, Preference, read_preferences
from longtake.train.preferring import Deck, Holding, Preferring, Reference, Tally, read_pair
from longtake.train.recipes import bad_recipe, keep_recipe
from longtake.train.reference import KEPT, References, compute, given
from longtake.train.schedule import Schedule
from longtake.train.showing import Teller, stop_between_steps
from longtake.train.skips import SKIPPED, Skips
from longtake.train.spread import Spread
from longtake.train.writing import refuse_unwritable, write_parts

STAGE = "dpo"
TIMED_PAIRS = 8
"""With so many the plan is timed."""


def train_dpo(recipe: DpoRecipe, folder: Path, *, device: str, plan_only: bool, teller: Teller) -> dict[str, Any]:
    """Teach a model what is preferred, into `folder`/model, going on from what `folder` holds.

    Alone, or as one of the ranks that torchrun started, all of which call it; the leading one writes and speaks.

    Args:
        device: as `checkpoint.placement` takes it.
        plan_only: time a few steps, say what the training would take, and train nothing. Films of the world are drawn
            all the same.

    Returns:
        What was planned, or the summary of what was trained (summary.json).

    Raises:
        LongtakeError: `usage.bad_option`, `data.bad`, `model.not_found`, `model.bad_checkpoint`, `model.nonfinite`,
            `environment.missing`, `interrupted`, `disk.write`, `ranks.lost`.
    """
    with spread_of(recipe, "step_pairs", folder, device) as (spread, own_device):
        training = _Training(recipe, folder, spread, teller if spread.leads else Teller(quiet=True))
        return training.run(own_device, plan_only=plan_only)


@dataclass(frozen=True)
class _Training:
    """One run of a recipe, as each rank has it."""

    recipe: DpoRecipe
    folder: Path
    spread: Spread
    teller: Teller

    def run(self, device: str, *, plan_only: bool) -> dict[str, Any]:
        """See `train_dpo`."""
        recipe, folder, teller = self.recipe, self.folder, self.teller
        files = self.spread.led(lambda: self._files(keep=not plan_only))
        skips = Skips(folder / SKIPPED if recipe.on_bad == "skip" and not plan_only else None, self.spread)
        course = self._course(device, skips)
        training, held_out = course.split(files)
        pace = Pace(recipe.log_every, recipe.save_every, recipe.seed)
        planned = course.planned(training, held_out, pace, folder)
        tell_plan(planned, teller)
        if plan_only:
            return planned
        training, held_out = course.referred(training, held_out, folder, teller)
        lesson, spread = course.lesson(training, held_out, course.references.of), course.looker.spread
        before = measured_once(folder, lesson.examined, spread)
        run_lessons([lesson], folder, pace, teller)
        course.learners.merge()
        figures = {"before": before or None, "after": lesson.examined() or None}
        skips.share()
        pairs = {"training": len(training), "held_out": len(held_out)}
        more = {"pairs": pairs, "held_out": figures, "skipped": skips.count, "notes": skips.notes()}
        whole = whole_parts(course.looker.parts, recipe.train, spread)
        return spread.led(lambda: self._finish(whole, lesson, more))

    def _files(self, *, keep: bool) -> tuple[Path, ...]:
        with writing(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            files = _files(self.recipe, self.folder)
            if keep:
                told = [[str(path), path.stat().st_size] for path in files]
                keep_recipe(self.folder, {"command": "dpo", **told_of(self.recipe), "files": told})
        return files

    def _course(self, device: str, skips: Skips) -> _Course:
        recipe = self.recipe
        model = _sampling(load(recipe.model, device=device, dtype="float32"), recipe.frames)
        looker = Looker(model, tiles=1, most_images=1, half=recipe.precision == "bfloat16")
        # What cannot be written is refused now, not after the training.
        refuse_unwritable(folder_of(recipe.model), looker.parts, recipe.train)
        references = self._references(_named(model, recipe))
        learners = Learners.of(looker.parts, recipe.lora, seed=recipe.seed)
        looker = replace(looker, spread=held(looker.parts, recipe.train, recipe, self.spread))
        most = min(recipe.most_tokens, model.engine.trained_context)
        return _Course(
            recipe, looker, learners, references, skips, Holding(partial(read_pair, model, most_tokens=most))
        )

    def _references(self, model: str) -> References:
        """What is kept of a model; all ranks have the same, or they would not share out the same pairs."""
        kept = Path(self.recipe.reference) if self.recipe.reference else self.folder / KEPT

        def mend() -> None:
            References(kept, model)

        # What a process that was killed has left is mended by one rank, before the others read it.
        self.spread.led(mend)
        return References(kept, model, self.spread.leads)

    def _finish(self, whole: dict[str, nn.Module], lesson: Lesson, more: dict[str, Any]) -> dict[str, Any]:
        folder = self.folder
        with writing(str(folder)):
            write_parts(folder_of(self.recipe.model), folder / "model", whole, self.recipe.train)
            return finish(folder, [lesson], more)


@dataclass(frozen=True)
class _Lesson(Lesson):
    """A lesson of which held-out figures can be asked."""

    def examined(self) -> dict[str, float]:
        """See `Preferring.examined`."""
        stage: Any = self.stage
        figures: dict[str, float] = stage.examined()
        return figures


@dataclass(frozen=True)
class _Course:
    """What a recipe makes of a model and pairs."""

    recipe: DpoRecipe
    looker: Looker
    learners: Learners
    references: References
    skips: Skips
    read: Holding

    def split(self, files: tuple[Path, ...]) -> tuple[list[Preference], list[Preference]]:
        """The pairs to train on, and those held out."""
        training: list[Preference] = []
        held_out: list[Preference] = []
        for path in files:
            for found in read_preferences(path, Path(self.recipe.media) if self.recipe.media else path.parent):
                if isinstance(found, Preference):
                    (held_out if found.held_out(self.recipe.held_out) else training).append(found)
                else:
                    self._leave_out(found)
        self._refuse_none(training)
        return training, held_out[: self.recipe.held_out_pairs]

    def lesson(
        self, training: list[Preference], held_out: list[Preference], reference: Reference, *, of: int | None = None
    ) -> _Lesson:
        """The one stage; `of`: its steps are counted as if there were so many pairs."""
        recipe, meter, tally, spread = self.recipe, Meter(), Tally(), self.looker.spread
        at_once, batches = recipe.batch_pairs(spread.data_ranks), recipe.batches(spread.data_ranks)
        first_batch = spread.own(batches).start
        deck, rates = Deck(training, self.read, (recipe.seed,)), recipe.rates_told
        stage = Preferring(
            name=STAGE,
            steps=recipe.steps_of(of or len(training)),
            rates=Schedule(0.0, 1.0, recipe.warm_up_steps, recipe.hold, recipe.schedule),
            module=self.learners.module(recipe.train),
            looker=self.looker,
            deck=deck,
            pairs=at_once,
            reference=reference,
            beta=recipe.beta,
            label_smoothing=recipe.label_smoothing,
            chosen_weight=recipe.chosen_weight,
            heard=meter.add,
            tally=tally,
            exam=held_out,
        )

        def seek(step: int) -> None:
            deck.next_place = (step * batches + first_batch) * at_once

        told = {"train": " + ".join(f"{part} at {rate:g}" for part, rate in rates.items()), "beta": recipe.beta}
        optimisers = self.learners.optimisers(rates, decay=recipe.decay)

        def noted() -> dict[str, float]:
            return tally.share(spread).take()

        return _Lesson(stage, batches, optimisers, seek, told, meter, spread, noted)

    def planned(
        self, training: list[Preference], held_out: list[Preference], pace: Pace, folder: Path
    ) -> dict[str, Any]:
        """What it takes: the reference first, then the stage, timed as if each answer had been as likely as any."""
        lacking = self.references.lacking([*training, *held_out])
        some = self._some(training)
        pair_s, tokens = self._timed(some) if lacking else (0.0, 0)
        reference = {
            "name": "reference",
            "by": "the model as it is",
            "steps": len(training) + len(held_out),
            "done_steps": len(training) + len(held_out) - len(lacking),
            "seconds_a_step": round(pair_s, 3),
            "tokens_a_step": tokens,
            "seconds": round(pair_s * len(lacking), 1),
        }
        lesson = self.lesson(some, held_out, lambda preference: (0.0, 0.0), of=len(training))
        found = plan([lesson], self.learners.counted(self.recipe.train), pace, folder)
        seconds = round(reference["seconds"] + found["seconds"], 1)
        return {"pairs": len(training), **found, "stages": [reference, *found["stages"]], "seconds": seconds}

    def referred(
        self, training: list[Preference], held_out: list[Preference], folder: Path, teller: Teller
    ) -> tuple[list[Preference], list[Preference]]:
        """The same pairs, with what the untrained model gives each of them kept; without those that cannot be read.

        Raises:
            LongtakeError: `data.bad`; `interrupted` after Ctrl-C.
        """
        lacking = self.references.lacking([*training, *held_out])
        done = 0
        with stop_between_steps() as stop, teller.stage("reference", len(lacking), stop) as hear:

            def heard(error: LongtakeError | None) -> bool:
                nonlocal done
                done += 1
                if error is not None:
                    self._leave_out(error)
                return hear(done, None)

            if not compute(self.looker, self.references, lacking, read=self.read, heard=heard):
                reason, advice = f"stopped by Ctrl-C after {done:,} pairs", "the same command goes on from there"
                raise LongtakeError(ErrorCode.INTERRUPTED, str(folder), reason, advice)
        left = {one.key for one in self.references.lacking([*training, *held_out])}
        training, held_out = ([one for one in some if one.key not in left] for some in (training, held_out))
        self._refuse_none(training)
        return training, held_out

    def _some(self, training: list[Preference]) -> list[Preference]:
        """Some that can be read, to be timed with; nobody has looked at all of them yet."""
        some: list[Preference] = []
        for preference in training:
            try:
                self.read(preference)
            except LongtakeError as error:
                self._leave_out(error)
                continue
            some.append(preference)
            if len(some) == TIMED_PAIRS:
                break
        self._refuse_none(some)
        return some

    def _timed(self, some: list[Preference]) -> tuple[float, int]:
        """Seconds and tokens of a pair of the reference, without what a first one takes."""
        spent, tokens = [], []
        for preference in some:
            started_s = time.perf_counter()
            pair = self.read.read(preference)
            given(self.looker, pair)
            spent.append(time.perf_counter() - started_s)
            tokens.append(2 * pair.tokens)
        return sum(spent[1:] or spent) / len(spent[1:] or spent), round(sum(tokens) / len(tokens))

    def _leave_out(self, error: LongtakeError) -> None:
        if self.recipe.on_bad == "error":
            raise error
        self.skips.hear(error)

    def _refuse_none(self, training: list[Preference]) -> None:
        if not training:
            raise bad_data(self.recipe.data[0], "no pair to train on", "give more pairs, or hold out less")


def _files(recipe: DpoRecipe, folder: Path) -> tuple[Path, ...]:
    if recipe.data == ("world",):
        return (draw_pairs(folder / f"world-{recipe.world_pairs}-{recipe.seed}", recipe.world_pairs, seed=recipe.seed),)
    return find_files(recipe.data, PAIR_ENDINGS)


def _sampling(model: Model, frames: int) -> Model:
    """The model with its own sampler, taking so many frames."""
    if not frames:
        return model
    sampler: Any = model.sampler
    if "frames" not in parts.options(sampler):
        reason = f"the sampler of {model.name} takes no number of frames"
        raise bad_recipe("frames", reason, "leave it at 0")
    return replace(model, sampler=replace(sampler, frames=frames))


def _named(model: Model, recipe: DpoRecipe) -> str:
    """What tells this model, as it sees and computes here, from all others."""
    assert model.origin is not None
    told: Mapping[str, Any] = {
        "weights": model.origin.sha256,
        "sampler": parts.told(model.sampler, "samplers"),
        "layouts": [parts.told(layout, "layouts") for layout in (model.layout, model.image_layout)],
        "precision": recipe.precision,
    }
    return told_sha256(dict(told))[:32]
