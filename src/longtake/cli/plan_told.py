"""cli/plan_told: a plan in; the table, the bar of bytes and the object of it out. Counts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtake.cli.output import say, table
from longtake.errors import counted

if TYPE_CHECKING:
    from longtake.costs import Cost
    from longtake.costs.counting import Counter
    from longtake.costs.fitting import Case
    from longtake.costs.machine import Room
    from longtake.families import Model

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
            "operations": dict(self.counter.operations(plans, text)),
            "threads": self.counter.rates and self.counter.rates.threads,
            "most_frames": self.most,
            "notes": list(self.notes),
        }


def print_plan(told: Told) -> None:
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
        rows += _seconds(told.cost.processor_s, threads_of(told.counter))
    if told.most is not None:
        rows.append(("at most", f"{counted(told.most, 'frame')} fit{'s' * (told.most == 1)}"))
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


def threads_of(counter: Counter) -> int:
    """That computed when the machine was measured."""
    return 1 if counter.rates is None else counter.rates.threads
