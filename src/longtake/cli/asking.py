"""cli/asking: the command that asks: ask. From here it is one hop to the pipeline and one more to the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtake.cli.looking import open_looked_at
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.engines import GenerateOptions
    from longtake.families import Model
    from longtake.pipeline import Answer


@dataclass(frozen=True)
class Choice:
    """Which model answers, and how it is run, as the user put it."""

    model: str
    layout: str | None
    device: str
    dtype: str
    beyond_trained_context: bool


@dataclass(frozen=True)
class Drawing:
    """How new tokens are chosen, as the user put it."""

    max_new_tokens: int
    temperature: float
    seed: int

    def options(self) -> GenerateOptions:
        """The same, checked.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.engines import GenerateOptions

        try:
            return GenerateOptions(**dataclasses.asdict(self))
        except ValueError as error:
            advice = "see longtake ask --help"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", str(error), advice) from error


def ask_and_print(looked: Looked, question: str, choice: Choice, *, drawing: Drawing, show: Show) -> None:
    """`longtake ask`: the file is looked at before torch is imported, so that a wrong name is told at once."""
    with bars(wanted=show.talks) as progress, open_looked_at(looked, progress=progress) as video:
        from longtake import pipeline
        from longtake.loading import load

        options = drawing.options()
        model = swapped(load(choice.model, device=choice.device, dtype=choice.dtype), looked, choice)
        watched = pipeline.watch(model, video, question, options=options, progress=progress)
    if show.as_json:
        say_json(pipeline.ask(model, watched, question, options).as_dict())
        return
    try:
        answer = pipeline.ask(model, watched, question, options, on_text=lambda text: say(text, end=""))
    finally:
        say("")
    if show.talks:
        remark(closing_line(answer))


def closing_line(answer: Answer) -> str:
    """What an answer rests on and what it took, in one line."""
    stages = ", ".join(f"{stage} {spent_s:.1f}" for stage, spent_s in answer.seconds.items())
    tokens = " + ".join(f"{count:,} {kind}" for kind, count in answer.tokens.items())
    facts = [
        f"{len(answer.frames):,} frames",
        f"{tokens} tokens",
        f"{sum(answer.seconds.values()):.1f} s ({stages})",
        *answer.notes,
    ]
    return "; ".join(facts)


def swapped(model: Model, looked: Looked, choice: Choice) -> Model:
    """`model` with the sampler, layout and options that the user named.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    sampler = _part("sampler", looked.sampler, model.sampler, looked.sampler_settings)
    layout = _part("layout", choice.layout, model.layout, looked.settings["layout"])
    return dataclasses.replace(
        model, sampler=sampler, layout=layout, beyond_trained_context=choice.beyond_trained_context
    )


def _part(label: str, name: str | None, own: Any, settings: Mapping[str, str]) -> Any:
    """The part of that name, or the model's own, with the user's settings."""
    from longtake import parts

    if name is None:
        return parts.with_settings(own, settings, label=label)
    return parts.build(f"{label}s", name, settings, label=label)
