"""cli/plan_train: the command that tells what a training would take, on which devices: plan train. Trains nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from longtake.cli.means import Means
from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.errors import ErrorCode, LongtakeError
from longtake.video.times import spoken_s

if TYPE_CHECKING:
    from longtake.costs.training import Decoder, Hold, Load, Networks, Spread, Together

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

    def spread(self, recipe: Any) -> Spread:
        """The same in numbers, for a recipe.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.training import Spread

        again = getattr(recipe, "recompute", False) if self.recompute is None else self.recompute
        ring = self.ring or int(getattr(recipe, "ring", 1))
        told: Together = getattr(recipe, "attending", "ring")
        try:
            return Spread(self.ranks, ring, self.attending or told, self._hold(recipe), bool(again))
        except ValueError as error:
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--ring", str(error), "see docs/training.md") from error

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
    networks, spread = networks_for(recipe, kind), machines.spread(recipe)
    _refuse_undealt(networks.decoder, spread)
    _refuse_untrained(recipe, spread)
    room = Means(None, machines.memory).room(device="cuda", apart=True)
    stages = [
        _stage(networks, (stage.longest, stage.usual), spread, machines, None if room is None else room.bytes)
        for stage in planned.stages_of(recipe, networks, sizes, spread)
    ]
    facts: dict[str, Any] = {
        "recipe": course.path,
        "kind": kind,
        "model": planned.model_of(recipe) or "from scratch",
        "parameters": dict(networks.parameters),
        "ranks": spread.ranks,
        "ring": spread.ring,
        "together": spread.together,
        "weights": spread.hold,
        "recompute": spread.recompute,
        "device_memory_bytes": None if room is None else room.bytes,
        "device_flops": machines.flops,
        "utilisation": machines.utilisation,
        "stages": stages,
        "hours": round(sum(stage["hours"] for stage in stages), 3),
        "notes": _notes(kind, recipe, course.sample_tokens, unmeasured=room is None, spread=spread),
    }
    if show.as_json:
        say_json(facts)
    else:
        _print(facts)


def _refuse_undealt(decoder: Decoder, spread: Spread) -> None:
    """Refuse what `parallel.ulysses` refuses."""
    wanted = math.lcm(decoder.key_heads, spread.ring)
    if spread.together == "ulysses" and decoder.heads % wanted:
        heads = f"{decoder.heads} heads on {decoder.key_heads} of keys and values"
        reason = f"{heads} cannot be dealt out to {spread.ring} ranks"
        advice = "take the ring, or another number of ranks"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--attending ulysses", reason, advice)


def _refuse_untrained(recipe: Any, spread: Spread) -> None:
    """Refuse what `train align` and `train dpo` refuse of ranks."""
    from longtake.train.align_recipe import check_weights
    from longtake.train.recipes import refuse_uneven

    for step in ("step_samples", "step_pairs"):
        if hasattr(recipe, step):
            refuse_uneven(recipe, step, spread.data)
    try:
        check_weights(getattr(recipe, "lora", None), spread.hold)
    except ValueError as error:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--weights", str(error), "see docs/training.md") from error


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


def _stage(
    networks: Networks, loads: tuple[Load, Load], spread: Spread, machines: Machines, room_bytes: int | None
) -> dict[str, Any]:
    """Everything that is told of one stage: memory for its longest rows, bytes and hours for the usual ones."""
    from longtake.costs import holding, moving
    from longtake.costs.arranging import longest_row, ways

    load, usual = loads
    moments = holding.memory(networks, load, spread)
    peak = max(moments, key=lambda moment: moment.total_bytes)
    work = moving.flops(networks, usual, spread)
    pace = {"device_flops": machines.flops, "utilisation": machines.utilisation}
    seconds = moving.seconds(networks, usual, spread, **pace)
    fits = None if room_bytes is None else peak.total_bytes <= room_bytes
    told: dict[str, Any] = {
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
        "aside_bytes": holding.aside_bytes(networks, load, spread),
        "sent_bytes_a_step": {key: round(count) for key, count in moving.sent_bytes(networks, usual, spread).items()},
        "flops_a_step": work.useful,
        "computed_flops_a_step": work.computed,
        "hours": round(seconds / 3600, 3),
        "fits": fits,
    }
    if room_bytes is not None:
        # A longer row of pictures would have more of them.
        told["longest_row"] = None if load.views else longest_row(networks, load, spread, room_bytes)
        found = [] if fits else ways(networks, load, spread, room_bytes)
        told["ways"] = [{"options": way.told, "memory_bytes": way.bytes} for way in found]
    return told


def _notes(kind: str, recipe: Any, sample_tokens: int, *, unmeasured: bool, spread: Spread) -> list[str]:
    notes = ["all figures are formulas (docs/training.md); hours are at the assumed utilisation, none was measured"]
    if kind != "text" and not sample_tokens:
        notes.append("hours are for samples as long as the recipe lets in; --sample-tokens says what they usually have")
    if spread.ring > 1 and not hasattr(recipe, "ring"):
        notes.append(f"`longtake train {kind}` itself shares no sample among ranks; this is what it would take")
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
            f"{_gib(stage['memory_bytes'])} on each device, {MOMENTS[stage['widest']]}{_verdict(stage, room_bytes)}",
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


def _verdict(stage: Mapping[str, Any], room_bytes: int | None) -> str:
    if room_bytes is None:
        return ""
    return f"; {'fits' if stage['fits'] else 'does not fit'} into {_gib(room_bytes)}"


def _hours(hours: float) -> str:
    return spoken_s(3600 * hours) if hours < 48 else f"{hours / 24:,.1f} days"


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"
