"""manifests.verifying: a manifest, files and perhaps a model in; what is still so, what differs and where out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.answer import Answer
from longtake.engines import GenerateOptions, Keeping
from longtake.errors import ErrorCode, LongtakeError, counted
from longtake.families import Model
from longtake.layouts import Layout
from longtake.loading import load
from longtake.manifests import AnswerTold, FileTold, Manifest, ModelTold, PartTold, built
from longtake.manifests.making import build, ids_sha256, kept_in, media_sha256, model_told
from longtake.pipeline import Progress, ask, choose, watch
from longtake.prompt.choices import choosing, with_choices
from longtake.prompt.templates import find_template
from longtake.samplers import sifter_of
from longtake.video import Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import LOW_INFORMATION, Seen, lost_spans
from longtake.video.times import format_time
from longtake.video.video_file import VideoFile

SAME_CHANCE = 1e-6
"""Probabilities that differ less are told as the same; they are sums of many rounded numbers."""


@dataclass(frozen=True)
class Finding:
    """One thing that was held against the manifest.

    Attributes:
        subject: what.
        equal: whether it is as told; None where that was not looked at or decides nothing.
        found: in words.
    """

    subject: str
    equal: bool | None
    found: str


@dataclass(frozen=True)
class Verdict:
    """All that was held against a manifest."""

    findings: tuple[Finding, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differing

    @property
    def differing(self) -> list[Finding]:
        """What differs."""
        return [finding for finding in self.findings if finding.equal is False]


def verify(
    manifest: Manifest,
    files: VideoFile | Sequence[VideoFile],
    model: Model | None = None,
    *,
    progress: Progress | None = None,
) -> Verdict:
    """Hold files, and a model's answer, against what a manifest tells.

    Args:
        manifest: from `Manifest.read`.
        files: as many as it tells of, in its order, opened as it tells (`on_corrupt`, `deinterlace`, `stream`).
        model: from `model_as_told`, or any; None: nothing is answered again.
        progress: hears how many frames are read.

    Raises:
        LongtakeError: `media.*` for a file that changed after it was opened; as `longtake.watch`, `longtake.ask`.
    """
    videos = list(files) if isinstance(files, Sequence) else [files]
    if len(videos) != len(manifest.files):
        raise ValueError(f"{len(videos)} files for a manifest of {len(manifest.files)}")
    hear = progress or _silent
    findings = [
        finding
        for told, video in zip(manifest.files, videos, strict=True)
        for finding in (_bytes_finding(told, video), _frames_finding(told, _hashing(video), hear))
    ]
    if model is not None:
        findings += _model_findings(manifest, videos, model, Verdict(tuple(findings)), hear)
    return Verdict(tuple(findings))


def model_as_told(told: ModelTold, *, name: str | None = None, device: str = "auto", dtype: str = "auto") -> Model:
    """The model that a manifest tells of, on its kind of device if there is one here.

    Args:
        name: another than the manifest's.
        device, dtype: auto: as told.

    Raises:
        LongtakeError: as `longtake.load`.
    """
    there = told.device == "cpu" or (told.device == "cuda" and torch.cuda.is_available())
    device = told.device if device == "auto" and there else device
    dtype = told.dtype.partition(" in ")[0] if dtype == "auto" else dtype
    try:
        return load(name or told.name, device=device, dtype=dtype, tower=told.tower)
    except LongtakeError as error:
        if name is not None or error.code is not ErrorCode.MODEL_NOT_FOUND:
            raise
        advice = "say where it lies with --model, or look at the files alone with --media-only"
        raise LongtakeError(error.code, told.name, "the manifest's model is not found by its name", advice) from error


@dataclass(frozen=True)
class _All:
    """Picks every frame that may be picked."""

    def pick(self, video: Video, question: str) -> list[int]:
        return [int(number) for number in video.numbers]


def _hashing(video: VideoFile) -> VideoFile:
    return replace(video, options=replace(video.options, hash_pixels=True))


def _bytes_finding(told: FileTold, video: VideoFile) -> Finding:
    if media_sha256(video) == told.sha256:
        return Finding(told.name, True, f"the same {told.bytes:,} bytes")
    size = video.state.size_bytes
    other = f"other {size:,} bytes" if size == told.bytes else f"{size:,} bytes where {told.bytes:,} are told"
    return Finding(told.name, False, other)


def _frames_finding(told: FileTold, video: VideoFile, hear: Progress) -> Finding:
    subject, count = f"{told.name}: frames", len(video.times_s)
    there = [number for number in told.asked if number < count]
    try:
        seen = _read_again(video, there, hear) if there else {}
    except LongtakeError as error:
        if not error.code.value.code.startswith("media."):
            raise
        return Finding(subject, False, f"cannot be read again: {error.reason}")
    wrong, of_file = list(_wrong(told, video, seen)), list(_wrong_file(told, video, seen))
    if not wrong and not of_file:
        return Finding(subject, True, f"all {len(told.frames):,} have the number, time and pixels that are told")
    if not wrong:
        return Finding(subject, False, of_file[0])
    return Finding(subject, False, f"{len(wrong):,} of {len(told.asked):,} differ; the first, {wrong[0]}")


def _read_again(video: VideoFile, numbers: Sequence[int], hear: Progress) -> dict[int, str]:
    """The hash of each frame that comes, by its number."""
    seen = Seen(video, numbers)
    with closing(ahead(video.read(numbers, chunk=1, shrink=_speck))) as read:
        for done, _ in enumerate(seen.passing(read), 1):
            hear("read", done, len(numbers))
    return dict(zip(seen.numbers, seen.hashes_of(seen.numbers), strict=True))


def _speck(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One pixel of a frame: the rest is not looked at again."""
    return image_HWC[:1, :1].transpose(2, 0, 1)


def _wrong_file(told: FileTold, video: VideoFile, seen: dict[int, str]) -> Iterator[str]:
    """What is told of the file as a whole, and is not so."""
    there = [number for number in told.asked if number < len(video.times_s)]
    here = {
        "height_px": video.height_px,
        "width_px": video.width_px,
        "table_frames": len(video.times_s),
        "duration_s": video.duration_s,
        "still": len(video.times_s) == 1,
        "lost_s": [*video.lost_s, *lost_spans(video, there, seen)],
    }
    for name, found in here.items():
        then = getattr(told, name)
        if (list(map(tuple, then)) if name == "lost_s" else then) != found:
            yield f"{name} is {found}, where {then} is told"


def _wrong(told: FileTold, video: VideoFile, seen: dict[int, str]) -> Iterator[str]:
    """Of each frame that is not as told, in order, what is wrong with it."""
    frames, count = {frame.number: frame for frame in told.frames}, len(video.times_s)
    for number in told.asked:
        frame = frames.get(number)
        if frame is None:
            if number in seen:
                yield f"number {number:,}, can be decoded, which it could not be then"
        elif number >= count:
            yield f"number {number:,}, is not there: there are {count:,}"
        elif number not in seen:
            yield f"number {number:,}, cannot be decoded"
        elif frame.time_s != video.times_s[number]:
            now = format_time(float(video.times_s[number]))
            yield f"number {number:,}, is shown at {now}, where {format_time(frame.time_s)} is told"
        elif frame.sha256 != seen[number]:
            yield f"number {number:,} at {format_time(frame.time_s)}, has other pixels"


def _model_findings(
    manifest: Manifest, videos: Sequence[VideoFile], model: Model, media: Verdict, hear: Progress
) -> Iterator[Finding]:
    told, here = manifest.model, model_told(model)
    same = here.weights_sha256 == told.weights_sha256
    yield Finding("weights", same, "the same" if same else "other weights, configuration or tokenizer")
    other = _other_build(manifest, model)
    yield Finding("build", None if other else True, f"another: {', '.join(other)}" if other else "the same")
    foreign = [part.name for part in _parts_of(manifest) if part.is_foreign]
    if not same:
        yield Finding("answer", None, "not asked again: the model is another")
    elif any(finding.subject.endswith(": frames") for finding in media.differing):
        yield Finding("answer", None, "not asked again: the frames are others")
    elif foreign:
        yield Finding("answer", None, f"not asked again: {', '.join(foreign)} is no part of longtake's own")
    else:
        again, own_context = _answer_again(manifest, videos, model, hear)
        # What is worth saying of a file goes by all of it, and by which frames were looked at.
        by_file = not other and media.equal and not any(map(_looked_first, manifest.files))
        wrong = next(_wrong_facts(manifest, again, own_context, notes=by_file), None)
        yield _answer_finding(manifest, again, wrong, bit_by_bit=not other)


def _other_build(manifest: Manifest, model: Model) -> list[str]:
    """What of build, numbers and device is another here, with what is told and what is found."""
    here, told = build(model), manifest.build
    found = model_told(model)
    pairs = {name: (told.get(name, "none"), here.get(name, "none")) for name in {**told, **here}}
    pairs |= {name: (getattr(manifest.model, name), getattr(found, name)) for name in ("dtype", "device", "tower")}
    return [f"{name} {now} (told: {then})" for name, (then, now) in pairs.items() if then != now]


def _parts_of(manifest: Manifest) -> list[PartTold]:
    """That an answer is asked for with."""
    rope = manifest.model.rope
    return [*(told.layout for told in manifest.files), *([] if rope is None else [rope])]


def _looked_first(told: FileTold) -> bool:
    """Whether the sampler chose among more frames than are told, or may have: its name stands for nothing known."""
    return told.sampler.is_foreign or sifter_of(built(told.sampler, "samplers")) is not None


def _wrong_facts(manifest: Manifest, again: Answer, own_context: int, *, notes: bool) -> Iterator[str]:
    """What is told beside the answer, and is not what asking again gave; of notes where they are to be the same."""
    asked = again.asked
    pairs: dict[str, tuple[object, object]] = {
        "prompt.tokens": (manifest.prompt.tokens, None if asked is None else len(asked.prompt_ids_L)),
        "model.trained_context": (manifest.model.trained_context, own_context),
    }
    for place, (file, look) in enumerate(zip(manifest.files, again.looks, strict=True)):
        pairs[f"files[{place}].visual_tokens"] = file.visual_tokens, look.visual_tokens
    if notes:
        found = [note for note in again.notes if note not in again.asides]
        pairs["notes"] = _lasting(manifest.notes), _lasting(found)
    for name, (then, now) in pairs.items():
        if then != now:
            yield f"{name} is {now}, where {then} is told"


def _lasting(notes: Sequence[str]) -> list[str]:
    """Those that are the same whether frames were read or came from a store."""
    return [note for note in notes if not note.startswith(LOW_INFORMATION)]


def _answer_finding(manifest: Manifest, again: Answer, wrong: str | None, *, bit_by_bit: bool) -> Finding:
    """`wrong`: what is told beside the answer and is not so."""
    told, same_text = manifest.answer, again.text == manifest.answer.text
    if not bit_by_bit:
        if wrong is not None:
            return Finding("answer", False, wrong)
        reads = "reads the same" if same_text else f"reads {again.text!r} where {told.text!r} is told"
        return Finding("answer", same_text, f"not compared bit by bit, since the build is another; it {reads}")
    asked = again.asked
    if asked is None or ids_sha256(asked.prompt_ids_L) != manifest.prompt.sha256:
        return Finding("answer", False, "the model now reads another prompt")
    if not same_text:
        return Finding("answer", False, f"reads {again.text!r} where {told.text!r} is told")
    if wrong is not None:
        return Finding("answer", False, wrong)
    if list(asked.answer_ids) != told.token_ids:
        return Finding("answer", False, _first_other(told.token_ids, asked.answer_ids))
    if not _same_chances(told, again):
        return Finding("answer", False, "the choices have other probabilities")
    what = (
        "the same choice, with the same chances"
        if told.choices
        else f"the same {counted(len(told.token_ids), 'token')}"
    )
    return Finding("answer", True, f"asked again: {what}")


def _first_other(told: Sequence[int], now: Sequence[int]) -> str:
    place = next((at for at, (one, other) in enumerate(zip(told, now, strict=False)) if one != other), None)
    if place is None:
        return f"has {counted(len(now), 'token')} where {len(told):,} are told"
    return f"token {place} is {now[place]} where {told[place]} is told; the text is the same"


def _same_chances(told: AnswerTold, again: Answer) -> bool:
    then = {choice.letter: choice.probability for choice in told.choices}
    now = {offered.letter: offered.probability for offered in again.choices}
    if then.keys() != now.keys():
        return False
    return all(abs((then[letter] or 0.0) - (now[letter] or 0.0)) < SAME_CHANCE for letter in then)


def _answer_again(manifest: Manifest, videos: Sequence[VideoFile], model: Model, hear: Progress) -> tuple[Answer, int]:
    """The same question about the same frames; and how many positions the model reads, with the parts that are told."""
    drawing, choices = manifest.drawing, [choice.text for choice in manifest.answer.choices]
    options = GenerateOptions(drawing.max_new_tokens, drawing.temperature, drawing.seed)
    model = _model_with_parts(manifest, model)
    # Exactly the frames that are told, whatever the sampler would pick today.
    chosen = [
        replace(video, numbers=np.array(told.asked, dtype=np.int64))
        for told, video in zip(manifest.files, videos, strict=True)
    ]
    question = manifest.question
    if choices:
        template = model.image_template if any(told.still for told in manifest.files) else model.template
        question = with_choices(choosing(template), question, choices)
    watched = watch(model, chosen, question, options=options, progress=hear)
    if choices:
        return choose(model, watched, manifest.question, choices, options), model.engine.trained_context
    return ask(model, watched, manifest.question, options), model.engine.trained_context


def _model_with_parts(manifest: Manifest, model: Model) -> Model:
    told = manifest.model
    if manifest.prompt.template is not None:
        template = find_template(manifest.prompt.template)
        if template not in (model.template, model.image_template):
            model = model.with_template(template, name=manifest.prompt.template)
    if told.rope is not None and model.engine.rope is None:
        model = replace(model, engine=model.engine.with_rope(built(told.rope, "ropes")))
    if told.key_values != kept_in(model):
        model = replace(model, engine=model.engine.with_keeping(Keeping(told.key_values)))
    films = [_layout(file) for file in manifest.files if not file.still] or [model.layout]
    stills = [_layout(file) for file in manifest.files if file.still] or [model.image_layout]
    return replace(
        model,
        sampler=_All(),
        layout=films[0],
        image_layout=stills[0],
        several_layout=None,
        beyond_trained_context=told.beyond_trained_context,
    )


def _layout(told: FileTold) -> Layout:
    layout: Layout = built(told.layout, "layouts")
    return layout


def _silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""
