"""cli/planning: the command that tells what another would take: plan; and what ask heeds of it. Loads no weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtake.cli.asking import Choice, Drawing, swapped
from longtake.cli.looking import open_looked_at
from longtake.cli.opening import parsed_count, parsed_seconds
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json, table
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.costs import Cost
    from longtake.costs.counting import Counter
    from longtake.costs.fitting import Case
    from longtake.costs.machine import Room
    from longtake.engines import GenerateOptions
    from longtake.families import Model
    from longtake.methods import Query
    from longtake.video import Video

GIB = 2**30
BAR_WIDTH = 60
SIGNS = {
    "process": "·",
    "weights": "█",
    "key-values": "▓",
    "activations": "▒",
    "features": "░",
    "pixels": "+",
}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|min|h)", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Means:
    """What a run may take, as the user put it.

    Attributes:
        fit: memory=SIZE or time=TIME, to be filled with frames; None: frames are as they are asked for.
        device_memory: so much memory may be used; None: what there is.
    """

    fit: str | None
    device_memory: str | None

    def fitted(self) -> tuple[str, float] | None:
        """`("memory", bytes)` or `("time", seconds)`.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        if self.fit is None:
            return None
        name, _, written = self.fit.partition("=")
        if name == "memory" and (count := parsed_count(written)):
            return name, float(count)
        if name == "time" and (span := _span(written)):
            return name, span
        reason = "is neither memory=SIZE nor time=TIME"
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION, f"--fit {self.fit}", reason, "write it like memory=16GiB or time=10min"
        )

    def room(self, *, device: str, apart: bool) -> Room | None:
        """How much memory may be used; None where nobody can say, or where several devices share a model.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.machine import Room, memory_room

        if self.device_memory is not None:
            count = parsed_count(self.device_memory)
            if not count:
                reason, advice = "is no size", "write it like 80GiB"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--device-memory {self.device_memory}", reason, advice)
            return Room(count, " (--device-memory)")
        if not apart:
            return memory_room()
        return None if device == "auto" or "," in device else _card_room(device)


@dataclass(frozen=True)
class Absent:
    """A video that is not at hand, as the user put it."""

    duration: str | None
    size: str

    def video(self) -> Video:
        """Something that can be planned for.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.imagined import ImaginedVideo

        found, seconds = _SIZE.fullmatch(self.size), parsed_seconds(self.duration or "")
        if self.duration is None:
            reason, advice = "no FILE and no --duration", "name a file, or say --duration 2:00:00"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", reason, advice)
        if not seconds:
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--duration", "is no time", "write it like 2:00:00")
        if found is None or not int(found[1]) * int(found[2]):
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--size", "is no size", "write it like 1280x720")
        return ImaginedVideo(seconds, int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Told:
    """A plan, ready to be told."""

    counter: Counter
    case: Case
    model: Model
    cost: Cost
    room: Room | None
    most: int | None
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool | None:
        """Whether there is memory for it; None where nobody can say."""
        return None if self.room is None else self.cost.memory_bytes <= self.room.bytes

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        from longtake import parts

        text, plans = self.case.text(self.model), self.case.plans(self.model)
        reads = self.model.engine.trained_context
        visual = sum(plan.tokens for plan in plans)
        peak = self.cost.peak
        seconds = self.cost.processor_s
        return {
            "model": self.model.name,
            "dtype": self.counter.outline.dtype,
            "files": [
                {
                    "path": video.path,
                    "frames": len(plan.numbers),
                    "visual_tokens": plan.tokens,
                    "parts": {
                        "sampler": parts.told(plan.sampler, "samplers"),
                        "layout": parts.told(plan.layout, "layouts"),
                    },
                }
                for video, plan in zip(self.case.videos, plans, strict=True)
            ],
            "tokens": {
                "visual": visual,
                "text": text.opening_tokens + text.question_tokens,
                "new": text.answer_tokens,
            },
            "trained_context": reads,
            "fits_context": visual + text.tokens <= reads,
            "memory_bytes": self.cost.memory_bytes,
            "peak_stage": peak.name,
            "bytes": dict(peak.bytes),
            "stages": {stage.name: dict(stage.bytes) for stage in self.cost.stages},
            "apart": self.cost.apart,
            "room_bytes": None if self.room is None else self.room.bytes,
            "fits_memory": self.fits,
            "processor_seconds": seconds and {name: round(spent, 4) for name, spent in seconds.items()},
            "threads": self.counter.rates and self.counter.rates.threads,
            "most_frames": self.most,
            "notes": list(self.notes),
        }


def plan_and_print(files: Sequence[Looked], choice: Choice, *, wish: Wish, show: Show) -> None:
    """`longtake plan`; a file without a name is a video that is not at hand."""
    means = Means(choice.fit, choice.device_memory)
    wanted = means.fitted()
    with ExitStack() as opened:
        if files[0].path:
            with bars(wanted=show.talks) as progress:
                videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        else:
            videos = [wish.absent.video()]
        counter, model, notes = _outlined(files[0], videos, choice)
        if not counter.outline.apart:
            counter, more = _measured(counter, anew=wish.calibrate, show=show)
            notes += more
        elif wish.calibrate or (wanted and wanted[0] == "time"):
            reason, advice = "only processors are measured", "plan for --device cpu, or for memory"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--device {choice.device}", reason, advice)
        else:
            notes += ("seconds are not told: only processors are measured",)
        if not files[0].path:
            notes += ("reading is not in the seconds: the video is not at hand",)
        case = _case(videos, wish.question, wish.drawing.options())
        room = means.room(device=choice.device, apart=counter.outline.apart)
        if wanted:
            model, note = _filled(counter, case, model, wanted)
            notes += (note,)
        most = _most(counter, case, model, None if room is None else room.bytes)
        told = Told(counter, case, model, case.cost(counter, model), room, most, notes)
    if show.as_json:
        say_json(told.as_dict())
    else:
        _print(told)


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


def fitted(looked: Looked, videos: Sequence[Video], choice: Choice, *, query: Query, show: Show) -> Fitted:
    """What `ask` takes of a plan, before any weights are read.

    Raises:
        LongtakeError: `limit.memory` if the run would take more memory than there is; `usage.bad_option` for what it may
            take.
    """
    means = Means(choice.fit, choice.device_memory)
    wanted = means.fitted()
    try:
        counter, model, _ = _outlined(looked, videos, choice)
    except LongtakeError as error:
        # Loading will say what is wrong; what is on the hub alone may yet be fetched.
        if wanted is None or error.code is ErrorCode.USAGE_BAD_OPTION:
            return Fitted()
        raise
    if wanted and wanted[0] == "time":
        counter, _ = _measured(counter, anew=False, show=show)
    case = _case(videos, query.question, query.options)
    room = means.room(device=choice.device, apart=counter.outline.apart)
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


def _in_context(model: Model, case: Case) -> bool:
    from longtake.costs.fitting import in_context

    return in_context(model, case)


def _outlined(looked: Looked, videos: Sequence[Video], choice: Choice) -> tuple[Counter, Model, tuple[str, ...]]:
    """The model without its weights, with what the user swapped in it."""
    from longtake.costs.counting import Counter
    from longtake.costs.outlining import outline_of
    from longtake.costs.rates import kept_rates
    from longtake.plan import is_still
    from longtake.prompt.templates import find_template

    outline = outline_of(choice.model, device=choice.device, dtype=choice.dtype)
    model = swapped(outline.model, looked, choice, pictures=all(is_still(video) for video in videos))
    if choice.template is not None and not outline.notes:
        model = model.with_template(find_template(choice.template), name=choice.template)
    notes = outline.notes
    if choice.tower != "torch":
        notes += (f"the tower is counted as torch computes it, not as {choice.tower} does",)
    return Counter.of(outline, kept_rates()), model, notes


def _measured(counter: Counter, *, anew: bool, show: Show) -> tuple[Counter, tuple[str, ...]]:
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
        LongtakeError: `limit.memory` if not one frame fits; `usage.bad_option` if the sampler takes no number.
    """
    from longtake.costs.fitting import most_frames, with_frames

    kind, most = wanted
    told = f"{most / GIB:.3g} GiB" if kind == "memory" else f"{most:,.0f} s"
    if kind == "time" and counter.rates is None:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--fit time", "nothing is measured here", "fit memory instead")

    def fits(one: Model) -> bool:
        cost = case.cost(counter, one)
        spent = cost.memory_bytes if kind == "memory" else (cost.seconds or 0.0) / max(1, _threads(counter))
        return spent <= most and _in_context(one, case)

    with_frames(model, 1)
    frames = most_frames(model, case, fits)
    if not frames:
        one = case.cost(counter, with_frames(model, 1))
        least = f"{one.memory_bytes / GIB:.3g} GiB" if kind == "memory" else f"{one.seconds or 0:,.0f} s"
        reason = f"not one frame fits into {told}: it takes {least}, or more tokens than the model reads"
        raise LongtakeError(
            ErrorCode.LIMIT_MEMORY, "--fit", reason, "give more, or take --dtype int8 or a smaller model"
        )
    return with_frames(model, frames), f"{frames:,} frames fit into {told}"


def _threads(counter: Counter) -> int:
    return 1 if counter.rates is None else counter.rates.threads


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
    reason = f"{frames:,} frames take {needs:.3g} GiB with this model; {where} has {has:.3g} GiB{room.told}"
    most = _most(counter, case, model, room.bytes)
    ways = [f"sample at most {most:,} frames"] if most else []
    ways += [f"take --fit memory={room.bytes}"] if most else []
    ways += ["take --dtype int8"] if counter.outline.dtype != "int8" else []
    ways += ["see `longtake plan`"] if ways else ["take a smaller model: its weights alone are too much"]
    return LongtakeError(ErrorCode.LIMIT_MEMORY, "", reason, ", or ".join(ways))


def _card_room(device: str) -> Room | None:
    import torch

    from longtake.costs.machine import Room

    if not torch.cuda.is_available():
        return None
    return Room(torch.cuda.get_device_properties(device).total_memory, "")


def _span(written: str) -> float | None:
    found = _SPAN.fullmatch(written.strip())
    return float(found[1]) * _UNIT_S[found[2]] if found else parsed_seconds(written)


def _print(told: Told) -> None:
    facts: Any = told.as_dict()
    tokens = " + ".join(f"{count:,} {kind}" for kind, count in facts["tokens"].items())
    frames = sum(file["frames"] for file in facts["files"])
    layouts = {file["parts"]["layout"]["name"]: None for file in facts["files"]}
    rows = [
        ("model", f"{facts['model']} in {facts['dtype']}"),
        ("frames", f"{frames:,}, laid out by {', '.join(layouts)}"),
        ("tokens", f"{tokens}; the model reads {facts['trained_context']:,}{_beyond(facts)}"),
        ("memory", f"{_gib(told.cost.memory_bytes)} at most, in {_stage(told)}{_verdict(told)}"),
        *((f"  {SIGNS[kind]} {kind}", _gib(count)) for kind, count in told.cost.peak.bytes.items()),
    ]
    if told.cost.processor_s is not None:
        rows += _seconds(told.cost.processor_s, _threads(told.counter))
    if told.most is not None:
        rows.append(("at most", f"{told.most:,} frames fit"))
    say(table(rows))
    say(_bar(told.cost.peak.bytes, told.cost.memory_bytes))
    for note in told.notes:
        say(f"note: {note}")


def _seconds(spent: Mapping[str, float], threads: int) -> list[tuple[str, str]]:
    told = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in spent.items())
    total = sum(spent.values())
    clock = f"; on {threads} threads that nothing else uses at least {total / threads:,.1f} s" if threads > 1 else ""
    return [("processor", f"{total:,.1f} s ({told}){clock}")]


def _beyond(facts: Mapping[str, Any]) -> str:
    return "" if facts["fits_context"] else ": too many, `ask` refuses them unless --beyond-trained-context"


def _stage(told: Told) -> str:
    return told.cost.peak.name


def _verdict(told: Told) -> str:
    if told.room is None:
        return ""
    says = "fits" if told.fits else "does not fit"
    return f"; {says} into {_gib(told.room.bytes)}{told.room.told}"


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _bar(counts: Mapping[str, int], total: int) -> str:
    """One line, each kind by its sign, as wide as its share."""
    ends, done, drawn = [], 0, 0
    whole = sum(counts.values())
    for kind, count in counts.items():
        done += count
        end = round(BAR_WIDTH * done / whole)
        ends.append(SIGNS[kind] * (end - drawn))
        drawn = end
    return "".join(ends)
