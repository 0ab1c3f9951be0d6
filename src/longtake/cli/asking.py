"""cli/asking: the command that asks: ask. From here it is one hop to the pipeline and one more to the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtake.cli.looking import open_looked_at
from longtake.cli.options import Looked, Show, TowerName
from longtake.cli.output import remark, say, say_json
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.engines import GenerateOptions
    from longtake.families import Model


@dataclass(frozen=True)
class Choice:
    """Which model answers, and how it is run, as the user put it."""

    model: str
    layout: str | None
    device: str
    dtype: str
    tower: TowerName
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


def ask_and_print(files: Sequence[Looked], question: str, choice: Choice, *, drawing: Drawing, show: Show) -> None:
    """`longtake ask`: the files are looked at before torch is imported, so that a wrong name is told at once."""
    with bars(wanted=show.talks) as progress, ExitStack() as opened:
        videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        from longtake import pipeline
        from longtake.loading import load
        from longtake.plan import is_still

        options = drawing.options()
        model = load(choice.model, device=choice.device, dtype=choice.dtype, tower=choice.tower)
        model = swapped(model, files[0], choice, pictures=all(is_still(video) for video in videos))
        watched = pipeline.watch(model, videos, question, options=options, progress=progress)
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
        *_seen(answer),
        f"{tokens} tokens",
        f"{sum(answer.seconds.values()):.1f} s ({stages})",
        *answer.notes,
    ]
    return "; ".join(facts)


def _seen(answer: Answer) -> Iterator[str]:
    frames = sum(len(look.numbers) for look in answer.looks if not look.still)
    pictures = sum(look.still for look in answer.looks)
    if frames:
        yield f"{frames:,} frames"
    if pictures:
        yield f"{pictures:,} picture{'s' * (pictures > 1)}"


def swapped(model: Model, looked: Looked, choice: Choice, *, pictures: bool) -> Model:
    """`model` with the sampler, layout and options that the user named.

    A layout that is named is for videos and pictures; options without a name are of the model's own layout for videos,
    or for pictures where there is nothing else (`pictures`).

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    sampler = _part("sampler", looked.sampler, model.sampler, looked.sampler_settings)
    own = model.image_layout if pictures else model.layout
    layout = _part("layout", choice.layout, own, looked.settings["layout"])
    beyond = choice.beyond_trained_context
    changed = dataclasses.replace(model, sampler=sampler, beyond_trained_context=beyond)
    if choice.layout is not None:
        return dataclasses.replace(changed, layout=layout, image_layout=layout)
    return dataclasses.replace(changed, **{"image_layout" if pictures else "layout": layout})


def _part(label: str, name: str | None, own: Any, settings: Mapping[str, str]) -> Any:
    """The part of that name, or the model's own, with the user's settings."""
    from longtake import parts

    if name is None:
        return parts.with_settings(own, settings, label=label)
    return parts.build(f"{label}s", name, settings, label=label)
