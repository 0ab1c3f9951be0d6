"""cli/asking: the command that asks: ask. From here it is one hop to the pipeline and one more to the engine."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from longtake.cli.keeping import Keeping
from longtake.cli.looking import open_looked_at
from longtake.cli.options import Looked, Show, TowerName
from longtake.cli.output import remark, say, say_json
from longtake.cli.progress import bars
from longtake.cli.resting import Evidence, rests_on
from longtake.cli.together import Crew, together
from longtake.errors import ErrorCode, LongtakeError, counted, writing

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.engines import GenerateOptions
    from longtake.families import Model
    from longtake.methods import Method, Query, Team
    from longtake.video import Video


@dataclass(frozen=True)
class Choice:
    """Which model answers, and how it is run, as the user put it."""

    model: str
    layout: str | None
    rope: str | None
    template: str | None
    device: str
    dtype: str
    tower: TowerName
    beyond_trained_context: bool
    kv: str = "auto"
    keeping: Keeping = field(default_factory=Keeping)
    fit: str | None = None
    device_memory: str | None = None
    ranks: int | None = None

    def crew(self, looked: Looked) -> Crew:
        """Who runs the model's language model."""
        return Crew(self.ranks, self.model, self.device, self.dtype, self.rope, looked.settings["rope"])


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


@dataclass(frozen=True)
class Asked:
    """What is asked, as the user put it; `choices` are empty where the question is open."""

    question: str
    choices: tuple[str, ...]
    drawing: Drawing


@dataclass(frozen=True)
class Road:
    """By which method, and who reads for it; None: by the model, from all frames at once. What comes of it is told with
    its evidence.
    """

    method: str | None
    reader: str | None
    evidence: Evidence = Evidence()

    def part(self, settings: Mapping[str, str]) -> Method:
        """The method with the user's settings.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake import parts

        made: Method = parts.build("methods", str(self.method), settings, label="method")
        return made

    def refuse_unfit(self, looked: Looked) -> None:
        """Refuse options that would mean nothing.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        if self.method is None:
            means_nothing: dict[str, object] = {"--reader": self.reader, "--set method": looked.settings["method"]}
            reason, advice = "only a --method has one", "add --method captions or --method tree, or leave it out"
        else:
            means_nothing = {"--sampler": looked.sampler, "--frames": looked.frames}
            means_nothing |= {"--set sampler": looked.settings["sampler"]}
            reason, advice = f"--method {self.method} picks frames itself", "its options say which: see `longtake list`"
            if self.method == "again" and self.reader:
                reason, advice = "--method again answers from frames, and nobody reads", "leave it out"
                means_nothing = {"--reader": self.reader}
        for option, given in means_nothing.items():
            if given:
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, reason, advice)


def ask_and_print(files: Sequence[Looked], asked: Asked, choice: Choice, *, road: Road, show: Show) -> None:
    """`longtake ask`: the files are looked at before torch is imported, so that a wrong name is told at once."""
    crew = choice.crew(files[0])
    if not crew.begins():
        return
    road.refuse_unfit(files[0])
    refuse_unwritable(road, show.manifest)
    road.evidence.refuse_unfit(method=road.method)
    if road.method is not None and (choice.fit or choice.device_memory):
        option = "--fit" if choice.fit else "--device-memory"
        reason, advice = f"what --method {road.method} takes is not planned", "leave one of the two out"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, reason, advice)
    with ExitStack() as opened:
        with bars(wanted=show.talks) as progress:
            videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        from longtake.cli.planning import fitted
        from longtake.methods import Query

        query = Query(asked.question, asked.choices, asked.drawing.options())
        method = None if road.method is None else road.part(files[0].settings["method"])
        fit = None if method is not None else fitted(files[0], videos, choice, query=query, show=show)
        model = opened.enter_context(together(partial(loaded, files[0], videos, choice), crew))
        if fit is not None:
            answer = fit.noted(_straight(fit.of(model), videos, query, evidence=road.evidence, show=show))
        elif method is not None:
            from longtake.methods import Team
            from longtake.readers.finding import find_reader

            reader = find_reader(road.reader, model, device=choice.device, dtype=choice.dtype)
            answer = _by_method(method, Team(model, reader), videos, query, show=show)
        if show.manifest is not None:
            from longtake.manifests.making import manifest_of

            manifest_of(model, videos, answer).write(show.manifest)
        road.evidence.draw(query.question, answer, videos)
    if show.as_json:
        say_json(answer.as_dict())
    elif show.talks:
        remark(closing_line(answer))


def refuse_unwritable(road: Road, manifest: str | None) -> None:
    """Refuse, before any work is done, a manifest that cannot be.

    Raises:
        LongtakeError: `usage.bad_option` with a method, `disk.write` where there is no such folder.
    """
    if manifest is None:
        return
    if road.method is not None:
        reason, advice = f"an answer of --method {road.method} has no manifest yet", "leave out one of the two"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--manifest", reason, advice)
    with writing(manifest):
        if os.path.isdir(manifest or "."):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        os.scandir(os.path.dirname(manifest) or ".").close()


def _straight(model: Model, videos: Sequence[Video], query: Query, *, evidence: Evidence, show: Show) -> Answer:
    """The model's answer from all that it sees at once, printed as it comes unless it is to be an object."""
    from longtake import pipeline
    from longtake.plan import is_still
    from longtake.prompt.choices import choosing, with_choices

    question, options = query.question, query.options
    if query.choices:
        template = model.image_template if any(map(is_still, videos)) else model.template
        question = with_choices(choosing(template), question, query.choices)
    with bars(wanted=show.talks) as progress:
        watched = pipeline.watch(model, videos, question, options=options, progress=progress)
    if query.choices:
        answer = pipeline.choose(model, watched, query.question, query.choices, options)
        answer = answer if show.as_json else _said(answer)
    elif show.as_json:
        answer = pipeline.ask(model, watched, question, options)
    else:
        try:
            answer = pipeline.ask(model, watched, question, options, on_text=lambda text: say(text, end=""))
        finally:
            say("")
    return evidence.looked_for(model, watched, query.question, answer, told=not show.quiet or show.as_json)


def _by_method(method: Method, team: Team, videos: Sequence[Video], query: Query, *, show: Show) -> Answer:
    """The answer that a method comes to; first what that will cost."""
    from longtake.methods import Hear

    team.who_reads.check()
    cost = method.cost(team, videos, query)
    if show.talks:
        remark(f"{cost} ({team.who_reads.name})")
    with bars(wanted=show.talks) as progress:
        hear = Hear(progress)
        answer = method.ask(method.watch(team, videos, hear=hear), query, hear=hear)
    return answer if show.as_json else _said(answer)


def _said(answer: Answer) -> Answer:
    say(answer.text)
    return answer


def loaded(looked: Looked, videos: Sequence[Video], choice: Choice, device: str | None = None) -> Model:
    """The model, with what the user swapped in it; on another device than the user named, if one is given."""
    from longtake.plan import is_still

    return made(looked, choice, device, pictures=all(is_still(video) for video in videos))


def made(looked: Looked, choice: Choice, device: str | None = None, *, pictures: bool = False) -> Model:
    """The same before there are files; with `pictures` for nothing but pictures."""
    from longtake.loading import load
    from longtake.prompt.templates import find_template

    template = None if choice.template is None else find_template(choice.template)
    model = load(choice.model, device=device or choice.device, dtype=choice.dtype, tower=choice.tower)
    model = swapped(model, looked, choice, pictures=pictures)
    model = dataclasses.replace(model, store=choice.keeping.store())
    return model if template is None else model.with_template(template, name=str(choice.template))


def closing_line(answer: Answer) -> str:
    """What an answer rests on and what it took, in one line."""
    stages = ", ".join(f"{stage} {spent_s:.1f}" for stage, spent_s in answer.seconds.items())
    tokens = " + ".join(f"{count:,} {kind}" for kind, count in answer.tokens.items())
    facts = [
        *rests_on(answer),
        *_chances(answer),
        *_seen(answer),
        *_read(answer),
        f"{tokens} tokens",
        f"{sum(answer.seconds.values()):.1f} s ({stages})",
        *answer.notes,
    ]
    return "; ".join(facts)


def _seen(answer: Answer) -> Iterator[str]:
    frames = sum(len(look.numbers) for look in answer.looks if not look.still)
    pictures = sum(look.still for look in answer.looks)
    glanced = sum(look.candidates or 0 for look in answer.looks)
    if frames:
        yield f"{counted(frames, 'frame')}{f', chosen by looks at {glanced:,}' if glanced else ''}"
    if pictures:
        yield counted(pictures, "picture")


def _chances(answer: Answer) -> Iterator[str]:
    told = [offered for offered in answer.choices if offered.probability is not None]
    if told:
        yield ", ".join(f"({offered.letter}) {100 * (offered.probability or 0):.1f} %" for offered in told)


def _read(answer: Answer) -> Iterator[str]:
    from longtake.video.times import format_time

    if answer.reading is None:
        return
    yield f"{counted(len(answer.reading.captions), 'caption')} read by {answer.reading.reader}"
    named = [format_time(round(caption.start_s, 1)) for caption in answer.reading.captions if caption.named]
    if named:
        yield f"named: {', '.join(named)}"


def swapped(model: Model, looked: Looked, choice: Choice, *, pictures: bool) -> Model:
    """`model` with the sampler, layout, rope and options that the user named.

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
    changed = keeping(roped(changed, choice.rope, looked.settings["rope"]), choice.kv)
    if choice.layout is not None or (pictures and looked.settings["layout"]):
        changed = dataclasses.replace(changed, several_layout=None)
    if choice.layout is not None:
        return dataclasses.replace(changed, layout=layout, image_layout=layout)
    return dataclasses.replace(changed, **{"image_layout" if pictures else "layout": layout})


def roped(model: Model, rope: str | None, settings: Mapping[str, str]) -> Model:
    """`model` turning its positions as the user named; as its checkpoint tells where no rope is named.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    from longtake import parts

    if rope is None and settings:
        option, value = next(iter(settings.items()))
        reason, advice = "is an option of a rope, and none is named", "name one, like --rope linear"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--set rope.{option}={value}", reason, advice)
    if rope is None:
        return model
    engine = model.engine.with_rope(parts.build("ropes", rope, settings, label="rope"))
    return dataclasses.replace(model, engine=engine)


def keeping(model: Model, how: str) -> Model:
    """`model`, keeping what it reads as the user named: `int8`, `disk`, `int8,disk` and so on.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    from longtake.engines import Keeping

    words = [word for word in how.split(",") if word != "auto"]
    where = next((word for word in words if word != "int8"), "device")
    if len(words) > len({*words} & {"int8", where}) or where not in ("device", "memory", "disk"):
        reason, advice = "is no way to keep keys and values", "take auto, int8, memory, disk, int8,memory or int8,disk"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--kv {how}", reason, advice)
    if not words:
        return model
    kept = Keeping("int8" if "int8" in words else "auto", cast(Literal["device", "memory", "disk"], where))
    return dataclasses.replace(model, engine=model.engine.with_keeping(kept))


def _part(label: str, name: str | None, own: Any, settings: Mapping[str, str]) -> Any:
    """The part of that name, or the model's own, with the user's settings."""
    from longtake import parts

    if name is None:
        return parts.with_settings(own, settings, label=label)
    return parts.build(f"{label}s", name, settings, label=label)
