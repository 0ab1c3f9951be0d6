"""cli/planning: the command that tells what another would take: plan; and what ask heeds of it. Loads no weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtake.cli.asking import Choice, Drawing, swapped
from longtake.cli.looking import open_looked_at
from longtake.cli.means import Absent, Means
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say_json
from longtake.cli.plan_told import GIB, Told, print_plan, threads_of
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.costs import Cost
    from longtake.costs.counting import Counter
    from longtake.costs.fitting import Case
    from longtake.costs.machine import Room
    from longtake.engines import GenerateOptions
    from longtake.families import Model
    from longtake.methods import Query
    from longtake.video import Video


LEFT_OUT = "not counted: what a store may already have of the files, and what finding the evidence takes"


def plan_and_print(files: Sequence[Looked], choice: Choice, *, wish: Wish, show: Show) -> None:
    """`longtake plan`; a file without a name is a video that is not at hand."""
    from longtake.costs.rehearsing import Unrehearsed

    means = Means(choice.fit, choice.device_memory)
    wanted = _wanted(means, files[0])
    videos: list[Video]
    with ExitStack() as opened:
        if files[0].path:
            with bars(wanted=show.talks) as progress:
                videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        else:
            videos = [wish.absent.video()]
        counter, model, notes = _outlined(files[0], videos, choice)
        if not counter.outline.apart:
            counter, more = measured(counter, anew=wish.calibrate, show=show)
            notes += more
        elif wish.calibrate or (wanted and wanted[0] == "time"):
            reason, advice = "only processors are measured", "plan for --device cpu, or for memory"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--device {choice.device}", reason, advice)
        else:
            notes += ("seconds are not told: only processors are measured",)
        if not files[0].path and not counter.outline.apart:
            notes += ("reading is not in the seconds: the video is not at hand",)
        notes += (LEFT_OUT,)
        case = _case(videos, wish.question, wish.drawing.options())
        room = means.room(device=choice.device, apart=counter.outline.apart)
        try:
            if wanted:
                model, note = _filled(counter, case, model, wanted)
                notes += (note,)
            most = _most(counter, case, model, None if room is None else room.bytes)
            told = Told(counter, case, model, case.cost(counter, model), room, most, notes)
        except Unrehearsed as error:
            raise _no_plan(choice.model, error) from error
    if show.as_json:
        say_json(told.as_dict())
    else:
        print_plan(told)


@dataclass(frozen=True)
class Wish:
    """What `plan` is to tell of, besides files.

    Attributes:
        question: None: it is not known yet.
        drawing: of the answer.
        absent: a video that is not at hand.
        calibrate: measure the machine anew.
    """

    question: str | None
    drawing: Drawing
    absent: Absent
    calibrate: bool


@dataclass(frozen=True)
class Fitted:
    """What planning ahead of an answer came to: the number of frames to take, and what the answer should say of it."""

    frames: int | None = None
    notes: tuple[str, ...] = ()

    def of(self, model: Model) -> Model:
        """The model looking at as many frames."""
        if self.frames is None:
            return model
        from longtake.costs.fitting import with_frames

        return with_frames(model, self.frames)

    def noted(self, answer: Answer) -> Answer:
        """The answer, saying so."""
        notes, asides = (*answer.notes, *self.notes), (*answer.asides, *self.notes)
        return dataclasses.replace(answer, notes=notes, asides=asides)


def fitted(looked: Looked, videos: Sequence[Video], choice: Choice, *, query: Query, show: Show) -> Fitted:
    """What `ask` takes of a plan, before any weights are read.

    Raises:
        LongtakeError: `limit.memory` if the run would take more memory than there is; `limit.time` if not one frame
            fits into --fit time=; `usage.bad_option` for --fit and --device-memory.
    """
    from longtake.costs.rehearsing import Unrehearsed

    means = Means(choice.fit, choice.device_memory)
    wanted = _wanted(means, looked)
    try:
        counter, model, _ = _outlined(looked, videos, choice)
    except LongtakeError as error:
        # Loading will say what is wrong; what is on the hub alone may yet be fetched.
        if wanted is None or error.code is ErrorCode.USAGE_BAD_OPTION:
            return Fitted()
        raise
    if wanted and wanted[0] == "time":
        if choice.ranks not in (None, 1):
            reason, advice = "how long several ranks take is not known", "fit memory instead, or leave --ranks out"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--fit time", reason, advice)
        counter, _ = measured(counter, anew=False, show=show)
    case = _case(videos, query.question, query.options)
    room = means.room(device=choice.device, apart=counter.outline.apart)
    try:
        return _checked(counter, case, model, wanted=wanted, room=room)
    except Unrehearsed as error:
        if wanted is not None:
            raise _no_plan(choice.model, error) from error
        return Fitted(notes=(f"whether memory is enough could not be told: {error}",))


def _wanted(means: Means, looked: Looked) -> tuple[str, float] | None:
    """What is to be filled with frames; see `Means.fitted`.

    Raises:
        LongtakeError: `usage.bad_option`, also where the user says how many frames too.
    """
    wanted = means.fitted()
    if wanted is not None and "frames" in looked.sampler_settings:
        reason, advice = "takes as many frames as fit, and a number of frames is given", "leave one of the two out"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--fit {means.fit}", reason, advice)
    return wanted


def _checked(
    counter: Counter, case: Case, model: Model, *, wanted: tuple[str, float] | None, room: Room | None
) -> Fitted:
    """What fits of a case; refused if it does not.

    Raises:
        LongtakeError: `limit.memory`.
    """
    result = Fitted()
    if wanted:
        model, note = _filled(counter, case, model, wanted)
        chosen: Any = model.sampler
        result = Fitted(chosen.frames, (note,))
    elif not _in_context(model, case):
        return result  # refused for that, with what would fit
    in_memory = dataclasses.replace(counter, timed=False)
    cost = case.cost(in_memory, model)
    if room is not None and cost.memory_bytes > room.bytes:
        raise _too_much(in_memory, case, model, cost, room)
    return result


def _no_plan(model: str, error: Exception) -> LongtakeError:
    reason = f"what it takes cannot be told without its weights: {error}"
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, model, reason, "ask with few frames and see")


def _in_context(model: Model, case: Case) -> bool:
    from longtake.costs.fitting import in_context

    return in_context(model, case)


def _outlined(looked: Looked, videos: Sequence[Video], choice: Choice) -> tuple[Counter, Model, tuple[str, ...]]:
    """The model without its weights, with what the user swapped in it."""
    from longtake.plan import is_still

    return outlined(looked, choice, pictures=all(is_still(video) for video in videos))


def outlined(looked: Looked, choice: Choice, *, pictures: bool = False) -> tuple[Counter, Model, tuple[str, ...]]:
    """The same before there are files; with `pictures` for nothing but pictures."""
    from longtake.costs.counting import Counter
    from longtake.costs.outlining import outline_of
    from longtake.costs.rates import kept_rates
    from longtake.prompt.templates import find_template

    outline = outline_of(choice.model, device=choice.device, dtype=choice.dtype)
    model = swapped(outline.model, looked, choice, pictures=pictures)
    if choice.template is not None and not outline.notes:
        model = model.with_template(find_template(choice.template), name=choice.template)
    notes = outline.notes
    if choice.tower != "torch":
        notes += (f"the tower is counted as torch computes it, not as {choice.tower} does",)
    kept: Any = model.engine
    counter = dataclasses.replace(Counter.of(outline, kept_rates()), keeping=kept.keeping, ranks=choice.ranks or 1)
    return counter, model, notes


def measured(counter: Counter, *, anew: bool, show: Show) -> tuple[Counter, tuple[str, ...]]:
    """The same with what is known of this machine's speed."""
    from longtake.costs.rates import Unmeasured, rates

    try:
        found = rates(anew=anew, tell=remark if show.talks else lambda _: None)
    except Unmeasured as error:
        return counter, (f"seconds are not told: measuring this machine failed: {error}",)
    return dataclasses.replace(counter, rates=found), (found.note,) if found.note else ()


def _case(videos: Sequence[Video], question: str | None, options: GenerateOptions) -> Case:
    from longtake.costs.fitting import Case

    return Case(videos, question, options)


def _filled(counter: Counter, case: Case, model: Model, wanted: tuple[str, float]) -> tuple[Model, str]:
    """The model looking at the most frames that fit, and how that is told.

    Raises:
        LongtakeError: `limit.memory` or `limit.time` if not one frame fits; `usage.bad_option` if the sampler takes no
            number.
    """
    from longtake.costs.fitting import most_frames, with_frames

    kind, most = wanted
    told = f"{most / GIB:.3g} GiB" if kind == "memory" else f"{most:,g} s"
    counter = dataclasses.replace(counter, timed=kind == "time")
    if kind == "time" and counter.rates is None:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--fit time", "nothing is measured here", "fit memory instead")

    def spent(one: Model) -> float:
        cost = case.cost(counter, one)
        return cost.memory_bytes if kind == "memory" else (cost.seconds or 0.0) / max(1, threads_of(counter))

    def fits(one: Model) -> bool:
        return spent(one) <= most and _in_context(one, case)

    with_frames(model, 1)
    frames = most_frames(model, case, fits)
    if not frames:
        one = spent(with_frames(model, 1))
        least = f"{one / GIB:.3g} GiB" if kind == "memory" else f"{one:,.1f} s"
        reason = f"not one frame fits into {told}: it takes {least}, or more tokens than the model reads"
        advice = f"give more, or take {'--dtype int8 or ' * (kind == 'memory')}a smaller model"
        code = ErrorCode.LIMIT_MEMORY if kind == "memory" else ErrorCode.LIMIT_TIME
        raise LongtakeError(code, "--fit", reason, advice)
    return with_frames(model, frames), f"{counted(frames, 'frame')} fit{'s' * (frames == 1)} into {told}"


def _most(counter: Counter, case: Case, model: Model, room_bytes: int | None) -> int | None:
    """The most frames that fit into memory and context; None where the sampler is not told a number."""
    from longtake.costs.fitting import most_frames, with_frames

    in_memory = dataclasses.replace(counter, timed=False)
    try:
        with_frames(model, 1)
    except LongtakeError:
        return None

    def fits(one: Model) -> bool:
        enough = room_bytes is None or case.cost(in_memory, one).memory_bytes <= room_bytes
        return enough and _in_context(one, case)

    return most_frames(model, case, fits)


def _too_much(counter: Counter, case: Case, model: Model, cost: Cost, room: Room) -> LongtakeError:
    """The refusal of what takes more memory than there is, with what would fit."""
    frames = sum(len(plan.numbers) for plan in case.plans(model))
    needs, has = cost.memory_bytes / GIB, room.bytes / GIB
    where = "its device" if cost.apart else "this machine"
    take = f"{counted(frames, 'frame')} take{'s' * (frames == 1)}"
    reason = f"{take} {needs:.3g} GiB with this model; {where} has {has:.3g} GiB{room.told}"
    most = _most(counter, case, model, room.bytes)
    ways = [f"sample at most {counted(most, 'frame')}"] if most else []
    ways += [f"take --fit memory={room.bytes}"] if most else []
    ways += ["take --dtype int8"] if counter.outline.dtype != "int8" else []
    ways += ["see `longtake plan`"] if ways else ["take a smaller model: its weights alone are too much"]
    return LongtakeError(ErrorCode.LIMIT_MEMORY, "", reason, ", or ".join(ways))
