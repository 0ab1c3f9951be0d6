"""cli/plan_train: the command that tells what a training would take, on which devices: plan train. Trains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from longtake.cli.means import Means
from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.times import spoken_s

if TYPE_CHECKING:
    from longtake.costs.arranging import Laid
    from longtake.costs.training import Arrangement, Hold, Load, Networks, Together

GIB = 2**30
KINDS = ("weights", "gradients", "optimiser", "working", "activations", "logits", "ring")
PURPOSES = {
    "ring": "keys and values round the ring",
    "all_to_all": "heads for positions",
    "gathers": "weights gathered",
    "reduces": "gradients summed",
    "averages": "gradients averaged",
}


@dataclass(frozen=True)
class Course:
    """A training as the user put it.

    Attributes:
        path: of the recipe.
        kind: the command that it is for; None: the one that its keys fit.
        model: in place of the recipe's.
        settings: `KEY=VALUE`, as for `longtake train`.
        samples: of the data, where the recipe goes through all; 0: nobody knows.
        sample_tokens: of a usual sample with pictures; 0: as many as of the longest.
    """

    path: str
    kind: str | None
    model: str | None
    settings: tuple[str, ...]
    samples: int
    sample_tokens: int


@dataclass(frozen=True)
class Machines:
    """What it would run on, as the user put it.

    Attributes:
        ranks: processes, one to a device.
        ring: so many of them share a row; None: as the recipe says.
        attending: how ranks that share a row attend to all of it; None: as the recipe says.
        weights: how ranks hold them; None: as the recipe says.
        recompute: None: as the recipe says.
        memory: of one device, like 80GiB.
        flops: that one device can do in a second.
        utilisation: the share of them that it does.
    """

    ranks: int
    ring: int | None
    attending: Together | None
    weights: Hold | None
    recompute: bool | None
    memory: str | None
    flops: float
    utilisation: float

    def arranged(self, recipe: Any) -> Arrangement:
        """The same in numbers, for a recipe.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.training import Arrangement

        again = getattr(recipe, "recompute", False) if self.recompute is None else self.recompute
        ring = self.ring or int(getattr(recipe, "ring", 1))
        told: Together = getattr(recipe, "attending", "ring")
        try:
            return Arrangement(self.ranks, ring, self.attending or told, self._hold(recipe), bool(again))
        except ValueError as error:
            whose = "--ring" if self.ring else "ring"
            advice = "say how many share a row, like --ring 1"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"{whose} = {ring}", str(error), advice) from error

    def _hold(self, recipe: Any) -> Hold:
        if self.weights is not None:
            return self.weights
        told: Hold | Literal["auto"] = getattr(recipe, "weights", "auto")
        if told == "auto":
            whole = getattr(recipe, "optimiser", "adamw") == "muon" or getattr(recipe, "lora", None) is not None
            return "sharded" if self.ranks > 1 and not whole else "whole"
        return told


def plan_train_and_print(course: Course, machines: Machines, *, show: Show) -> None:
    """`longtake plan train`: memory on each device, bytes sent and hours of each stage of a recipe."""
    from longtake.train import planned

    kind = course.kind or planned.kind_of(course.path)
    given = {} if course.model is None else {"start" if kind == "text" else "model": course.model}
    recipe = planned.read_for(kind, course.path, course.settings, given)
    sizes = planned.Sizes(course.samples, course.sample_tokens)
    networks, arranged = networks_for(recipe, kind), machines.arranged(recipe)
    room = Means(None, machines.memory).room(device="cuda", apart=True)
    stages = []
    for number, stage in enumerate(planned.stages_of(recipe, networks, sizes, arranged)):
        told = _stage(networks, (stage.longest, stage.usual), arranged, machines)
        laid = planned.laid(recipe, networks, sizes, number)
        stages.append({**told, **_verdict(networks, laid, arranged, None if room is None else room.bytes)})
    facts: dict[str, Any] = {
        "recipe": course.path,
        "kind": kind,
        "model": planned.model_of(recipe) or "from scratch",
        "parameters": dict(networks.parameters),
        "ranks": arranged.ranks,
        "ring": arranged.ring,
        "together": arranged.together,
        "weights": arranged.hold,
        "recompute": arranged.recompute,
        "device_memory_bytes": None if room is None else room.bytes,
        "device_flops": machines.flops,
        "utilisation": machines.utilisation,
        "stages": stages,
        "hours": round(sum(stage["hours"] for stage in stages), 3),
        "notes": _notes(kind, course.sample_tokens, unmeasured=room is None),
    }
    if show.as_json:
        say_json(facts)
    else:
        _print(facts)


def networks_for(recipe: Any, kind: str) -> Networks:
    """Those of the model that a recipe starts from, or of one from scratch.

    Raises:
        LongtakeError: `model.not_found`, `model.bad_checkpoint`.
    """
    from longtake.costs.learning import decoder_of, networks_of
    from longtake.costs.training import Networks
    from longtake.train.planned import model_of, untrained

    name = model_of(recipe)
    if name:
        found = networks_of(name, half=recipe.precision == "bfloat16")
        return Networks(found.decoder, {}) if kind == "text" else found
    return Networks(decoder_of(untrained(recipe)), {})


def _stage(networks: Networks, loads: tuple[Load, Load], arranged: Arrangement, machines: Machines) -> dict[str, Any]:
    """What one stage takes: memory for its longest rows, bytes and hours for the usual ones."""
    from longtake.costs import holding, moving

    load, usual = loads
    moments = holding.memory(networks, load, arranged)
    peak = max(moments, key=lambda moment: moment.total_bytes)
    work = moving.flops(networks, usual, arranged)
    pace = {"device_flops": machines.flops, "utilisation": machines.utilisation}
    seconds = moving.seconds(networks, usual, arranged, **pace)
    return {
        "name": load.name,
        "learns": sorted(load.learning),
        "steps": load.steps,
        "row_tokens": load.length,
        "rows_a_step": load.passes * load.rows,
        "tokens_a_step": usual.passes * usual.tokens,
        "memory_bytes": peak.total_bytes,
        "widest": peak.name,
        "bytes": {kind: peak.bytes[kind] for kind in KINDS if peak.bytes.get(kind)},
        "moments": {moment.name: dict(moment.bytes) for moment in moments},
        "aside_bytes": holding.aside_bytes(networks, load, arranged),
        "sent_bytes_a_step": {key: round(count) for key, count in moving.sent_bytes(networks, usual, arranged).items()},
        "flops_a_step": work.useful,
        "computed_flops_a_step": work.computed,
        "hours": round(seconds / 3600, 3),
    }


def _verdict(networks: Networks, laid: Laid, arranged: Arrangement, room_bytes: int | None) -> dict[str, Any]:
    """Whether a stage's longest rows fit, and what would make them."""
    from longtake.costs.arranging import longest_row, ways
    from longtake.costs.holding import peak

    load = laid(arranged)
    if room_bytes is None or load is None:
        return {"fits": None}
    fits = peak(networks, load, arranged).total_bytes <= room_bytes
    found = [] if fits else ways(networks, laid, arranged, room_bytes)
    return {
        "fits": fits,
        # A longer row of pictures would have more of them.
        "longest_row": None if load.views else longest_row(networks, load, arranged, room_bytes),
        "ways": [{"options": way.told, "memory_bytes": way.bytes} for way in found],
    }


def _notes(kind: str, sample_tokens: int, *, unmeasured: bool) -> list[str]:
    notes = ["all figures are formulas (docs/training.md); hours are at the assumed utilisation, none was measured"]
    if kind != "text" and not sample_tokens:
        notes.append("hours are for samples as long as the recipe lets in; --sample-tokens says what they usually have")
    if unmeasured:
        notes.append("whether it fits is not told: say how much a device has, like --device-memory 80GiB")
    return notes


def _print(facts: Mapping[str, Any]) -> None:
    parts = ", ".join(f"{name} {count:,}" for name, count in facts["parameters"].items())
    how = [f"{facts['ranks']} rank{'s' * (facts['ranks'] > 1)}"]
    if facts["ring"] > 1:
        how.append(f"{facts['ring']} of them share a row by {facts['together']}")
    how += [f"weights {facts['weights']}"] + ["recompute"] * facts["recompute"]
    say(f"{facts['kind']}, {facts['model']}: {parts} parameters")
    say(f"on {', '.join(how)}; {facts['device_flops']:.3g} FLOP/s each, {facts['utilisation']:.0%} of them used")
    for stage in facts["stages"]:
        _print_stage(stage, facts["device_memory_bytes"])
    say(f"{_hours(facts['hours'])} in all")
    for note in facts["notes"]:
        say(f"note: {note}")


def _print_stage(stage: Mapping[str, Any], room_bytes: int | None) -> None:
    say("")
    rows = [
        (
            stage["name"],
            f"{stage['steps']:,} steps; {', '.join(stage['learns'])} learn{'s' * (len(stage['learns']) < 2)}",
        ),
        (
            "step",
            f"{stage['rows_a_step']:,} rows, {stage['tokens_a_step']:,} tokens; rows of up to {stage['row_tokens']:,}",
        ),
        (
            "memory",
            f"{_gib(stage['memory_bytes'])} on each device, {MOMENTS[stage['widest']]}{_fits(stage, room_bytes)}",
        ),
        *((f"  {kind}", _gib(count)) for kind, count in stage["bytes"].items()),
    ]
    if stage["aside_bytes"]:
        rows.append(("aside", f"{_gib(stage['aside_bytes'])} of main memory for each rank"))
    if stage["sent_bytes_a_step"]:
        sent = (f"{_gib(count)} {PURPOSES[key]}" for key, count in stage["sent_bytes_a_step"].items())
        rows.append(("sent a step", f"by each rank {', '.join(sent)}"))
    work = f"{stage['flops_a_step']:.3g} FLOP a step, {stage['computed_flops_a_step']:.3g} with what is computed again"
    rows += [("computed", work), ("time", _hours(stage["hours"]))]
    if stage.get("longest_row") and stage["longest_row"] < 2**40:
        rows.append(("at most", f"rows of {stage['longest_row']:,} tokens fit"))
    say(table(rows))
    if stage["fits"] is False:
        say(_advice(stage["ways"]))


MOMENTS = {
    "start": "when weights are read",
    "loss": "at the loss",
    "perceptron": "on the way back through a perceptron",
    "attention": "on the way back through attention",
    "step": "at the optimiser's step",
}


def _advice(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "nothing here makes it fit: take shorter rows, fewer rows at once, or larger devices"
    return "it would fit with " + ", or with ".join(f"{way['options']} ({_gib(way['memory_bytes'])})" for way in found)


def _fits(stage: Mapping[str, Any], room_bytes: int | None) -> str:
    if room_bytes is None:
        return ""
    return f"; {'fits' if stage['fits'] else 'does not fit'} into {_gib(room_bytes)}"


def _hours(hours: float) -> str:
    return spoken_s(3600 * hours) if hours < 48 else f"{hours / 24:,.1f} days"


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"
